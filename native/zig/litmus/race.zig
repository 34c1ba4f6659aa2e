//! One thread's part of a batch, and the gate where all threads wait for each other.
//!
//! Instance after instance begins at a time of its own (start + k x pace, and a little jitter), the
//! same for all threads: without that, a thread that happens to hold its pages would be through
//! before another has its first. A thread that is late does not wait. Nothing but the time stamp
//! counter is read between an instance's begin and end; what was seen goes to private memory.

const std = @import("std");
const layout_room = @import("layout.zig");
const Body = @import("body.zig").Body;
const Layout = layout_room.Layout;
const batch_max = layout_room.batch_max;
const page = layout_room.page;

/// What one thread writes during a batch; the others look at it afterwards.
pub const Private = extern struct {
    order: [batch_max]u16,
    registers: [batch_max][2]u32,
    /// x and y when all were through: filled by one thread of each batch.
    memory: [batch_max][2]u32,
    /// 1 where the instance took as long as a page takes to come.
    slow: [batch_max]u8,
    /// How many those were, and what they took, each counted up to a bound.
    waits: u64,
    waited: u64,
};

/// Two pages: those who wait keep copies of the second, which only its opener stores to.
pub const Gate = extern struct {
    arrivals: u64,
    padding: [page - 8]u8,
    round: u64,
    start: u64,
    rest: [page - 16]u8,

    /// Passes when `all` threads have come for the `round`th time; returns the time at which the
    /// next batch starts. `patience.more()` waits a little, or says that it was long enough.
    pub fn pass(gate: *Gate, all: u64, round: u64, lead: u64, patience: anytype) !u64 {
        if (@atomicRmw(u64, &gate.arrivals, .Add, 1, .acq_rel) + 1 == all * round) {
            const start = ticks() + lead;
            @atomicStore(u64, &gate.start, start, .monotonic);
            @atomicStore(u64, &gate.round, round, .release);
            return start;
        }
        var looks: u32 = 0;
        while (@atomicLoad(u64, &gate.round, .acquire) < round) {
            if (!patience.more()) return error.Stuck;
            looks += 1;
            // An atomic look now and then: the gate must open even where plain loads are stale, so
            // that the shapes find that out.
            if (looks % 256 != 0) continue;
            if (@atomicRmw(u64, &gate.round, .Add, 0, .acq_rel) >= round) break;
        }
        return @atomicLoad(u64, &gate.start, .monotonic);
    }
};

pub const Batch = struct {
    layout: *const Layout,
    body: Body,
    size: usize,
    start: u64,
    pace: u64,
    /// Each thread begins an instance up to so much later than due.
    jitter: u64,
    /// An instance that took longer waited for a page.
    slow_ticks: u64,
};

/// Enough to change which of two accesses is first, where both threads have the page or share one.
const jitter_usual = 0x100;

/// A batch of few instances finds all pages with the thread that cleared them: only one that begins
/// as late as the pages may be away lets the others in between.
pub fn jitterOf(layout: *const Layout, pace: u64) u64 {
    return if (layout.placement == .border) 4 * pace else jitter_usual;
}

pub fn run(batch: *const Batch, mine: *Private, random: *layout_room.Random) void {
    mine.waits = 0;
    mine.waited = 0;
    var due = batch.start;
    for (mine.order[0..batch.size]) |instance| {
        const place = batch.layout.place(instance);
        const begin_at = due + (random.next() >> 32) % batch.jitter;
        due += batch.pace;
        var begin = ticks();
        while (begin < begin_at) {
            std.atomic.spinLoopHint();
            begin = ticks();
        }
        batch.body(place.x, place.y, &mine.registers[instance]);
        const took = ticks() -% begin;
        mine.slow[instance] = @intFromBool(took > batch.slow_ticks);
        if (took <= batch.slow_ticks) continue;
        mine.waits += 1;
        mine.waited += @min(took, wait_max_factor * batch.slow_ticks);
    }
}

/// What x and y ended as; leaves them 0 for the next batch.
pub fn collect(layout: *const Layout, size: usize, mine: *Private) void {
    for (mine.memory[0..size], 0..) |*memory, instance| {
        const place = layout.place(instance);
        for ([_]u64{ place.x, place.y }, memory) |address, *value| {
            const word: *align(1) volatile u32 = @ptrFromInt(address);
            value.* = word.*;
            word.* = 0;
        }
    }
}

/// The pace for the next batch. `wait_ticks` is what a wait for a page took on the average (0:
/// there was none). Where nearly every instance waits, threads meet when the pace is about that;
/// within a page (`hops` false) many instances share a wait. The least pace is long against the
/// time in which a host with other things to do starts both threads.
pub fn paceAfter(pace: u64, hops: bool, wait_ticks: u64, slow_ticks: u64) u64 {
    const wanted = wait_ticks / @as(u64, if (hops) 2 else 8);
    return @max((pace + wanted) / 2, slow_ticks / 4);
}

/// A thread that was not running for a while says nothing about the next batch.
const wait_max_factor = 16;

pub fn ticks() u64 {
    var low: u32 = undefined;
    var high: u32 = undefined;
    asm volatile ("rdtsc"
        : [low] "={eax}" (low),
          [high] "={edx}" (high),
        :
        : .{ .memory = true });
    return @as(u64, high) << 32 | low;
}

comptime {
    if (@sizeOf(Gate) != 2 * page) @compileError("the gate has two pages");
}

test "a batch runs every instance, and is collected once" {
    const allocator = std.testing.allocator;
    const bytes = layout_room.region_pages * page;
    const memory = try allocator.alignedAlloc(u8, .fromByteUnits(page), bytes);
    defer allocator.free(memory);
    @memset(memory, 0);
    const mine = try allocator.create(Private);
    defer allocator.destroy(mine);
    const shapes = @import("shapes.zig");
    const case: shapes.Case = .{
        .shape = shapes.named("2+2W").?,
        .sync = .plain,
        .placement = .across,
    };
    const layout: Layout = .{
        .regions = &.{@intFromPtr(memory.ptr)},
        .borders = &.{},
        .placement = case.placement,
        .style = .scattered,
    };
    const size = layout.capacity();
    layout.visit(3, mine.order[0..size]);
    var random: layout_room.Random = .{ .state = 1 };
    run(&.{
        .layout = &layout,
        .body = @import("body.zig").of(&case, 0),
        .size = size,
        .start = ticks(),
        .pace = 500,
        .jitter = jitterOf(&layout, 500),
        .slow_ticks = std.math.maxInt(u64),
    }, mine, &random);
    collect(&layout, size, mine);
    for (mine.memory[0..size]) |pair| try std.testing.expectEqual([2]u32{ 0x20002, 1 }, pair);
    collect(&layout, size, mine);
    for (mine.memory[0..size]) |pair| try std.testing.expectEqual([2]u32{ 0, 0 }, pair);
}

test "the pace follows the waits" {
    try std.testing.expectEqual(1000, paceAfter(1000, true, 2000, 30));
    try std.testing.expectEqual(1000, paceAfter(1000, false, 8000, 30));
    try std.testing.expectEqual(25, paceAfter(0, true, 0, 100));
}
