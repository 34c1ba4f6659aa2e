//! A native thread of the linearizability tests: adds to and loads counters that it shares with
//! the threads of all nodes, and notes each operation with the time before and after it.

const std = @import("std");
const limits = @import("../limits.zig");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const Engine = @import("engine.zig").Engine;
const os = linux.os;

/// Pages of each node's memory.
pub const share_pages = 16;
/// Pages with counters in each share, and where the counters are in a page, its last word included.
const pages_per_node = 2;
const offsets = [_]usize{ 0, 8, 2048, limits.page_size - 8 };
const counters_per_node: u32 = pages_per_node * offsets.len;

const Kind = enum(u8) { add = 'a', load = 'l' };
pub const Operation = struct { counter: u32, kind: Kind, value: u64, begin_ns: u64, end_ns: u64 };

pub const Worker = struct {
    engine: *Engine,
    slot: u8,
    nodes: u32,
    random: std.Random.DefaultPrng,
    pause_ns: u64,
    log: []Operation,

    /// Says by the event `stopped` that it is through.
    pub fn run(self: *Worker) void {
        linux.blockSignals(0);
        self.engine.registerThread(self.slot);
        for (self.log) |*entry| {
            entry.* = self.operate();
            // Load, not a wait: a thread that has its pages would be through before others begin.
            if (self.random.random().uintLessThan(u8, 8) == 0) self.pause();
        }
        self.engine.events.simple(.stopped, self.slot, 0);
    }

    fn pause(self: *const Worker) void {
        const time: os.timespec = .{
            .sec = @intCast(self.pause_ns / std.time.ns_per_s),
            .nsec = @intCast(self.pause_ns % std.time.ns_per_s),
        };
        _ = kernel.call(.nanosleep, .{ &time, null });
    }

    fn word(self: *Worker, page: usize, offset: usize) *u64 {
        return @ptrCast(@alignCast(&self.engine.memory.guestPage(@intCast(page))[offset]));
    }

    fn operate(self: *Worker) Operation {
        const random = self.random.random();
        const counter = random.uintLessThan(u32, self.nodes * counters_per_node);
        const share = counter / counters_per_node;
        const page = share * share_pages + counter / offsets.len % pages_per_node;
        const w = self.word(page, offsets[counter % offsets.len]);
        const kind: Kind = if (random.boolean()) .add else .load;
        const begin_ns = linux.nowNs();
        // The access is not made before the clock was read, nor the clock read before its end.
        asm volatile ("lfence" ::: .{ .memory = true });
        const value = switch (kind) {
            .add => @atomicRmw(u64, w, .Add, 1, .seq_cst),
            .load => @atomicLoad(u64, w, .seq_cst),
        };
        asm volatile ("lfence" ::: .{ .memory = true });
        const end_ns = linux.nowNs();
        return .{
            .counter = counter,
            .kind = kind,
            .value = value,
            .begin_ns = begin_ns,
            .end_ns = end_ns,
        };
    }
};
