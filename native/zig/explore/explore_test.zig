//! The small worlds, every state of them; and each rule off alone, which one of them must notice.
//! Built ReleaseSafe, as these are half a million states (build.zig).

const std = @import("std");
const ends = @import("ends.zig");
const graph = @import("graph.zig");
const link_guards = @import("../transport/guards.zig");
const links = @import("links.zig");
const pages = @import("pages.zig");
const runs = @import("runs.zig");
const trail = @import("trail.zig");
const worlds = @import("worlds.zig");
const Guards = @import("../dsm/guards.zig").Guards;
const testing = std.testing;

comptime {
    _ = @import("chunks.zig");
    _ = @import("lanes.zig");
    _ = @import("ops.zig");
    _ = @import("trail.zig");
}

/// What is wrong with a world, null if nothing; all of its states are looked at.
fn failureOf(comptime World: type, options: anytype) !?World.Failure {
    const a = testing.allocator;
    const world = try World.init(a, options);
    defer world.deinit();
    var search: graph.Graph(World) = try .init(a, world);
    defer search.deinit();
    switch (try search.explore(.{})) {
        .bounded => unreachable,
        .found => |found| {
            try replays(World, options, &search, found);
            // As a value: the caller asks what was found.
            return @as(?World.Failure, found.failure);
        },
        .complete => {},
    }
    const end = try ends.look(a, &search);
    const stuck = end.stuck != null or end.circling != null;
    return @as(?World.Failure, if (stuck) error.Stuck else null);
}

/// The path to a failure leads there on a fresh world, too.
fn replays(comptime World: type, options: anytype, search: anytype, found: anytype) !void {
    const a = testing.allocator;
    const codes = try search.trail(a, found.state);
    defer a.free(codes);
    const again = try World.init(a, options);
    defer again.deinit();
    for (codes) |code| try testing.expect(try again.apply(code));
    try testing.expectEqual(search.fingerprints.at(found.state).*, again.fingerprint());
    const event = found.event orelse return testing.expectError(found.failure, again.atRest());
    try testing.expectError(found.failure, again.apply(event));
}

test "in the small worlds every state is right and comes to rest" {
    for (&runs.all) |*run| {
        if (!run.small) continue;
        const failure: ?anyerror = switch (run.what) {
            .pages => |options| try failureOf(pages.World, options),
            .links => |options| try failureOf(links.World, options),
        };
        if (failure) |err| {
            std.debug.print("{s}: {t}; npm run explore -- {s} shows how\n", .{
                run.name, err, run.name,
            });
            return error.Found;
        }
    }
}

test "each rule of coherence is missed in a small world" {
    const Missed = struct { rule: []const u8, run: []const u8 };
    const table = [_]Missed{
        .{ .rule = "defer_while_busy", .run = "page-any-time" },
        .{ .rule = "wait_all_acks", .run = "page-any-time" },
        .{ .rule = "invalidate_sharers", .run = "page-any-time" },
        .{ .rule = "write_back_before_done_complete", .run = "page-3-nodes" },
        .{ .rule = "version_bump", .run = "page-3-nodes" },
        .{ .rule = "version_check", .run = "page-3-nodes" },
        .{ .rule = "protect_before_read", .run = "page-any-time" },
        .{ .rule = "answer_before_request", .run = "page-any-time" },
        .{ .rule = "hurry", .run = "fight" },
        .{ .rule = "residency", .run = "page-any-time" },
        .{ .rule = "gather_age", .run = "fight" },
        .{ .rule = "put_kept", .run = "page-any-time" },
        .{ .rule = "busy_put_ignored", .run = "page-3-nodes" },
        .{ .rule = "put_ack", .run = "put-twice" },
        .{ .rule = "version_bump_alone", .run = "page-3-nodes" },
        .{ .rule = "drop_before_answer", .run = "page-any-time" },
        .{ .rule = "oldest_first", .run = "fight" },
    };
    // No operation forgets bytes here: bytes_kept is the simulator's.
    comptime std.debug.assert(table.len + 1 == @typeInfo(Guards).@"struct".fields.len);
    var missing = false;
    for (table) |row| {
        var options = runs.find(row.run).?.what.pages;
        options.guards = Guards.without(row.rule).?;
        if (try failureOf(pages.World, options) != null) continue;
        std.debug.print("without {s} nothing is wrong in {s}\n", .{ row.rule, row.run });
        missing = true;
    }
    if (missing) return error.GuardNotNeeded;
}

test "endings are looked for in a part of a world, too, and only found where they are wrong" {
    const bound: graph.Bound = .{ .states = 30_000 };
    for ([_]bool{ true, false }) |hurry| {
        const a = testing.allocator;
        var options = runs.find("fight").?.what.pages;
        options.guards.hurry = hurry;
        const world = try pages.World.init(a, options);
        defer world.deinit();
        var search: graph.Graph(pages.World) = try .init(a, world);
        defer search.deinit();
        try testing.expectEqual(.bounded, std.meta.activeTag(try search.explore(bound)));
        try testing.expect(search.fans.length < search.fingerprints.length);
        const end = try ends.look(a, &search);
        try testing.expectEqual(hurry, end.stuck == null);
        if (hurry) try testing.expectEqual(null, end.circling);
    }
}

test "each rule of the transport is missed in a small world" {
    defer link_guards.off = null;
    for ([_]link_guards.Guard{ .duplicate_suppression, .key_order, .retransmission }) |rule| {
        link_guards.off = rule;
        if (try failureOf(links.World, runs.find("links").?.what.links) == null) {
            std.debug.print("without {t} nothing is wrong\n", .{rule});
            return error.GuardNotNeeded;
        }
    }
}

test "drawn worlds deadlock without hurry and answer-before-request, and not with them" {
    const a = testing.allocator;
    const off: Guards = .{ .hurry = false, .answer_before_request = false };
    for (0..20) |number| {
        if (!try worlds.deadlocks(a, number, off)) continue;
        return testing.expect(!try worlds.deadlocks(a, number, .{}));
    }
    return error.GuardsNotNeeded;
}
