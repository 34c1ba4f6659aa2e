//! Worlds of 3 nodes, 2 pages and a drawn program each: how many can deadlock without a rule. Their
//! number compares rules; that none deadlocks with all of them is shown better by runs.zig, where
//! every program is in one world.

const std = @import("std");
const ends = @import("ends.zig");
const graph = @import("graph.zig");
const ops = @import("ops.zig");
const pages = @import("pages.zig");
const Guards = @import("../dsm/guards.zig").Guards;

const nodes = 3;
const operations = 2;

/// Whether the world of this number has a state that cannot come to rest.
pub fn deadlocks(allocator: std.mem.Allocator, number: u64, guards: Guards) !bool {
    var prng: std.Random.DefaultPrng = .init(number);
    const random = prng.random();
    var programs: [nodes * operations]u8 = undefined;
    for (&programs) |*op| op.* = random.uintLessThan(u8, ops.full.len);
    const world = try pages.World.init(allocator, .{
        .shares = if (random.boolean()) &.{ 1, 1, 0 } else &.{ 2, 0, 0 },
        .ops = operations,
        .alphabet = &ops.full,
        .programs = &programs,
        .early = 0,
        .guards = guards,
    });
    defer world.deinit();
    var search: graph.Graph(pages.World) = try .init(allocator, world);
    defer search.deinit();
    switch (try search.explore(.{})) {
        .complete => return (try ends.look(allocator, &search)).stuck != null,
        .bounded => unreachable,
        .found => |found| return found.failure,
    }
}
