//! What an explored graph says about endings, in two questions.
//!
//! 1. Can every state come to rest without anything new being begun? Rest is followed backwards
//!    over all other edges; what is not reached is a deadlock, or a circle that nothing leaves.
//! 2. Does everything come to rest by itself while clocks stand still as long as anything else can
//!    happen? That graph must have no circle. With clocks that run while messages wait there are
//!    circles by design: a residency may end before its thread woke.

const std = @import("std");
const Chunks = @import("chunks.zig").Chunks;
const graph_room = @import("graph.zig");
const Fan = graph_room.Fan;

pub const Ends = struct {
    /// The first state (so one of the nearest) that cannot come to rest.
    stuck: ?u32 = null,
    stuck_states: u64 = 0,
    /// States on circles or behind them, clocks standing still; and the first of them.
    circling_states: u64 = 0,
    circling: ?u32 = null,
};

pub fn look(allocator: std.mem.Allocator, graph: anytype) !Ends {
    var ends: Ends = .{};
    try backward(allocator, graph, &ends);
    try peel(allocator, graph, &ends);
    return ends;
}

fn backward(allocator: std.mem.Allocator, graph: anytype, ends: *Ends) !void {
    const count = graph.fans.length;
    var good: std.DynamicBitSetUnmanaged = try .initEmpty(allocator, count);
    defer good.deinit(allocator);
    // Most edges lead to later states, so few sweeps from the end are needed.
    var changed = true;
    while (changed) {
        changed = false;
        var edge = graph.edges.length;
        var index = count;
        while (index > 0) {
            index -= 1;
            const fan: Fan = graph.fans.at(index).*;
            edge -= fan.total();
            if (good.isSet(index)) continue;
            if (!fan.rest and !reaches(graph, &good, edge, fan)) continue;
            good.set(index);
            changed = true;
        }
    }
    ends.stuck_states = count - good.count();
    for (0..count) |index| if (!good.isSet(index)) {
        ends.stuck = @intCast(index);
        return;
    };
}

fn reaches(
    graph: anytype,
    good: *const std.DynamicBitSetUnmanaged,
    first: usize,
    fan: Fan,
) bool {
    const begun = first + fan.prompt;
    for (first..begun) |e| if (endsWell(graph, good, e)) return true;
    for (begun + fan.start..first + fan.total()) |e| {
        if (endsWell(graph, good, e)) return true;
    }
    return false;
}

fn endsWell(graph: anytype, good: *const std.DynamicBitSetUnmanaged, edge: usize) bool {
    const to = graph.edges.at(edge).*;
    return to >= graph.fans.length or good.isSet(to);
}

/// Takes away states that no remaining one leads to; what cannot be taken lies on or behind a
/// circle.
fn peel(allocator: std.mem.Allocator, graph: anytype, ends: *Ends) !void {
    const count = graph.fans.length;
    const incoming = try allocator.alloc(u32, count);
    defer allocator.free(incoming);
    @memset(incoming, 0);
    var offsets: Chunks(u64) = .{};
    defer offsets.deinit(allocator);
    var edge: usize = 0;
    for (0..count) |index| {
        const fan: Fan = graph.fans.at(index).*;
        try offsets.append(allocator, edge);
        const range = clockless(edge, fan);
        for (range[0]..range[1]) |e| {
            const to = graph.edges.at(e).*;
            if (to < count) incoming[to] += 1;
        }
        edge += fan.total();
    }
    var ready: std.ArrayList(u32) = .empty;
    defer ready.deinit(allocator);
    for (incoming, 0..) |n, index| if (n == 0) try ready.append(allocator, @intCast(index));
    var left = count;
    while (ready.pop()) |index| {
        left -= 1;
        const range = clockless(offsets.at(index).*, graph.fans.at(index).*);
        for (range[0]..range[1]) |e| {
            const to = graph.edges.at(e).*;
            if (to >= count) continue;
            incoming[to] -= 1;
            if (incoming[to] == 0) try ready.append(allocator, to);
        }
    }
    ends.circling_states = left;
    for (incoming, 0..) |n, index| if (n > 0) {
        ends.circling = @intCast(index);
        return;
    };
}

/// The edges a state has while clocks wait for everything else.
fn clockless(first: usize, fan: Fan) [2]usize {
    if (fan.prompt > 0) return .{ first, first + fan.prompt };
    return .{ first + fan.prompt + fan.start, first + fan.total() };
}
