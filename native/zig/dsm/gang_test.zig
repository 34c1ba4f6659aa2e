//! Gangs in the protocol: what comes with a fault, on trial, and behind a page that leaves.

const std = @import("std");
const m = @import("../wire/message.zig");
const State = @import("local.zig").State;
const World = @import("../sim/world.zig").World;
const testing = std.testing;

test "a set of pages that nodes take from each other comes back on one fault" {
    const w = try World.init(2);
    defer w.deinit();
    const set = [_]m.Page{ 3, 4, 5, 6 };
    // Node 1 learns that it needs them together: lost and wanted again in two gathers.
    for (0..3) |_| for ([_]m.NodeId{ 1, 0 }) |node| {
        w.now_ns += std.time.ns_per_s;
        for (set) |page| {
            w.fault(node, page, .write, 0);
            w.rest();
        }
    };
    const before = w.nodes[1].stats.ganged;
    w.now_ns += std.time.ns_per_s;
    w.fault(1, 5, .write, 0);
    w.rest();
    try testing.expectEqual(before + 3, w.nodes[1].stats.ganged);
    for (set) |page| try w.expectStates(page, &.{ .invalid, .modified });
    try testing.expect(w.nodes[1].idle() and w.nodes[1].credit.gang == 0);
}

test "a page of a set that leaves while its thread waits for another is asked for with it" {
    const w = try World.init(3);
    defer w.deinit();
    // Node 1 learns that it needs both together; the others each take one.
    for (0..3) |_| {
        for ([_]m.NodeId{ 1, 1, 0, 2 }, [_]m.Page{ 3, 4, 3, 4 }) |node, page| {
            w.now_ns += std.time.ns_per_s / 4;
            w.fault(node, page, .write, 0);
            w.rest();
        }
    }
    const learnt = &w.nodes[1].stats.ganged;
    for ([_]bool{ false, true }) |waits| {
        w.now_ns += std.time.ns_per_s;
        for ([_]m.NodeId{ 1, 1, 0 }, [_]m.Page{ 3, 4, 3 }) |node, page| {
            w.fault(node, page, .write, 0);
            w.rest();
        }
        const before = learnt.*;
        w.now_ns += std.time.ns_per_s;
        // Node 2 is older than the gather in which node 1 waits.
        w.fault(2, 4, .write, 0);
        if (waits) w.fault(1, 3, .write, 0);
        try w.deliver(0, .get);
        try w.deliver(1, .fwd);
        try testing.expectEqual(.invalid, w.nodes[1].state(4));
        try testing.expectEqual(before + @intFromBool(waits), learnt.*);
        w.rest();
        const back: State = if (waits) .modified else .invalid;
        try testing.expectEqual(back, w.nodes[1].state(4));
    }
}

test "a page on trial comes unmapped, and a fault on it costs no message" {
    const w = try World.init(2);
    defer w.deinit();
    // Each takes both from the other; the second fetch of node 1 is for one fault alone.
    for ([_]m.NodeId{ 1, 0, 1, 0 }) |node| {
        w.now_ns += std.time.ns_per_s;
        for ([_]m.Page{ 3, 4 }) |page| {
            w.fault(node, page, .write, 0);
            w.rest();
        }
    }
    w.now_ns += std.time.ns_per_s;
    const before = w.maps;
    w.fault(1, 3, .write, 0);
    w.rest();
    try testing.expectEqual(before + 1, w.maps);
    try w.expectStates(4, &.{ .invalid, .modified });
    w.fault(1, 4, .write, 0);
    try testing.expectEqual(before + 2, w.maps);
    try testing.expectEqual(0, w.letters.items.len);
}

test "a page of one thread's gang is held for the thread that waits for it" {
    const w = try World.init(2);
    defer w.deinit();
    // Thread 0 of node 1 learns that it needs both together.
    for (0..3) |_| for ([_]m.NodeId{ 1, 0 }) |node| {
        w.now_ns += std.time.ns_per_s;
        for ([_]m.Page{ 3, 4 }) |page| {
            w.fault(node, page, .write, 0);
            w.rest();
        }
    };
    w.now_ns += std.time.ns_per_s;
    w.fault(1, 3, .write, 0);
    // Younger than thread 0's gather, and the only one that wants this page now.
    w.fault(1, 4, .write, 1);
    w.rest();
    const local = &w.nodes[1].local[4];
    try testing.expectEqual(.modified, local.state);
    try testing.expectEqual(w.nodes[1].gathers.current(1), local.holder);
}
