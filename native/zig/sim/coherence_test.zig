//! What the coherence simulator shows in the unit tests: bounded numbers of seeds, the fights for
//! hundreds of pages, exact replay. That each rule is needed: mutants.zig.

const std = @import("std");
const coherence = @import("coherence.zig");
const testing = std.testing;

test "random instructions over a channel that reorders stay coherent" {
    var ahead: u64 = 0;
    var upgrades: u64 = 0;
    for (0..120) |seed| {
        var options = coherence.drawn(seed);
        options.links = false;
        options.instructions = @min(options.instructions, 30);
        const result = try coherence.runOnce(testing.allocator, options);
        if (options.walks) ahead += result.ahead;
        upgrades += result.ahead_upgrades;
    }
    // Seeds that walk do show what fetch-ahead does.
    try testing.expect(ahead > 100);
    try testing.expect(upgrades > 20);
}

test "pages granted ahead of walks through home memory stay coherent" {
    var touched: u64 = 0;
    for (2000..2030) |seed| {
        var options = coherence.drawn(seed);
        options.links = false;
        options.crash_ns = null;
        options.nodes = @min(options.nodes, 4);
        options.pages = 120;
        options.k_max = 30;
        options.gang_requests = 16;
        options.instructions = 10;
        options.walks = true;
        touched += (try coherence.runOnce(testing.allocator, options)).touched_ahead;
    }
    try testing.expect(touched > 200);
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

/// What once failed: a Put behind a deferral that nothing hurried; faults left parked; a thread
/// that joined a request of its gang and did not yield; write-backs that filled a home's table.
const found = [_]u64{ 3220, 3934, 4237, 5082, 1432, 1818, 2377, 64720, 74800, 123_239 };

test "seeds that once failed" {
    for (found) |seed| _ = try coherence.runOnce(testing.allocator, coherence.drawn(seed));
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
