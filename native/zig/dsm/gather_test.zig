//! Gathers by themselves: ages, ends, residencies.

const std = @import("std");
const gather = @import("gather.zig");
const limits = @import("../limits.zig");
const testing = std.testing;

test "an older transaction takes at once, a younger one waits for gather and residency" {
    var g: gather.Gathers = try .init(testing.allocator, 1, 256, .{});
    defer g.deinit(testing.allocator);
    g.observe(50 << 16);
    const age = g.fault(3, 7, false, 1000);
    try testing.expectEqual(51, age >> 16);
    const holder = g.granted(3, 7, false, 101_000);
    try testing.expectEqual(0, g.holdUntil(holder, age - 1, 101_000));
    // The gap is a fault's cost and a quarter of the gather's; the residency its 40 us cap.
    const until = g.holdUntil(holder, age + 1, 101_000);
    try testing.expectEqual(101_000 + 20_000 + 25_000, until);
    try testing.expectEqual(0, g.holdUntil(holder, age + 1, until));
}

test "faults within the gap are one gather, a later one is a new and younger one" {
    var g: gather.Gathers = try .init(testing.allocator, 0, 256, .{});
    defer g.deinit(testing.allocator);
    const first = g.fault(0, 1, false, 0);
    const one = g.granted(0, 1, false, 10_000);
    try testing.expectEqual(first, g.fault(0, 2, false, 20_000));
    try testing.expectEqual(gather.never, g.holdUntil(one, first + 1, 5_000_000));
    _ = g.granted(0, 2, false, 30_000);
    const second = g.fault(0, 3, false, 5_000_000);
    try testing.expect(second > first);
    try testing.expectEqual(0, g.holdUntil(one, first + 1, 5_000_000));
}

test "a gather's pages keep their residency when its thread begins the next" {
    var g: gather.Gathers = try .init(testing.allocator, 0, 256, .{});
    defer g.deinit(testing.allocator);
    var now: u64 = 1000;
    var held: gather.Holder = .{};
    for (0..100) |page| {
        _ = g.fault(0, @intCast(page), false, now);
        now += 20_000;
        held = g.granted(0, @intCast(page), false, now);
    }
    const resident = g.record(held).resident_until_ns;
    try testing.expectEqual(now + 2_000_000, resident);
    now = g.record(held).live_until_ns + 1;
    const age = g.fault(0, 500, false, now);
    // The gather is over, its time is not; but the thread waits and cannot use it, so an older
    // transaction takes it.
    try testing.expectEqual(resident, g.holdUntil(held, age + 1, now));
    try testing.expectEqual(0, g.holdUntil(held, age - 1, now));
    _ = g.granted(0, 500, false, now);
    now = g.record(g.current(0)).live_until_ns;
    try testing.expectEqual(resident, g.holdUntil(held, age - 1, now));
    try testing.expectEqual(0, g.holdUntil(held, age + 1, resident));
}

test "a thread that rests keeps nothing back, of this gather or an earlier one" {
    var g: gather.Gathers = try .init(testing.allocator, 0, 256, .{});
    defer g.deinit(testing.allocator);
    _ = g.fault(0, 1, false, 1000);
    const first = g.granted(0, 1, false, 900_000);
    _ = g.fault(0, 2, false, 5_000_000);
    const second = g.granted(0, 2, false, 5_900_000);
    try testing.expect(g.holdUntil(second, gather.age_youngest, 5_900_000) > 5_900_000);
    g.end(0, 5_900_000);
    for ([_]gather.Holder{ first, second }) |holder| {
        try testing.expectEqual(0, g.holdUntil(holder, gather.age_youngest, 5_900_000));
    }
}

test "a gather ends at its page limit" {
    var g: gather.Gathers = try .init(testing.allocator, 0, 256, .{});
    defer g.deinit(testing.allocator);
    const first = g.fault(0, 0, false, 0);
    _ = g.granted(0, 0, false, 1);
    for (1..limits.gather_pages_max) |page| {
        try testing.expectEqual(first, g.fault(0, @intCast(page), false, page));
        _ = g.granted(0, @intCast(page), false, page);
    }
    try testing.expect(g.fault(0, 9999, false, limits.gather_pages_max) > first);
}

test "residency doubles once per stolen gather, is capped by pages, and decays when quiet" {
    var g: gather.Gathers = try .init(testing.allocator, 0, 256, .{});
    defer g.deinit(testing.allocator);
    for (0..3) |_| g.stolen(0, 5);
    try testing.expectEqual(2, g.threads[0].multiple);
    var now: u64 = 10;
    for (0..12) |_| {
        _ = g.fault(0, 1, false, now);
        g.stolen(0, now);
        now += 50_000;
        const holder = g.granted(0, 1, false, now);
        try testing.expect(g.record(holder).resident_until_ns - now <= 2 * g.cost.fault_ns);
        now = g.record(holder).live_until_ns + 1;
    }
    try testing.expectEqual(g.options.multiple_max, g.threads[0].multiple);
    for (0..12) |_| {
        now += 100 * limits.ns_per_ms;
        _ = g.fault(0, 1, false, now);
        _ = g.granted(0, 1, false, now + 10);
    }
    try testing.expectEqual(1, g.threads[0].multiple);
}

test "the cost of a fault is not inflated by those that had to wait" {
    var cost: gather.Cost = .{};
    for (0..500) |i| cost.add(if (i % 10 == 0) 12_000 else 3_000_000);
    try testing.expectEqual(12_000, cost.fault_ns);
    for (0..128) |_| cost.add(150_000);
    try testing.expectEqual(150_000, cost.fault_ns);
}

test "a page that was not lost goes with what is resident and does not prolong it" {
    var g: gather.Gathers = try .init(testing.allocator, 0, 1, .{});
    defer g.deinit(testing.allocator);
    _ = g.fault(0, 1, false, 0);
    _ = g.granted(0, 1, false, 40_000);
    const before = g.record(g.current(0)).*;
    const last_ns = before.resident_until_ns - 1;
    try testing.expect(last_ns > before.live_until_ns);
    try testing.expectEqual(before.age, g.fault(0, 2, true, last_ns));
    const fresh = g.granted(0, 2, true, last_ns);
    try testing.expectEqual(before.live_until_ns, g.record(fresh).live_until_ns);
    try testing.expectEqual(before.resident_until_ns, g.record(fresh).resident_until_ns);
    try testing.expectEqual(2, g.record(fresh).pages);
    // Its time is over: the next fault is of a younger gather.
    try testing.expect(g.fault(0, 3, true, last_ns + 1) > before.age);
}
