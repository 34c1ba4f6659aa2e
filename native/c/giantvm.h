/* Generated from native/zig/abi.zig by `npm run build`; do not edit. */
#ifndef GIANTVM_H
#define GIANTVM_H
#include <stdint.h>

#define GVM_ABI UINT64_C(0x26beb2bae4c8af0f)

/* Hash of this contract. Called first: an abort restores the terminal as it is now. */
uint64_t gvm_abi(void);
/* CLOCK_MONOTONIC in ns, the clock of all times in this contract. */
uint64_t gvm_monotonic_ns(void);
/* OpenOptions -> handle (u64 written to out). Opens /dev/kvm and the data socket. */
int32_t gvm_open(const uint8_t *, uint64_t, uint8_t *);
/* UDP port of the data socket. */
int32_t gvm_data_port(uint64_t);
/* Read end of the doorbell pipe: one byte arrives when events wait. */
int32_t gvm_event_fd(uint64_t);
/* Copies up to n events out; returns how many. */
int32_t gvm_events(uint64_t, uint8_t *, uint32_t);
/* Takes what the guest printed; returns bytes. The event pipe tells of the first. */
int32_t gvm_console(uint64_t, uint8_t *, uint64_t);
/* Facts of this host into out; returns bytes, -ENOBUFS when out is too small. */
int32_t gvm_facts(uint64_t, uint8_t *, uint64_t);
/* Probe of this host into out, without a handle; returns bytes. */
int32_t gvm_probe(uint8_t *, uint64_t);
/* Plan -> memory, engine, links, machine. Once per handle. */
int32_t gvm_configure(uint64_t, const uint8_t *, uint64_t);
/* Copies bytes to guest memory at gpa in the background; event `loaded` with tag. */
int32_t gvm_load(uint64_t, uint64_t, const uint8_t *, uint64_t, uint64_t);
/* Boot: start state of vCPU 0. */
int32_t gvm_boot(uint64_t, const uint8_t *, uint64_t);
/* Starts the local vCPUs; guest TSC is 0 at this CLOCK_MONOTONIC time, in ns. */
int32_t gvm_run(uint64_t, uint64_t);
/* The guest's TSC, in two u64: without the steps made, and the ticks of those. */
int32_t gvm_tsc(uint64_t, uint8_t *);
/* From so many ticks of steps, makes one more of so many; within 10 ms, or never. */
int32_t gvm_tsc_advance(uint64_t, uint64_t, uint64_t);
/* Asks the local vCPUs to leave the guest; event `stopped` when all have. */
int32_t gvm_stop(uint64_t);
/* Bytes for the guest's serial port; returns how many were taken. */
int32_t gvm_console_input(uint64_t, const uint8_t *, uint64_t);
/* Answers the slow access with this id. */
int32_t gvm_io_reply(uint64_t, uint64_t, const uint8_t *, uint64_t);
/* Presses the power button of the board; the guest may shut down. */
int32_t gvm_power_button(uint64_t);
/* What the clock chip keeps over a restart; returns bytes, none before a plan. */
int32_t gvm_cmos(uint64_t, uint8_t *, uint64_t);
/* Copies up to n u64 counters out; returns how many exist. */
int32_t gvm_counters(uint64_t, uint8_t *, uint32_t);
/* Text of a local vCPU's registers, or why it cannot answer; returns bytes. */
int32_t gvm_registers(uint64_t, uint32_t, uint8_t *, uint64_t);
/* VcpuState of a local vCPU; asks for a newer exit, which a later call shows. */
int32_t gvm_vcpu(uint64_t, uint32_t, uint8_t *, uint64_t);
/* Id, what (0 PageState, 1 bytes), gpa, bytes within its page -> event `answer`. */
int32_t gvm_ask(uint64_t, uint64_t, uint32_t, uint64_t, uint32_t);
/* Id, gpa, at most 256 bytes within its page -> event `answer` when they are stored. */
int32_t gvm_write(uint64_t, uint64_t, uint64_t, const uint8_t *, uint32_t);
/* HotPages of this node; returns bytes. Reads a table of all pages. */
int32_t gvm_hot(uint64_t, uint8_t *, uint64_t);
/* Holds the local vCPUs outside the guest (1), or lets them go on (0); all, or one. */
int32_t gvm_pause(uint64_t, uint32_t, uint32_t);
/* GuestDebug of a local vCPU from its next entry. -EOPNOTSUPP: KVM tells of no int3. */
int32_t gvm_guest_debug(uint64_t, uint32_t, const uint8_t *, uint64_t);
/* GeneralRegisters of a local vCPU that is held; -EBUSY for another. */
int32_t gvm_set_registers(uint64_t, uint32_t, const uint8_t *, uint64_t);
/* Frees everything; the vCPUs must have stopped (else -EBUSY). */
int32_t gvm_close(uint64_t);
/* ImageOptions -> descriptor and bytes (two u64 in out). -EAGAIN: locked. */
int32_t gvm_image_open(const uint8_t *, uint64_t, uint8_t *);
/* Flushes and closes an image that no node uses any more. */
int32_t gvm_image_close(int32_t);
/* Node 0 or 1 of `bench dsm` -> handle, data port, command port (three u64 in out). */
int32_t gvm_bench_open(uint32_t, uint8_t *);
/* The peer's data and command port, and rounds of each kind. Runs on its own thread. */
int32_t gvm_bench_start(uint64_t, uint32_t, uint32_t, uint32_t);
/* Result as JSON; -EAGAIN until it is there; returns bytes. */
int32_t gvm_bench_result(uint64_t, uint8_t *, uint64_t);
/* Sets a socket's receive buffer to bytes; returns what the kernel granted. */
int32_t gvm_socket_buffer(int32_t, uint32_t);

#endif
