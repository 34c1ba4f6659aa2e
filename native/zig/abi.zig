//! The contract with TypeScript: every function, record and number both sides must agree on.
//! abi_gen.zig turns this file into src/native/abi.ts and native/c/giantvm.h, so neither can drift;
//! `gvm_abi()` returns a hash of the same description and the loader refuses any other value.
//!
//! Functions return 0 (or a count) or a negative errno, never block, never call back, and copy what
//! they keep. Configuration crosses as one CBOR byte string: nested arrays, fields in this order.
//!
//! Long because it is one contract, and all of it is generated from here.

const std = @import("std");

pub const EventKind = enum(u16) {
    /// a = tag of the load.
    loaded = 2,
    poweroff = 3,
    reset = 4,
    /// a = code.
    debug_exit = 5,
    /// a = vCPU; `data` = reason with the registers.
    crash = 6,
    stopped = 7,
    /// `node` = the peer, a = 0 when it has answered before, 1 when it never did.
    peer_refused = 8,
    /// `node` = the peer, a = the limit in ms that has passed, 0 when it was never heard.
    peer_silent = 9,
    engine_error = 10,
    /// Slow device access. `node` = origin, a = id, b = address, c = size | count << 8 | write <<
    /// 32 | mmio << 33; `data` = bytes written.
    io = 11,
    /// More bytes of the event before it.
    text = 12,
    /// Something is wrong with a disk. a = its number; `data` = what, after "disk N: ".
    disk = 13,
    /// To gvm_ask. a = id, b = 0 answered, 1 late, 2 the engine has stopped; `data`.
    answer = 14,
    /// A vCPU stopped at a breakpoint or after a step. a = vCPU, b = rip, c = DR6, which is not 0,
    /// or 0 at an int3.
    debug_stop = 15,
    /// Only small datagrams reach `node`: the VM goes on with those. a = UDP payload that does not.
    narrowed = 16,
};

/// Fixed-size record of the event ring; little-endian, as both sides share one machine.
pub const Event = extern struct {
    kind: u16,
    /// Bytes of `data` in use.
    length: u8,
    node: u8,
    /// 1 when an event of kind `text` with more bytes follows directly.
    more: u32 = 0,
    a: u64 = 0,
    b: u64 = 0,
    c: u64 = 0,
    data: [32]u8 = @splat(0),

    pub const data_max = 32;

    comptime {
        std.debug.assert(@sizeOf(Event) == 64);
    }
};

/// One array of u64, index = enum value. Appending is the only change allowed without thought.
pub const Counter = enum(u16) {
    faults_read,
    faults_write,
    faults_local,
    pages_received,
    pages_sent,
    invalidations,
    upgrades,
    messages_sent,
    messages_received,
    datagrams_sent,
    datagrams_received,
    bytes_sent,
    bytes_received,
    retransmissions,
    duplicates,
    dropped,
    fault_remote_count,
    fault_remote_ns,
    ipis_sent,
    ipis_received,
    io_local,
    io_forwarded,
    io_served,
    exits,
    interrupts_injected,
    /// Requests for pages of a gang, beside those for faults.
    requests_ganged,
    /// Orders that waited here for this node's own threads.
    deferred_count,
    deferred_ns,
    /// Datagrams by why they were dropped; `dropped` counts all of them.
    dropped_malformed,
    /// Of another VM or node, or from another address.
    dropped_foreign,
    dropped_epoch,
    /// Outside the window, or what no correct peer sends.
    dropped_refused,
    /// Steps of the guest's TSC towards the fastest node's, and those a vCPU came too late for.
    tsc_steps,
    tsc_steps_given_up,
    tsc_ticks_advanced,
    disk_reads,
    disk_writes,
    disk_flushes,
    disk_bytes_read,
    disk_bytes_written,
    /// Requests that the guest was told have failed.
    disk_errors,
    /// Bytes the guest printed in spite of being told to wait, and that found no room.
    console_lost,
    /// Pages that threads waited for, and how long the first of them did from the request on: pages
    /// this node had never had or had given back itself, those it had lost or may only read, and
    /// those of a gang or fetched ahead that were on their way.
    stalls_fresh,
    stalls_fresh_ns,
    stalls_again,
    stalls_again_ns,
    stalls_ganged,
    stalls_ganged_ns,
    /// Requests for pages behind one that a thread walked to.
    requests_ahead,
    /// Pages of this host's memory that the guest takes now; of other nodes given up to take less;
    /// and whose memory was given back, those among them.
    pages_taken,
    pages_evicted,
    pages_forgotten,
    /// Pages of home memory granted behind those that a thread walked to, without its fault.
    touched_ahead,
};

/// How the boot processor starts; what the registers below must hold is the boot protocol's affair.
pub const BootMode = enum(u8) {
    /// As after a SIPI: code at `rip`, a multiple of 4096 below 1 MiB, all else as INIT leaves it.
    real = 0,
    /// 32-bit protected mode, flat segments, no paging.
    protected = 1,
    /// 64-bit mode with the page tables at `cr3`.
    long = 2,
};

pub const OpenOptions = struct {
    /// Address to bind the data socket to, textual.
    address: []const u8,
};

pub const PlanNode = struct { address: []const u8, data_port: u16, cpus: u8, ram_pages: u32 };
pub const CpuidEntry = struct {
    leaf: u32,
    index: u32,
    flags: u32,
    eax: u32,
    ebx: u32,
    ecx: u32,
    edx: u32,
};
pub const Route = struct {
    /// 0 port, 1 mmio.
    space: u8,
    first: u64,
    last: u64,
    node: u8,
    slow: bool,
};
/// A disk of this node.
pub const PlanDisk = struct {
    /// Descriptor of gvm_image_open.
    image: u32,
    bytes: u64,
    read_only: bool,
};
pub const Plan = struct {
    node: u8,
    vm_id: u64,
    epoch: u32,
    nodes: []const PlanNode,
    cpuid: []const CpuidEntry,
    tsc_khz: u32,
    device_node: u8,
    routes: []const Route,
    silence_ms: u32,
    spin_us: u32,
    /// How many pages of this host's memory the guest may take; 0 = as many as it wants.
    taken_max_pages: u32 = 0,
    /// Unix time at start, seconds: the guest's real-time clock.
    unix_seconds: u64,
    /// Instead of that time, what gvm_cmos gave before a restart of the guest; or nothing.
    cmos: []const u8 = &.{},
    guard_off: []const u8,
    /// Only on the device node.
    disks: []const PlanDisk = &.{},
};
pub const ImageOptions = struct { path: []const u8, read_only: bool };
pub const Boot = struct {
    /// A BootMode.
    mode: u8,
    rip: u64,
    rax: u64,
    rbx: u64,
    rsi: u64,
    rsp: u64,
    cr3: u64,
    /// Four descriptors, of which 0x10 is code and 0x18 data of the mode.
    gdt: u64,
};
/// `kind` and `size` as in DR7: 0 execute, 1 write, 3 access; 0, 1, 3, 2 = 1, 2, 4, 8 bytes.
pub const Breakpoint = struct { address: u64, kind: u8, size: u8 };
/// What makes a vCPU stop (event `debug_stop`): at most four breakpoints, and at most 64 int3s that
/// a debugger has put at these guest physical addresses.
pub const GuestDebug = struct {
    single_step: bool,
    breakpoints: []const Breakpoint,
    int3s: []const u64,
};
/// In the order of VcpuState.general.
pub const GeneralRegisters = struct { values: []const u64 };
/// Answer to gvm_facts.
pub const Facts = struct {
    vendor: []const u8,
    cpuid: []const CpuidEntry,
    tsc_khz: u32,
    physical_address_bits: u8,
    xcr0: u64,
};

/// Answer to gvm_probe: what the doctor needs to know of the host.
pub const Probe = struct {
    /// 0 when /dev/kvm cannot be opened.
    kvm_api_version: u32,
    /// 0 a userfaultfd for kernel-mode faults opened, 1 denied, 2 this kernel has none.
    userfault: u8,
    userfault_features: u64,
    /// A thread of this process may go before ordinary ones (SCHED_RR).
    goes_first: bool,
};

/// One segment register; `access` = type and flags as in a descriptor's bytes 5 and 6.
pub const SegmentState = struct { selector: u32, base: u64, limit: u32, access: u32 };
/// Answer to gvm_vcpu: a vCPU as of its last exit.
pub const VcpuState = struct {
    vcpu: u8,
    /// 0 waits for SIPI, 1 running, 2 halted.
    activity: u8,
    /// Obeys a pause.
    held: bool,
    /// In KVM_RUN, or about to enter it.
    inside: bool,
    now_ns: u64,
    /// When the registers were seen; 0 before the first exit.
    exit_ns: u64,
    /// Waits in a page fault since then; 0 = it does not.
    wait_ns: u64,
    wait_gpa: u64,
    /// rax rbx rcx rdx rsi rdi rsp rbp r8 to r15 rip rflags.
    general: []const u64,
    /// cs ds es fs gs ss tr ldt.
    segments: []const SegmentState,
    /// cr0 cr2 cr3 cr4 cr8 efer apic-base gdt-base idt-base.
    system: []const u64,
    apic_id: u32,
    apic_base: u64,
    tpr: u32,
    svr: u32,
    lvt_timer: u32,
    /// When the timer fires next; 0 = never.
    timer_ns: u64,
    /// Vectors that arrived, and those being served, lowest first.
    irr: []const u8,
    isr: []const u8,
};
pub const PageEvent = struct {
    at_ns: u64,
    /// engine/history.zig, What.
    what: u8,
    /// wire/message.zig, Kind.
    kind: u8,
    peer: u8,
    tx: u64,
    version: u64,
};
/// This node's own request.
pub const PagePending = struct {
    tx: u64,
    write: bool,
    start_ns: u64,
    have_data: bool,
    acks_wanted: u64,
    acks: u64,
    /// Slots of the threads that wait.
    threads: []const u8,
};
/// An order that waits here for this node's own thread.
pub const PageDeferred = struct { thread: u8, requester: u8, since_ns: u64 };
/// The directory; owner 255 = the bytes at home are valid.
pub const PageEntry = struct { owner: u8, sharers: u64, version: u64 };
pub const PageWaiter = struct { tx: u64, requester: u8, write: bool };
pub const PageBusy = struct {
    current: PageWaiter,
    /// Nodes that were sent Inv or Fwd.
    holders: u64,
    wait_done: bool,
    wait_write_back: bool,
    queue: []const PageWaiter,
};
/// What a node knows of a page; lists of one at most are empty where there is none.
pub const PageState = struct {
    now_ns: u64,
    page: u32,
    home: u8,
    /// 0 invalid, 1 shared, 2 modified.
    state: u8,
    version: u64,
    lost: bool,
    parked: bool,
    evicting: bool,
    pending: []const PagePending,
    deferred: []const PageDeferred,
    /// At the home only.
    entry: []const PageEntry,
    busy: []const PageBusy,
    /// Newest first.
    events: []const PageEvent,
};
pub const HotPage = struct { gpa: u64, transfers: u32, writes: u32 };
/// Answer to gvm_hot: pages by how often they came here, and the sums over all.
pub const HotPages = struct { transfers: u64, writes: u64, pages: []const HotPage };

/// Structures that cross as CBOR: those that TypeScript writes, and answers, which it reads field
/// by field.
pub const configurations = .{
    OpenOptions, PlanNode,   CpuidEntry, Route,            PlanDisk, Plan, ImageOptions,
    Boot,        Breakpoint, GuestDebug, GeneralRegisters,
};
pub const answers = .{ Facts, Probe };
/// Answers whose readers are generated.
pub const observations = .{
    SegmentState, VcpuState, PageEvent, PagePending, PageDeferred, PageEntry,
    PageWaiter,   PageBusy,  PageState, HotPage,     HotPages,
};

pub const Bytes = [*]const u8;
pub const Out = [*]u8;
pub const Handle = u64;

/// gvm_pause: every local vCPU.
pub const all_vcpus = 0xffff_ffff;

pub const Function = struct { name: []const u8, type: type, doc: []const u8 };

pub const functions = [_]Function{
    .{
        .name = "gvm_abi",
        .type = fn () callconv(.c) u64,
        .doc = "Hash of this contract. Called first: an abort restores the terminal as it is now.",
    },
    .{
        .name = "gvm_monotonic_ns",
        .type = fn () callconv(.c) u64,
        .doc = "CLOCK_MONOTONIC in ns, the clock of all times in this contract.",
    },
    .{
        .name = "gvm_open",
        .type = fn (Bytes, u64, Out) callconv(.c) i32,
        .doc = "OpenOptions -> handle (u64 written to out). Opens /dev/kvm and the data socket.",
    },
    .{
        .name = "gvm_data_port",
        .type = fn (Handle) callconv(.c) i32,
        .doc = "UDP port of the data socket.",
    },
    .{
        .name = "gvm_event_fd",
        .type = fn (Handle) callconv(.c) i32,
        .doc = "Read end of the doorbell pipe: one byte arrives when events wait.",
    },
    .{
        .name = "gvm_events",
        .type = fn (Handle, Out, u32) callconv(.c) i32,
        .doc = "Copies up to n events out; returns how many.",
    },
    .{
        .name = "gvm_console",
        .type = fn (Handle, Out, u64) callconv(.c) i32,
        .doc = "Takes what the guest printed; returns bytes. The event pipe tells of the first.",
    },
    .{
        .name = "gvm_facts",
        .type = fn (Handle, Out, u64) callconv(.c) i32,
        .doc = "Facts of this host into out; returns bytes, -ENOBUFS when out is too small.",
    },
    .{
        .name = "gvm_probe",
        .type = fn (Out, u64) callconv(.c) i32,
        .doc = "Probe of this host into out, without a handle; returns bytes.",
    },
    .{
        .name = "gvm_configure",
        .type = fn (Handle, Bytes, u64) callconv(.c) i32,
        .doc = "Plan -> memory, engine, links, machine. Once per handle.",
    },
    .{
        .name = "gvm_load",
        .type = fn (Handle, u64, Bytes, u64, u64) callconv(.c) i32,
        .doc = "Copies bytes to guest memory at gpa in the background; event `loaded` with tag.",
    },
    .{
        .name = "gvm_boot",
        .type = fn (Handle, Bytes, u64) callconv(.c) i32,
        .doc = "Boot: start state of vCPU 0.",
    },
    .{
        .name = "gvm_run",
        .type = fn (Handle, u64) callconv(.c) i32,
        .doc = "Starts the local vCPUs; guest TSC is 0 at this CLOCK_MONOTONIC time, in ns.",
    },
    .{
        .name = "gvm_tsc",
        .type = fn (Handle, Out) callconv(.c) i32,
        .doc = "The guest's TSC, in two u64: without the steps made, and the ticks of those.",
    },
    .{
        .name = "gvm_tsc_advance",
        .type = fn (Handle, u64, u64) callconv(.c) i32,
        .doc = "From so many ticks of steps, makes one more of so many; within 10 ms, or never.",
    },
    .{
        .name = "gvm_stop",
        .type = fn (Handle) callconv(.c) i32,
        .doc = "Asks the local vCPUs to leave the guest; event `stopped` when all have.",
    },
    .{
        .name = "gvm_console_input",
        .type = fn (Handle, Bytes, u64) callconv(.c) i32,
        .doc = "Bytes for the guest's serial port; returns how many were taken.",
    },
    .{
        .name = "gvm_io_reply",
        .type = fn (Handle, u64, Bytes, u64) callconv(.c) i32,
        .doc = "Answers the slow access with this id.",
    },
    .{
        .name = "gvm_power_button",
        .type = fn (Handle) callconv(.c) i32,
        .doc = "Presses the power button of the board; the guest may shut down.",
    },
    .{
        .name = "gvm_cmos",
        .type = fn (Handle, Out, u64) callconv(.c) i32,
        .doc = "What the clock chip keeps over a restart; returns bytes, none before a plan.",
    },
    .{
        .name = "gvm_counters",
        .type = fn (Handle, Out, u32) callconv(.c) i32,
        .doc = "Copies up to n u64 counters out; returns how many exist.",
    },
    .{
        .name = "gvm_registers",
        .type = fn (Handle, u32, Out, u64) callconv(.c) i32,
        .doc = "Text of a local vCPU's registers, or why it cannot answer; returns bytes.",
    },
    .{
        .name = "gvm_vcpu",
        .type = fn (Handle, u32, Out, u64) callconv(.c) i32,
        .doc = "VcpuState of a local vCPU; asks for a newer exit, which a later call shows.",
    },
    .{
        .name = "gvm_ask",
        .type = fn (Handle, u64, u32, u64, u32) callconv(.c) i32,
        .doc = "Id, what (0 PageState, 1 bytes), gpa, bytes within its page -> event `answer`.",
    },
    .{
        .name = "gvm_write",
        .type = fn (Handle, u64, u64, Bytes, u32) callconv(.c) i32,
        .doc = "Id, gpa, at most 256 bytes within its page -> event `answer` when they are stored.",
    },
    .{
        .name = "gvm_hot",
        .type = fn (Handle, Out, u64) callconv(.c) i32,
        .doc = "HotPages of this node; returns bytes. Reads a table of all pages.",
    },
    .{
        .name = "gvm_pause",
        .type = fn (Handle, u32, u32) callconv(.c) i32,
        .doc = "Holds the local vCPUs outside the guest (1), or lets them go on (0); all, or one.",
    },
    .{
        .name = "gvm_guest_debug",
        .type = fn (Handle, u32, Bytes, u64) callconv(.c) i32,
        .doc = "GuestDebug of a local vCPU from its next entry. -EOPNOTSUPP: KVM tells of no int3.",
    },
    .{
        .name = "gvm_set_registers",
        .type = fn (Handle, u32, Bytes, u64) callconv(.c) i32,
        .doc = "GeneralRegisters of a local vCPU that is held; -EBUSY for another.",
    },
    .{
        .name = "gvm_close",
        .type = fn (Handle) callconv(.c) i32,
        .doc = "Frees everything; the vCPUs must have stopped (else -EBUSY).",
    },
    .{
        .name = "gvm_image_open",
        .type = fn (Bytes, u64, Out) callconv(.c) i32,
        .doc = "ImageOptions -> descriptor and bytes (two u64 in out). -EAGAIN: locked.",
    },
    .{
        .name = "gvm_image_close",
        .type = fn (i32) callconv(.c) i32,
        .doc = "Flushes and closes an image that no node uses any more.",
    },
    .{
        .name = "gvm_bench_open",
        .type = fn (u32, Out) callconv(.c) i32,
        .doc = "Node 0 or 1 of `bench dsm` -> handle, data port, command port (three u64 in out).",
    },
    .{
        .name = "gvm_bench_start",
        .type = fn (Handle, u32, u32, u32) callconv(.c) i32,
        .doc = "The peer's data and command port, and rounds of each kind. Runs on its own thread.",
    },
    .{
        .name = "gvm_bench_result",
        .type = fn (Handle, Out, u64) callconv(.c) i32,
        .doc = "Result as JSON; -EAGAIN until it is there; returns bytes.",
    },
    .{
        .name = "gvm_socket_buffer",
        .type = fn (i32, u32) callconv(.c) i32,
        .doc = "Sets a socket's receive buffer to bytes; returns what the kernel granted.",
    },
};

/// Hash of names, types and layouts: what must match between the library and abi.ts.
pub const hash: u64 = blk: {
    @setEvalBranchQuota(1_000_000);
    var state: u64 = 0xcbf29ce484222325;
    for (functions) |f| state = mix(mix(state, f.name), @typeName(f.type));
    for (configurations ++ answers ++ observations) |C| {
        state = mix(state, @typeName(C));
        for (@typeInfo(C).@"struct".fields) |field| {
            state = mix(mix(state, field.name), @typeName(field.type));
        }
    }
    for (.{ EventKind, Counter, BootMode }) |E| {
        for (@typeInfo(E).@"enum".fields) |field| {
            state = mix(state, std.fmt.comptimePrint("{s}={d}", .{ field.name, field.value }));
        }
    }
    break :blk state;
};

/// FNV-1a, 64 bits.
fn mix(seed: u64, text: []const u8) u64 {
    var state = seed;
    for (text) |byte| state = (state ^ byte) *% 0x100000001b3;
    return state;
}
