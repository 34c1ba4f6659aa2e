//! Which bytes of lost pages are still needed, on pretend nodes.

const std = @import("std");
const discard = @import("discard.zig").discard;
const World = @import("../sim/world.zig").World;
const testing = std.testing;

test "bytes are forgotten when nobody can be answered with them" {
    const w = try World.init(3);
    defer w.deinit();
    // Of its own memory the home keeps what is right, and what is not while its page is busy.
    w.fault(0, 3, .write, 0);
    w.bytes[0][3][0] = 9;
    var home = w.host(0);
    try testing.expect(!discard(&w.nodes[0], &home, 3));
    w.fault(1, 3, .write, 0);
    try w.deliver(0, .get);
    try testing.expectEqual(.invalid, w.nodes[0].state(3));
    try testing.expect(!discard(&w.nodes[0], &home, 3));
    w.rest();
    try testing.expect(discard(&w.nodes[0], &home, 3));
    try testing.expect(!discard(&w.nodes[0], &home, 3));
    try testing.expectEqual(9, w.bytes[1][3][0]);
    // Another node keeps them on the way home, and while they may be right still.
    var h = w.host(1);
    try testing.expect(!discard(&w.nodes[1], &h, 3));
    try testing.expect(w.nodes[1].evict(&h, 3, w.now_ns));
    try testing.expect(!discard(&w.nodes[1], &h, 3));
    w.rest();
    w.fault(1, 3, .read, 0);
    try testing.expect(!discard(&w.nodes[1], &h, 3));
    const elided = w.nodes[0].stats.elided;
    w.rest();
    try testing.expectEqual(elided + 1, w.nodes[0].stats.elided);
    try testing.expect(w.nodes[1].evict(&h, 3, w.now_ns));
    try testing.expect(discard(&w.nodes[1], &h, 3));
    // What is forgotten comes with its bytes.
    w.fault(1, 3, .read, 0);
    w.rest();
    try testing.expectEqual(elided + 1, w.nodes[0].stats.elided);
    try testing.expectEqual(9, w.bytes[1][3][0]);
}

test "a page that a live gather needs is not evicted, nor one of its residency" {
    const w = try World.init(2);
    defer w.deinit();
    w.fault(1, 3, .write, 0);
    w.settle();
    var h = w.host(1);
    // Its thread has it since this moment, and may fault on others.
    try testing.expect(!w.nodes[1].evict(&h, 3, w.now_ns));
    // It waits for another.
    w.fault(1, 4, .write, 0);
    w.now_ns += std.time.ns_per_s;
    try testing.expect(!w.nodes[1].evict(&h, 3, w.now_ns));
    w.rest();
    try testing.expect(w.nodes[1].evict(&h, 3, w.now_ns));
}
