//! What the coherence simulator shows in the unit tests: bounded numbers of seeds, the fights for
//! hundreds of pages, exact replay, and that each rule of dsm/guards.zig is needed.

const std = @import("std");
const coherence = @import("coherence.zig");
const guards = @import("../dsm/guards.zig");
const testing = std.testing;

test "random instructions over a channel that reorders stay coherent" {
    for (0..120) |seed| {
        var options = coherence.drawn(seed);
        options.links = false;
        options.instructions = @min(options.instructions, 30);
        _ = try coherence.runOnce(testing.allocator, options);
    }
}

test "random instructions over production links and bad networks stay coherent" {
    for (1000..1012) |seed| {
        var options = coherence.drawn(seed);
        options.links = true;
        options.nodes = @min(options.nodes, 4);
        options.crash_ns = null;
        options.instructions = 10;
        _ = try coherence.runOnce(testing.allocator, options);
    }
}

/// All nodes want up to 400 of 420 pages in one moment, a third of them for writing.
fn fight(nodes: u8, threads: u8, write_percent: u8, links: bool) !void {
    const options: coherence.Options = .{
        .seed = 7 + @as(u64, nodes),
        .nodes = nodes,
        .threads = threads,
        .pages = 420,
        .k_max = 400,
        .write_percent = write_percent,
        .instructions = 4,
        .links = links,
        .net = .{ .delay_min_ns = 5_000, .delay_max_ns = 20_000, .loss_percent = 2 },
    };
    const result = try coherence.runOnce(testing.allocator, options);
    try testing.expectEqual(@as(u64, nodes) * threads * 4, result.retired);
}

test "instructions that need 400 pages at once finish on all nodes that fight for them" {
    for ([_]u8{ 2, 3 }) |nodes| {
        try fight(nodes, 1, 33, false);
        try fight(nodes, 2, 33, false);
        try fight(nodes, 1, 100, false);
    }
    try fight(3, 1, 33, true);
}

test "sharers that upgrade together all retire" {
    for (0..20) |seed| {
        _ = try coherence.runOnce(testing.allocator, .{
            .seed = seed,
            .nodes = 3,
            .threads = 2,
            .pages = 3,
            .k_max = 3,
            .write_percent = 50,
            .instructions = 30,
        });
    }
}

test "a seed replays exactly" {
    for ([_]u64{ 5, 16 }) |seed| {
        var options = coherence.drawn(seed);
        options.instructions = @min(options.instructions, 30);
        const one = try coherence.runOnce(testing.allocator, options);
        const two = try coherence.runOnce(testing.allocator, options);
        try testing.expectEqual(one, two);
        var other = options;
        other.seed += 8;
        const three = try coherence.runOnce(testing.allocator, other);
        try testing.expect(three.digest != one.digest);
    }
}

/// Runs seeds without one rule until the checkers notice.
fn mutate(name: []const u8, seeds_max: u64) !void {
    for (0..seeds_max) |seed| {
        var options = coherence.drawn(seed);
        options.links = false;
        options.instructions = @min(options.instructions, 30);
        options.guards = guards.Guards.without(name).?;
        options.report = false;
        options.stall_steps = 100_000;
        // Rules of progress are missed where several nodes want the same many pages.
        if (seed % 2 == 1) {
            options.nodes = 2 + @as(u8, @intCast(seed / 2 % 2));
            options.threads = 1;
            options.pages = 60;
            options.k_min = 60;
            options.k_max = 60;
            options.write_percent = 70;
            options.mischief = false;
            options.crash_ns = null;
            options.wake_late_ns = 500_000;
            options.device = false;
        }
        _ = coherence.runOnce(testing.allocator, options) catch |err| switch (err) {
            error.OutOfMemory => return err,
            else => return,
        };
    }
    std.debug.print("without {s} nothing failed in {d} seeds\n", .{ name, seeds_max });
    return error.GuardNotNeeded;
}

test "without any one rule the simulator finds a failure" {
    inline for (@typeInfo(guards.Guards).@"struct".fields) |field| try mutate(field.name, 60);
}
