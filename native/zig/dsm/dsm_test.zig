//! Single flows of the protocol, message by message.

const std = @import("std");
const m = @import("../wire/message.zig");
const World = @import("../sim/world.zig").World;
const testing = std.testing;

test "home memory nobody else uses costs no message" {
    const w = try World.init(2);
    defer w.deinit();
    w.fault(0, 3, .read, 0);
    w.fault(0, 3, .write, 0);
    try testing.expectEqual(0, w.letters.items.len);
    try w.expectStates(3, &.{ .modified, .invalid });
    try testing.expectEqual(2, w.nodes[0].stats.local);
}

test "an untouched page travels without bytes, a written one with them, a known one without" {
    const w = try World.init(2);
    defer w.deinit();
    w.fault(1, 3, .read, 0);
    try w.deliver(0, .get);
    try testing.expectEqual(.zero, w.letters.items[0].message.data.content);
    w.rest();
    w.fault(0, 3, .write, 0);
    w.rest();
    w.bytes[0][3][7] = 42;
    try w.expectStates(3, &.{ .modified, .invalid });
    w.fault(1, 3, .read, 0);
    w.rest();
    try testing.expectEqual(42, w.bytes[1][3][7]);
    try testing.expectEqual(1, w.nodes[1].stats.pages_received);
    // The upgrade names the version it holds.
    w.fault(1, 3, .write, 0);
    w.rest();
    try w.expectStates(3, &.{ .invalid, .modified });
    try testing.expectEqual(1, w.nodes[1].stats.pages_received);
}

test "elision can be off, and an upgrade still needs no bytes" {
    const w = try World.init(2);
    defer w.deinit();
    w.nodes[0].elide = .{ .zero = false, .same = false };
    w.fault(1, 3, .read, 0);
    w.rest();
    try testing.expectEqual(1, w.nodes[1].stats.pages_received);
    w.fault(1, 3, .write, 0);
    w.rest();
    try testing.expectEqual(1, w.nodes[1].stats.pages_received);
    try w.expectStates(3, &.{ .invalid, .modified });
}

test "a forwarded read: owner answers, bytes go home, home stays busy for both" {
    const w = try World.init(3);
    defer w.deinit();
    w.fault(1, 3, .write, 0);
    w.rest();
    w.bytes[1][3][0] = 9;
    w.fault(2, 3, .read, 0);
    try w.deliver(0, .get);
    try w.deliver(1, .fwd);
    try w.deliver(2, .data);
    try w.expectStates(3, &.{ .invalid, .shared, .shared });
    try w.deliver(0, .done);
    try testing.expect(!w.nodes[0].idle());
    try w.deliver(0, .write_back);
    try testing.expect(w.nodes[0].idle());
    try testing.expectEqual(9, w.bytes[0][3][0]);
    // The home's copy is valid again: it serves itself without a message.
    w.fault(0, 3, .read, 0);
    try testing.expectEqual(0, w.letters.items.len);
    try w.expectStates(3, &.{ .shared, .shared, .shared });
}

test "a wait at the own home that needs no other node says nothing of what faults cost" {
    const w = try World.init(2);
    defer w.deinit();
    w.fault(1, 3, .read, 0);
    try w.deliver(0, .get);
    try w.deliver(1, .data);
    // Busy until the Done.
    w.fault(0, 3, .read, 0);
    try w.expectStates(3, &.{ .invalid, .shared });
    w.rest();
    try w.expectStates(3, &.{ .shared, .shared });
    try testing.expectEqual(0, w.nodes[0].gathers.cost.samples);
    try testing.expectEqual(1, w.nodes[1].gathers.cost.samples);
    // One that takes the other's copy does.
    w.fault(0, 3, .write, 0);
    w.rest();
    try testing.expectEqual(1, w.nodes[0].gathers.cost.samples);
}

test "acknowledgements may come before the data, and all are waited for" {
    const w = try World.init(4);
    defer w.deinit();
    for ([_]u8{ 1, 2, 3 }) |node| w.fault(node, 3, .read, 0);
    w.rest();
    w.fault(1, 3, .write, 0);
    try w.deliver(0, .get);
    try w.deliver(2, .inv);
    try w.deliver(1, .inv_ack);
    try w.deliver(1, .data);
    try w.expectStates(3, &.{ .invalid, .shared, .invalid, .shared });
    try w.deliver(3, .inv);
    try w.deliver(1, .inv_ack);
    try w.expectStates(3, &.{ .invalid, .modified, .invalid, .invalid });
}

test "sixty-four nodes share a page, then one writes it" {
    const w = try World.init(64);
    defer w.deinit();
    for (0..64) |node| w.fault(@intCast(node), 5, .read, 0);
    w.rest();
    for (w.nodes) |*dsm| try testing.expectEqual(.shared, dsm.state(5));
    w.fault(63, 5, .write, 0);
    w.rest();
    for (w.nodes[0..63]) |*dsm| try testing.expectEqual(.invalid, dsm.state(5));
    try testing.expectEqual(.modified, w.nodes[63].state(5));
    for (w.nodes) |*dsm| try testing.expect(dsm.idle());
}

test "a Put that meets a busy page is acknowledged at once, and its sender answers meanwhile" {
    const w = try World.init(3);
    defer w.deinit();
    w.fault(1, 3, .write, 0);
    w.rest();
    w.bytes[1][3][0] = 77;
    var h = w.host(1);
    try testing.expect(w.nodes[1].evict(&h, 3, w.now_ns));
    w.fault(2, 3, .write, 0);
    try w.deliver(0, .get);
    try w.deliver(0, .put);
    // A thread of the evicting node wants the page back: not before the PutAck.
    w.fault(1, 3, .read, 0);
    try testing.expectError(error.NoSuchMessage, w.deliver(0, .get));
    // The Fwd was sent before the PutAck, so it comes before it.
    try w.deliver(1, .fwd);
    try w.deliver(1, .put_ack);
    // The home is busy still, and the page is asked for already.
    try w.deliver(0, .get);
    try testing.expectEqual(1, w.nodes[0].busy.length);
    try w.deliver(2, .data);
    try testing.expectEqual(77, w.bytes[2][3][0]);
    w.rest();
    try w.expectStates(3, &.{ .invalid, .shared, .shared });
    try testing.expectEqual(77, w.bytes[0][3][0]);
    for (w.nodes) |*dsm| try testing.expect(dsm.idle());
}

test "an eviction brings the bytes home and frees its credit" {
    const w = try World.init(2);
    defer w.deinit();
    w.fault(1, 3, .write, 0);
    w.fault(1, 4, .write, 0);
    w.rest();
    w.bytes[1][3][0] = 5;
    var h = w.host(1);
    try testing.expect(w.nodes[1].evict(&h, 3, w.now_ns));
    try testing.expect(!w.nodes[1].evict(&h, 4, w.now_ns));
    w.rest();
    try testing.expect(w.nodes[1].evict(&h, 4, w.now_ns));
    w.rest();
    w.fault(0, 3, .read, 0);
    try testing.expectEqual(5, w.bytes[0][3][0]);
    try testing.expectEqual(0, w.letters.items.len);
}

test "a page of a live gather waits for its thread, until an older one asks behind it" {
    const w = try World.init(4);
    defer w.deinit();
    // Node 3's gather is the oldest: its Lamport counter has not moved yet.
    w.fault(3, 192, .write, 0);
    w.now_ns += 1;
    w.fault(3, 65, .read, 0);
    // Node 0 holds page 3 and waits for page 64; it has heard of a later age than node 3's.
    w.nodes[0].gathers.observe(100 << 16);
    w.fault(0, 64, .write, 0);
    w.fault(0, 3, .write, 0);
    // Node 2 is younger than both: deferred, with no end in sight.
    w.nodes[2].gathers.observe(200 << 16);
    w.fault(2, 3, .write, 0);
    try w.deliver(0, .get);
    try testing.expectEqual(.modified, w.nodes[0].state(3));
    try testing.expectEqual(1, w.nodes[0].stats.deferred);
    try testing.expectEqual(null, w.nodes[0].deadline());
    // Node 3 queues behind node 2, and its age frees the page at once.
    try w.deliver(1, .get);
    try w.deliver(1, .get);
    try w.deliver(3, .data);
    w.fault(3, 3, .read, 0);
    try w.deliver(0, .get);
    try testing.expectEqual(.invalid, w.nodes[0].state(3));
    try testing.expectEqual(1, w.nodes[0].stats.hurries);
    w.rest();
    try w.expectStates(3, &.{ .invalid, .invalid, .shared, .shared });
    try w.expectStates(64, &.{ .modified, .invalid, .invalid, .invalid });
}

test "several local threads are one request, and all are woken" {
    const w = try World.init(2);
    defer w.deinit();
    for (0..3) |thread| w.fault(1, 3, .read, @intCast(thread));
    w.fault(1, 3, .read, 1);
    try testing.expectEqual(1, w.nodes[1].stats.requests);
    w.rest();
    try testing.expectEqual(1, w.maps);
    // Held already: mapped again by its state, no message.
    w.fault(1, 3, .read, 2);
    try testing.expectEqual(2, w.maps);
    try testing.expectEqual(0, w.letters.items.len);
}

test "withdrawn faults share the spare credit, and a thread leaves no parked one behind" {
    const w = try World.init(2);
    defer w.deinit();
    // A signal takes a thread out of its fault, again and again: 2 requests out, the last parked.
    for ([_]m.Page{ 2, 4, 6, 8, 10 }) |page| w.fault(1, page, .read, 0);
    try testing.expectEqual(2, w.nodes[1].stats.requests);
    // The others have their own.
    w.fault(1, 12, .read, 1);
    w.fault(1, 14, .read, 2);
    try testing.expectEqual(4, w.nodes[1].stats.requests);
    w.rest();
    for ([_]m.Page{ 2, 4, 10, 12, 14 }) |page| {
        try testing.expectEqual(.shared, w.nodes[1].state(page));
    }
    // It waits there no more; when it comes back it faults again.
    for ([_]m.Page{ 6, 8 }) |page| try testing.expectEqual(.invalid, w.nodes[1].state(page));
    for (w.nodes) |*dsm| try testing.expect(dsm.idle());
}

test "a page given away to make room for a gather is asked for again by the fault on it" {
    const w = try World.init(3);
    defer w.deinit();
    // Node 1 has lost all these pages but those of the walk, node 0 had none of them.
    const wanted: m.Page = 100;
    for ([_]m.NodeId{ 1, 2 }) |node| for (wanted..231) |page| {
        if (page >= wanted + 60 and page < 200) continue;
        w.fault(node, @intCast(page), .write, 0);
        w.rest();
    };
    for (wanted - 4..wanted - 1) |page| {
        w.fault(0, @intCast(page), .write, 0);
        w.rest();
    }
    // One long gather, whose pages stay, and a walk of node 0 that comes to the first of them.
    for (wanted..wanted + 60) |page| {
        w.fault(1, @intCast(page), .write, 0);
        w.settle();
    }
    w.fault(0, wanted - 1, .write, 0);
    try w.deliver(1, .get);
    try w.deliver(1, .get);
    try testing.expectEqual(1, w.nodes[1].deferred.length);
    // That gather ends, and the 31 others come that are remembered beside it.
    w.now_ns += 480_000;
    for (200..231) |page| {
        w.now_ns += 40_000;
        w.fault(1, @intCast(page), .write, 0);
        try w.deliver(2, .get);
        try w.deliver(1, .data);
        try w.deliver(2, .done);
    }
    try testing.expectEqual(1, w.nodes[1].deferred.length);
    w.now_ns += 40_000;
    w.fault(1, wanted, .write, 0);
    try testing.expectEqual(0, w.nodes[1].deferred.length);
    try testing.expectEqual(.invalid, w.nodes[1].state(wanted));
    w.rest();
    try w.expectStates(wanted, &.{ .invalid, .modified, .invalid });
    for (w.nodes) |*dsm| try testing.expect(dsm.idle());
}
