//! The worlds that are explored, by name. `small` ones are unit tests; the rest is `npm run
//! explore`. How many states they have: docs/exploration.md.

const std = @import("std");
const links = @import("links.zig");
const ops = @import("ops.zig");
const pages = @import("pages.zig");

pub const What = union(enum) { pages: pages.Options, links: links.Options };
pub const Run = struct { name: []const u8, small: bool = false, what: What };

/// Homes: one page at node 0; one each at nodes 0 and 1. Node 2 has no page.
const one_home = [_]u32{ 1, 0, 0 };
const two_homes = [_]u32{ 1, 1, 0 };

/// Node 1 hands its page back twice, node 2 owns it in between; the home only serves (it has
/// nothing to evict, and no operation that is none is begun).
const put_twice = [_]u8{ evict, evict, evict, evict } ++
    [_]u8{ write, evict, write, evict } ++ [_]u8{ write, evict, evict, evict };
const evict = 0;
const write = 2;

/// Two of one key with one of another between them, of all classes; one in the other direction.
const mixed = [_]links.Message{
    .{ .class = .bulk, .key = 1 },
    .{ .class = .urgent, .key = 1 },
    .{ .class = .control, .key = 2 },
};
const one_bulk = [_]links.Message{.{ .class = .bulk, .key = 1 }};
const answer = [_]links.Message{.{ .class = .urgent, .key = 1 }};
/// A message of two fragments, and one of its key that is more urgent.
const large = [_]links.Message{
    .{ .class = .bulk, .key = 1, .length = 1600 },
    .{ .class = .urgent, .key = 1 },
};

pub const all = [_]Run{
    .{ .name = "page-any-time", .small = true, .what = .{ .pages = .{
        .shares = one_home[0..2],
        .ops = 3,
        .alphabet = &ops.single,
    } } },
    .{ .name = "page-3-nodes", .small = true, .what = .{ .pages = .{
        .shares = &one_home,
        .ops = 2,
        .alphabet = &ops.single,
        .early = 0,
    } } },
    .{ .name = "page-2-threads", .small = true, .what = .{ .pages = .{
        .shares = one_home[0..2],
        .threads = 2,
        .ops = 1,
        .alphabet = &ops.single,
        .early = 1,
    } } },
    .{ .name = "put-twice", .small = true, .what = .{ .pages = .{
        .shares = &one_home,
        .ops = 4,
        .alphabet = &ops.single,
        .programs = &put_twice,
        .puts = 2,
    } } },
    .{ .name = "pages-3-nodes", .small = true, .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 1,
        .alphabet = &ops.lean,
        .early = 0,
    } } },
    .{ .name = "fight", .small = true, .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 1,
        .alphabet = &ops.fight,
        .early = 0,
    } } },
    .{ .name = "gangs", .small = true, .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 1,
        .alphabet = &ops.fight,
        .gang_requests = 2,
        .early = 0,
    } } },
    .{ .name = "links", .small = true, .what = .{ .links = .{
        .messages = .{ mixed[0..2], &answer },
        .early = 0,
    } } },
    .{ .name = "links-fragments", .small = true, .what = .{ .links = .{
        .messages = .{ &large, &.{} },
        .early = 0,
    } } },
    .{ .name = "links-early", .small = true, .what = .{ .links = .{
        .messages = .{ &one_bulk, &answer },
        .early = 1,
    } } },
    .{ .name = "links-early-2", .what = .{ .links = .{
        .messages = .{ &one_bulk, &answer },
        .early = 2,
    } } },
    .{ .name = "links-early-3-messages", .what = .{ .links = .{
        .messages = .{ mixed[0..2], &answer },
        .early = 1,
    } } },
    .{ .name = "links-mixed", .what = .{ .links = .{
        .messages = .{ &mixed, &answer },
        .early = 0,
    } } },
    .{ .name = "page-3-nodes-any-time", .what = .{ .pages = .{
        .shares = &one_home,
        .ops = 1,
        .alphabet = &ops.single,
    } } },
    .{ .name = "pages-2-nodes-any-time", .what = .{ .pages = .{
        .shares = two_homes[0..2],
        .ops = 2,
        .alphabet = &ops.lean,
    } } },
    .{ .name = "pages-2-nodes-full", .what = .{ .pages = .{
        .shares = two_homes[0..2],
        .ops = 2,
        .alphabet = &ops.full,
        .early = 0,
    } } },
    .{ .name = "fight-2-operations", .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 2,
        .alphabet = &ops.fight,
        .early = 0,
    } } },
    .{ .name = "fight-early", .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 1,
        .alphabet = &ops.fight,
        .early = 2,
    } } },
    .{ .name = "pages-full", .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 1,
        .alphabet = &ops.full,
        .early = 0,
    } } },
    .{ .name = "pages-early", .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 1,
        .alphabet = &ops.lean,
        .early = 1,
    } } },
    .{ .name = "pages-2-operations", .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 2,
        .alphabet = &ops.lean,
        .early = 0,
    } } },
    .{ .name = "pages-2-operations-full", .what = .{ .pages = .{
        .shares = &two_homes,
        .ops = 2,
        .alphabet = &ops.full,
        .early = 0,
    } } },
};

pub fn find(name: []const u8) ?*const Run {
    for (&all) |*run| if (std.mem.eql(u8, run.name, name)) return run;
    return null;
}
