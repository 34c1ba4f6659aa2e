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
    /// Device output; `data`.
    console = 1,
    /// a = tag of the load.
    loaded = 2,
    poweroff = 3,
    reset = 4,
    /// a = code.
    debug_exit = 5,
    /// a = vCPU; `data` = reason with the registers.
    crash = 6,
    stopped = 7,
    /// `node` = the peer.
    peer_refused = 8,
    /// `node` = the peer, a = 1 when it was heard before.
    peer_silent = 9,
    engine_error = 10,
    /// Slow device access. `node` = origin, a = id, b = address, c = size | count << 8 | write <<
    /// 32 | mmio << 33; `data` = bytes written.
    io = 11,
    /// More bytes of the event before it.
    text = 12,
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
    /// Unix time at start, seconds: the guest's real-time clock.
    unix_seconds: u64,
    guard_off: []const u8,
};
pub const Boot = struct { long_mode: bool, rip: u64, rsi: u64, rsp: u64, cr3: u64, gdt: u64 };
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
};

/// Structures that cross as CBOR: those that TypeScript writes, and answers, which it reads field
/// by field.
pub const configurations = .{ OpenOptions, PlanNode, CpuidEntry, Route, Plan, Boot };
pub const answers = .{ Facts, Probe };

pub const Bytes = [*]const u8;
pub const Out = [*]u8;
pub const Handle = u64;

pub const Function = struct { name: []const u8, type: type, doc: []const u8 };

pub const functions = [_]Function{
    .{ .name = "gvm_abi", .type = fn () callconv(.c) u64, .doc = "Hash of this contract." },
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
        .name = "gvm_close",
        .type = fn (Handle) callconv(.c) i32,
        .doc = "Frees everything; the vCPUs must have stopped (else -EBUSY).",
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
    @setEvalBranchQuota(200_000);
    var state: u64 = 0xcbf29ce484222325;
    for (functions) |f| state = mix(mix(state, f.name), @typeName(f.type));
    for (configurations ++ answers) |C| {
        state = mix(state, @typeName(C));
        for (@typeInfo(C).@"struct".fields) |field| {
            state = mix(mix(state, field.name), @typeName(field.type));
        }
    }
    for (.{ EventKind, Counter }) |E| {
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
