//! Copies images into guest memory before the guest runs, by a thread that touches the guest
//! mapping like a vCPU: its faults are resolved by the engine as any other, so pages of other homes
//! need no special case. One load at a time; the next waits for its turn.
//!
//! Like a vCPU's, such a thread may wait for a page that never comes, so the machine has stopped
//! only when it has ended.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const Machine = @import("machine.zig").Machine;

/// Thread slot of the loader's gathers.
const slot = limits.threads_max - 2;

const Job = struct {
    machine: *Machine,
    gpa: u64,
    bytes: []u8,
    tag: u64,
    before: ?std.Thread,
};

pub const Loader = struct {
    thread: ?std.Thread = null,

    /// The bytes are copied now; the event `loaded` with the tag tells when they are in the guest.
    pub fn start(self: *Loader, machine: *Machine, gpa: u64, bytes: []const u8, tag: u64) !void {
        const copy = try machine.allocator.dupe(u8, bytes);
        errdefer machine.allocator.free(copy);
        _ = machine.alive.fetchAdd(1, .acq_rel);
        errdefer _ = machine.alive.fetchSub(1, .acq_rel);
        const job: Job = .{
            .machine = machine,
            .gpa = gpa,
            .bytes = copy,
            .tag = tag,
            .before = self.thread,
        };
        self.thread = try kernel.spawn(1 << 20, run, .{job});
    }

    pub fn join(self: *Loader) void {
        if (self.thread) |thread| thread.join();
        self.thread = null;
    }

    fn run(job: Job) void {
        const machine = job.machine;
        linux.blockSignals(0);
        linux.nameThread("gvm-loader");
        if (job.before) |thread| thread.join();
        machine.engine.registerUnkicked(slot);
        const guest = machine.engine.memory.guest[@intCast(job.gpa)..];
        @memcpy(guest[0..job.bytes.len], job.bytes);
        machine.allocator.free(job.bytes);
        machine.events.simple(.loaded, 0, job.tag);
        machine.threadEnded();
    }
};
