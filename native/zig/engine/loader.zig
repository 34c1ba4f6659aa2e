//! Copies images into guest memory before the guest runs, by a thread that touches the guest
//! mapping like a vCPU: its faults are resolved by the engine as any other, so pages of other homes
//! need no special case. One load at a time; the next waits for its turn.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const Engine = @import("engine.zig").Engine;
const Events = @import("events.zig").Events;

/// Thread slot of the loader's gathers.
const slot = limits.threads_max - 2;

const Job = struct {
    engine: *Engine,
    events: *Events,
    gpa: u64,
    bytes: []u8,
    tag: u64,
    allocator: std.mem.Allocator,
    before: ?std.Thread,
};

pub const Loader = struct {
    thread: ?std.Thread = null,

    pub fn start(
        self: *Loader,
        allocator: std.mem.Allocator,
        engine: *Engine,
        events: *Events,
        gpa: u64,
        bytes: []const u8,
        tag: u64,
    ) !void {
        const copy = try allocator.dupe(u8, bytes);
        errdefer allocator.free(copy);
        const job: Job = .{
            .engine = engine,
            .events = events,
            .gpa = gpa,
            .bytes = copy,
            .tag = tag,
            .allocator = allocator,
            .before = self.thread,
        };
        self.thread = try kernel.spawn(256 << 10, run, .{job});
    }

    pub fn join(self: *Loader) void {
        if (self.thread) |thread| thread.join();
        self.thread = null;
    }

    fn run(job: Job) void {
        linux.blockSignals(0);
        linux.nameThread("gvm-loader");
        if (job.before) |thread| thread.join();
        job.engine.registerThread(slot);
        @memcpy(job.engine.memory.guest[@intCast(job.gpa)..][0..job.bytes.len], job.bytes);
        job.allocator.free(job.bytes);
        job.events.simple(.loaded, 0, job.tag);
    }
};
