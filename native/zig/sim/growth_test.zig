//! Instructions that need k pages at once on nodes that fight for them, wakes up to 20 ms late: the
//! simulated time each takes must grow no worse than linearly in k and in nodes. Gangs are sized as
//! in production; without them 400 pages on three nodes take four times as long per page
//! (docs/simulator.md), so the bound of two notices when they stop working.

const std = @import("std");
const coherence = @import("coherence.zig");
const limits = @import("../limits.zig");

const seeds = 8;
const sizes = [_]u32{ 10, 40, 100, 400 };

/// Simulated time per retired instruction, page and node: the mean over some seeds.
fn perPage(nodes: u8, k: u32, gang_requests: u32) !u64 {
    var sum_ns: u64 = 0;
    for (1..seeds + 1) |seed| {
        const result = try coherence.runOnce(std.testing.allocator, .{
            .seed = seed,
            .nodes = nodes,
            .threads = 1,
            .pages = 420,
            .k_min = k,
            .k_max = k,
            .instructions = 10,
            .mischief = false,
            .gang_requests = gang_requests,
            .wake_late_ns = 20_000_000,
            .channel = .{ .delay_min_ns = 5_000, .delay_max_ns = 15_000 },
        });
        try std.testing.expectEqual(@as(u64, nodes) * 10, result.retired);
        sum_ns += result.sim_ns / (result.retired * k);
    }
    return sum_ns / seeds;
}

test "time per instruction grows no worse than linearly in pages and nodes" {
    var least: u64 = std.math.maxInt(u64);
    for ([_]u8{ 2, 3, 4 }) |nodes| {
        for (sizes) |k| {
            const each_ns = try perPage(nodes, k, limits.gang_requests_max);
            least = @min(least, each_ns);
            if (each_ns <= 2 * least) continue;
            std.debug.print("{d} nodes, {d} pages: {d} ns a page\n", .{ nodes, k, each_ns });
            return error.GrowsFasterThanLinearly;
        }
    }
}

test "without gangs the bound is missed" {
    const few = try perPage(3, 100, 0);
    const many = try perPage(3, 400, 0);
    try std.testing.expect(many > 2 * few);
}
