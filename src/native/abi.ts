/** @module Generated from native/zig/abi.zig by `npm run build`; do not edit. */

import { FFIType } from "bun:ffi";
import type { Wire } from "../protocol/cbor.ts";

export const abiHashU64 = 0xb71d7fa64dd1ddcdn;

export const symbols = {
  /** Hash of this contract. */
  gvm_abi: { args: [], returns: FFIType.u64 },
  /** CLOCK_MONOTONIC in ns, the clock of all times in this contract. */
  gvm_monotonic_ns: { args: [], returns: FFIType.u64 },
  /** OpenOptions -> handle (u64 written to out). Opens /dev/kvm and the data socket. */
  gvm_open: { args: [FFIType.ptr, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  /** UDP port of the data socket. */
  gvm_data_port: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Read end of the doorbell pipe: one byte arrives when events wait. */
  gvm_event_fd: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Copies up to n events out; returns how many. */
  gvm_events: { args: [FFIType.u64, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  /** Facts of this host into out; returns bytes, -ENOBUFS when out is too small. */
  gvm_facts: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Probe of this host into out, without a handle; returns bytes. */
  gvm_probe: { args: [FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Plan -> memory, engine, links, machine. Once per handle. */
  gvm_configure: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Copies bytes to guest memory at gpa in the background; event `loaded` with tag. */
  gvm_load: {
    args: [FFIType.u64, FFIType.u64, FFIType.ptr, FFIType.u64, FFIType.u64],
    returns: FFIType.i32,
  },
  /** Boot: start state of vCPU 0. */
  gvm_boot: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Starts the local vCPUs; guest TSC is 0 at this CLOCK_MONOTONIC time, in ns. */
  gvm_run: { args: [FFIType.u64, FFIType.u64], returns: FFIType.i32 },
  /** The guest's TSC, in two u64: without the steps made, and the ticks of those. */
  gvm_tsc: { args: [FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  /** From so many ticks of steps, makes one more of so many; within 10 ms, or never. */
  gvm_tsc_advance: { args: [FFIType.u64, FFIType.u64, FFIType.u64], returns: FFIType.i32 },
  /** Asks the local vCPUs to leave the guest; event `stopped` when all have. */
  gvm_stop: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Bytes for the guest's serial port; returns how many were taken. */
  gvm_console_input: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Answers the slow access with this id. */
  gvm_io_reply: {
    args: [FFIType.u64, FFIType.u64, FFIType.ptr, FFIType.u64],
    returns: FFIType.i32,
  },
  /** Presses the power button of the board; the guest may shut down. */
  gvm_power_button: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Copies up to n u64 counters out; returns how many exist. */
  gvm_counters: { args: [FFIType.u64, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  /** Text of a local vCPU's registers, or why it cannot answer; returns bytes. */
  gvm_registers: {
    args: [FFIType.u64, FFIType.u32, FFIType.ptr, FFIType.u64],
    returns: FFIType.i32,
  },
  /** Frees everything; the vCPUs must have stopped (else -EBUSY). */
  gvm_close: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Node 0 or 1 of `bench dsm` -> handle, data port, command port (three u64 in out). */
  gvm_bench_open: { args: [FFIType.u32, FFIType.ptr], returns: FFIType.i32 },
  /** The peer's data and command port, and rounds of each kind. Runs on its own thread. */
  gvm_bench_start: {
    args: [FFIType.u64, FFIType.u32, FFIType.u32, FFIType.u32],
    returns: FFIType.i32,
  },
  /** Result as JSON; -EAGAIN until it is there; returns bytes. */
  gvm_bench_result: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Sets a socket's receive buffer to bytes; returns what the kernel granted. */
  gvm_socket_buffer: { args: [FFIType.i32, FFIType.u32], returns: FFIType.i32 },
} as const;

export const eventKind = {
  console: 1,
  loaded: 2,
  poweroff: 3,
  reset: 4,
  debugExit: 5,
  crash: 6,
  stopped: 7,
  peerRefused: 8,
  peerSilent: 9,
  engineError: 10,
  io: 11,
  text: 12,
} as const;

export const counter = {
  faultsRead: 0,
  faultsWrite: 1,
  faultsLocal: 2,
  pagesReceived: 3,
  pagesSent: 4,
  invalidations: 5,
  upgrades: 6,
  messagesSent: 7,
  messagesReceived: 8,
  datagramsSent: 9,
  datagramsReceived: 10,
  bytesSent: 11,
  bytesReceived: 12,
  retransmissions: 13,
  duplicates: 14,
  dropped: 15,
  faultRemoteCount: 16,
  faultRemoteNs: 17,
  ipisSent: 18,
  ipisReceived: 19,
  ioLocal: 20,
  ioForwarded: 21,
  ioServed: 22,
  exits: 23,
  interruptsInjected: 24,
  requestsGanged: 25,
  deferredCount: 26,
  deferredNs: 27,
  droppedMalformed: 28,
  droppedForeign: 29,
  droppedEpoch: 30,
  droppedRefused: 31,
  tscSteps: 32,
  tscStepsGivenUp: 33,
  tscTicksAdvanced: 34,
} as const;

export type OpenOptions = {
  readonly address: Uint8Array;
};

export function wireOpenOptions(value: OpenOptions): Wire {
  return [value.address];
}

export type PlanNode = {
  readonly address: Uint8Array;
  readonly dataPort: number;
  readonly cpus: number;
  readonly ramPages: number;
};

export function wirePlanNode(value: PlanNode): Wire {
  return [value.address, value.dataPort, value.cpus, value.ramPages];
}

export type CpuidEntry = {
  readonly leaf: number;
  readonly index: number;
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
};

export function wireCpuidEntry(value: CpuidEntry): Wire {
  return [value.leaf, value.index, value.flags, value.eax, value.ebx, value.ecx, value.edx];
}

export type Route = {
  readonly space: number;
  readonly firstU64: bigint;
  readonly lastU64: bigint;
  readonly node: number;
  readonly slow: boolean;
};

export function wireRoute(value: Route): Wire {
  return [value.space, value.firstU64, value.lastU64, value.node, value.slow];
}

export type Plan = {
  readonly node: number;
  readonly vmIdU64: bigint;
  readonly epoch: number;
  readonly nodes: readonly PlanNode[];
  readonly cpuid: readonly CpuidEntry[];
  readonly tscKhz: number;
  readonly deviceNode: number;
  readonly routes: readonly Route[];
  readonly silenceMs: number;
  readonly spinUs: number;
  readonly unixSecondsU64: bigint;
  readonly guardOff: Uint8Array;
};

export function wirePlan(value: Plan): Wire {
  return [
    value.node,
    value.vmIdU64,
    value.epoch,
    value.nodes.map(wirePlanNode),
    value.cpuid.map(wireCpuidEntry),
    value.tscKhz,
    value.deviceNode,
    value.routes.map(wireRoute),
    value.silenceMs,
    value.spinUs,
    value.unixSecondsU64,
    value.guardOff,
  ];
}

export type Boot = {
  readonly longMode: boolean;
  readonly ripU64: bigint;
  readonly rsiU64: bigint;
  readonly rspU64: bigint;
  readonly cr3U64: bigint;
  readonly gdtU64: bigint;
};

export function wireBoot(value: Boot): Wire {
  return [value.longMode, value.ripU64, value.rsiU64, value.rspU64, value.cr3U64, value.gdtU64];
}
