//! Fetch-ahead in the protocol: what comes behind a walk, on time, late, and not at all.

const std = @import("std");
const m = @import("../wire/message.zig");
const World = @import("../sim/world.zig").World;
const pages = @import("../sim/world.zig").pages;
const testing = std.testing;

fn write(w: *World, node: m.NodeId, page: m.Page) void {
    w.now_ns += std.time.ns_per_s;
    w.fault(node, page, .write, 0);
    w.rest();
}

fn read(w: *World, node: m.NodeId, page: m.Page) void {
    w.fault(node, page, .read, 0);
    w.rest();
}

/// Node 0 wrote six pages, node 1 read them, and stored to all before page 3.
fn walkTo3(w: *World) void {
    for (0..6) |page| write(w, 0, @intCast(page));
    for (0..6) |page| read(w, 1, @intCast(page));
    for (0..3) |page| {
        w.fault(1, @intCast(page), .write, 0);
        w.rest();
    }
}

test "the next pages of a walk are there before it comes, the first of them unmapped" {
    const w = try World.init(2);
    defer w.deinit();
    for (0..8) |page| write(w, 0, @intCast(page));
    read(w, 1, 0);
    const before = w.maps;
    read(w, 1, 1);
    for (2..4) |page| try w.expectStates(@intCast(page), &.{ .shared, .shared });
    try w.expectStates(4, &.{ .modified, .invalid });
    try testing.expectEqual(2, w.nodes[1].stats.ahead);
    // Itself and one of two.
    try testing.expectEqual(before + 2, w.maps);
    const requests = w.nodes[1].stats.requests;
    read(w, 1, 2);
    try testing.expectEqual(5, w.nodes[1].stats.ahead);
    try testing.expectEqual(requests + 3, w.nodes[1].stats.requests);
    try testing.expect(w.nodes[1].idle() and w.nodes[1].credit.gang == 0);
}

test "a walk that writes is given the next pages to be written" {
    const w = try World.init(2);
    defer w.deinit();
    for (0..8) |page| {
        w.fault(1, @intCast(page), .write, 0);
        w.rest();
    }
    for (0..10) |page| try w.expectStates(@intCast(page), &.{ .invalid, .modified });
    try w.expectStates(10, &.{ .invalid, .invalid });
}

test "a walk that catches up with its window waits for no second answer, and hurries" {
    const w = try World.init(2);
    defer w.deinit();
    read(w, 1, 0);
    w.fault(1, 1, .read, 0);
    const requests = w.nodes[1].stats.requests;
    w.fault(1, 3, .read, 0);
    // Only the next window's.
    try testing.expectEqual(requests + 4, w.nodes[1].stats.requests);
    try testing.expectEqual(1, w.nodes[1].stats.hurries);
    w.rest();
    try testing.expectEqual(.shared, w.nodes[1].state(3));
    try testing.expect(w.nodes[1].idle());
}

test "a page that its node needs stays there, whoever walks by" {
    const w = try World.init(3);
    defer w.deinit();
    // Node 0 takes page 3 back from node 2, and its thread needs another one with it.
    for ([_]m.NodeId{ 0, 2 }) |node| write(w, node, 3);
    w.fault(0, 3, .write, 0);
    w.settle();
    w.fault(0, 2 * (pages / 3), .write, 0);
    for ([_]m.Page{ 1, 2 }) |page| {
        w.fault(1, page, .read, 0);
        try w.deliver(0, .get);
        try w.deliver(1, .data);
        try w.deliver(0, .done);
    }
    for (0..2) |_| try w.deliver(0, .get);
    try w.deliver(1, .data);
    try testing.expectEqual(.invalid, w.nodes[1].state(3));
    try testing.expectEqual(.shared, w.nodes[1].state(4));
    w.rest();
    try w.expectStates(3, &.{ .shared, .shared, .invalid });
}

test "pages that a node has had are not fetched ahead, nor those it is granted without a message" {
    const w = try World.init(2);
    defer w.deinit();
    const own: m.Page = pages / 2;
    // Node 1 had page 3; page `own` and those behind it are its own.
    write(w, 1, 3);
    write(w, 0, 3);
    for ([_]m.Page{ 1, 2, own - 2, own - 1 }) |page| read(w, 1, page);
    try testing.expectEqual(.invalid, w.nodes[1].state(3));
    try testing.expectEqual(.shared, w.nodes[1].state(4));
    try testing.expectEqual(.invalid, w.nodes[1].state(own));
    try testing.expectEqual(1, w.nodes[1].stats.ahead);
    // Nor one that it may read already.
    for ([_]m.Page{ 23, 20, 21 }) |page| read(w, 1, page);
    try testing.expectEqual(.shared, w.nodes[1].state(22));
    try testing.expectEqual(2, w.nodes[1].stats.ahead);
}

test "a walk that stores to what its node may read is given the right for the next pages" {
    const w = try World.init(2);
    defer w.deinit();
    for (0..12) |page| write(w, 0, @intCast(page));
    for (0..12) |page| read(w, 1, @intCast(page));
    var mapped: u32 = 0;
    for (0..8) |page| {
        mapped = w.maps;
        w.fault(1, @intCast(page), .write, 0);
        w.rest();
    }
    // A window of two, behind one of one page each for the pages 3 to 6.
    for (0..10) |page| try w.expectStates(@intCast(page), &.{ .invalid, .modified });
    try w.expectStates(10, &.{ .shared, .shared });
    try testing.expectEqual(6, w.nodes[1].stats.ahead_upgrades);
    // Itself and one of two: a store to the other shows.
    try testing.expectEqual(mapped + 2, w.maps);
}

test "a page whose right was asked for ahead goes to who came before, and comes back with bytes" {
    const w = try World.init(2);
    defer w.deinit();
    walkTo3(w);
    w.fault(0, 4, .write, 0);
    w.fault(1, 3, .write, 0);
    try testing.expectEqual(1, w.nodes[1].stats.ahead_upgrades);
    const received = w.nodes[1].stats.pages_received;
    try w.deliver(1, .inv);
    try w.expectStates(4, &.{ .shared, .invalid });
    try w.deliver(0, .inv_ack);
    try w.expectStates(4, &.{ .modified, .invalid });
    w.rest();
    try w.expectStates(4, &.{ .invalid, .modified });
    try testing.expect(!w.nodes[1].local[4].lost and w.nodes[1].idle());
    try testing.expectEqual(received + 1, w.nodes[1].stats.pages_received);
}

test "the right for a page that its node owes to another is not asked for ahead" {
    const w = try World.init(2);
    defer w.deinit();
    walkTo3(w);
    // Another thread of node 1 needs page 4 with one that it waits for.
    w.fault(1, 4, .read, 1);
    w.fault(1, 100, .write, 1);
    try w.deliver(0, .get);
    w.fault(0, 4, .write, 0);
    try w.deliver(1, .inv);
    try testing.expect(w.nodes[1].deferred.has(4));
    const ahead = w.nodes[1].stats.ahead;
    w.fault(1, 3, .write, 0);
    try testing.expectEqual(ahead, w.nodes[1].stats.ahead);
    w.rest();
    try w.expectStates(4, &.{ .modified, .invalid });
}

test "a walk that stores to untouched memory of its home is granted what follows, at once" {
    const w = try World.init(2);
    defer w.deinit();
    for (0..4) |page| w.fault(0, @intCast(page), .write, 0);
    try w.expectStates(4, &.{ .modified, .invalid });
    try w.expectStates(5, &.{ .invalid, .invalid });
    try testing.expectEqual(1, w.nodes[0].stats.touched_ahead);
    try testing.expectEqual(5, w.maps);
    // Behind what was granted, as the thread faults on nothing before.
    for (5..40) |page| {
        if (w.nodes[0].state(@intCast(page)) == .invalid) w.fault(0, @intCast(page), .write, 0);
    }
    const stats = &w.nodes[0].stats;
    try testing.expect(stats.touched_ahead > 20);
    try testing.expectEqual(w.maps, stats.local + stats.touched_ahead);
    try testing.expectEqual(0, w.letters.items.len);
    // Whoever wants one gets it as any other.
    w.bytes[0][4][7] = 9;
    w.fault(1, 4, .write, 0);
    w.rest();
    try w.expectStates(4, &.{ .invalid, .modified });
    try testing.expectEqual(9, w.bytes[1][4][7]);
}

test "nothing is granted ahead that somebody has used or wants, nor what another thread walks to" {
    const w = try World.init(2);
    defer w.deinit();
    const last = pages / 2 - 1;
    read(w, 1, 20);
    write(w, 1, 40);
    write(w, 0, 40);
    w.fault(1, 60, .read, 0);
    try w.deliver(0, .get);
    const before = w.nodes[0].stats.touched_ahead;
    for ([_]m.Page{ 20, 40, 60 }) |used| {
        for (used - 4..used) |page| w.fault(0, @intCast(page), .write, 1);
    }
    for (last - 3..last + 1) |page| w.fault(0, @intCast(page), .write, 1);
    for (80..84) |page| w.fault(0, @intCast(page), .write, @intCast(page % 2));
    // Page 120 came home with bytes and is nobody's.
    write(w, 1, 120);
    w.bytes[1][120][7] = 9;
    var host = w.host(1);
    try testing.expect(w.nodes[1].evict(&host, 120, w.now_ns));
    w.settle();
    for (116..120) |page| w.fault(0, @intCast(page), .write, 1);
    try w.expectStates(120, &.{ .invalid, .invalid });
    // Of pages to be read neither: they would have to be granted again, to be stored to.
    for (100..108) |page| w.fault(0, @intCast(page), .read, 2);
    try testing.expectEqual(before, w.nodes[0].stats.touched_ahead);
    try testing.expectEqual(.shared, w.nodes[1].state(20));
    w.rest();
    try w.expectStates(60, &.{ .invalid, .shared });
}

test "a page granted ahead is kept from nobody, and goes without a trace" {
    const w = try World.init(2);
    defer w.deinit();
    // For what it waits for the thread keeps all it uses.
    for ([_]m.Page{ pages / 2, 0, 1, 2, 3 }) |page| w.fault(0, page, .write, 0);
    for ([_]m.Page{ 4, 3 }) |page| w.fault(1, page, .write, 0);
    for (0..2) |_| try w.deliver(0, .get);
    try w.expectStates(4, &.{ .invalid, .invalid });
    try w.expectStates(3, &.{ .modified, .invalid });
    try testing.expect(w.nodes[0].deferred.has(3));
    w.rest();
    try w.expectStates(4, &.{ .invalid, .modified });
    try testing.expect(w.nodes[0].local[3].lost and !w.nodes[0].local[4].lost);
    // From then on it is as any other.
    w.fault(0, 4, .write, 0);
    w.rest();
    write(w, 1, 4);
    try testing.expect(w.nodes[0].local[4].lost);
}

test "a page granted ahead is kept from nobody where it is read before it is written" {
    const w = try World.init(2);
    defer w.deinit();
    const page = walkTo(w);
    read(w, 1, page);
    try w.expectStates(page, &.{ .shared, .shared });
    // The thread that walked waits, and keeps what it uses.
    for ([_]m.Page{ pages / 2, 0 }) |other| w.fault(0, other, .write, 0);
    w.fault(1, page, .write, 0);
    try w.deliver(0, .get);
    try w.expectStates(page, &.{ .invalid, .shared });
    w.rest();
    try testing.expect(!w.nodes[0].local[page].lost);
}

test "a page granted ahead whose own event comes behind that is as any other" {
    const w = try World.init(2);
    defer w.deinit();
    const page = walkTo(w);
    w.fault(0, page, .write, 1);
    try testing.expect(!w.nodes[0].local[page].ahead);
    w.rest();
    write(w, 1, page);
    try testing.expect(w.nodes[0].local[page].lost);
}

/// Thread 0 of node 0 walks through its memory. Returns the last page granted ahead of it.
fn walkTo(w: *World) m.Page {
    for (0..8) |page| {
        if (w.nodes[0].state(@intCast(page)) != .modified) w.fault(0, @intCast(page), .write, 0);
    }
    w.rest();
    var last: m.Page = 0;
    for (w.nodes[0].local, 0..) |*local, page| {
        if (local.ahead) last = @intCast(page);
    }
    return last;
}

test "a window that was cut short ends there, and the walk with it" {
    const w = try World.init(2);
    defer w.deinit();
    read(w, 1, 26);
    // The page of node 1 ends a window of several.
    for (0..27) |page| {
        if (w.nodes[0].state(@intCast(page)) != .modified) w.fault(0, @intCast(page), .write, 0);
        w.rest();
    }
    const granted = w.nodes[0].stats.touched_ahead;
    w.fault(0, 27, .write, 0);
    try w.expectStates(28, &.{ .invalid, .invalid });
    for (28..31) |page| w.fault(0, @intCast(page), .write, 0);
    try testing.expectEqual(granted + 1, w.nodes[0].stats.touched_ahead);
}
