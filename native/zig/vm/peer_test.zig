//! A real node beside a peer that keeps to the protocol, message by message.

const std = @import("std");
const limits = @import("../limits.zig");
const peer = @import("hostile_peer.zig");
const rig_room = @import("rig.zig");
const Pair = peer.Pair;
const access = peer.access;
const ipi = peer.ipi;
const testing = std.testing;

test "an interrupt that a device's thread has sent reaches a node before later answers" {
    var pair = try Pair.init();
    defer pair.deinit();
    const fabric = &pair.rig.node.engine.?.fabric;
    for (1..100) |count| {
        // The engine hears of it with the access only.
        fabric.awake.store(1, .seq_cst);
        fabric.send(1, ipi(0, &.{1}));
        pair.peer.say(access(1, 1, 1, &.{}));
        while (pair.peer.answers < count) pair.peer.pump();
    }
    try testing.expectEqual(0, pair.peer.overtakes);
}

test "whoever resets the machine from another node gets no answer" {
    var pair = try Pair.init();
    defer pair.deinit();
    var reset = access(1, 1, 1, &.{0xfe});
    reset.io_request.address = 0x64;
    pair.peer.say(reset);
    _ = try pair.rig.event(.reset);
    pair.peer.say(access(1, 1, 1, &.{}));
    while (pair.counter(.io_served) < 2 or pair.peer.replies == 0) pair.peer.pump();
    pair.peer.settle(&pair, Pair.ended);
    try testing.expectEqual(1, pair.peer.replies);
}

fn asked(pair: *Pair) bool {
    pair.peer.pump();
    return pair.peer.wanted != null;
}

test "a machine whose images still wait for a page has not stopped" {
    var pair = try Pair.init();
    defer pair.deinit();
    // Into node 1's memory.
    try pair.rig.node.load(66 * limits.page_size, "image", 1);
    try rig_room.await(&pair, asked);
    try pair.rig.node.stop();
    try testing.expectError(error.Busy, pair.rig.node.close());
    pair.peer.say(.{ .data = .{
        .page = 66,
        .tx = pair.peer.wanted.?.tx,
        .access = .write,
        .version = 1,
        .acks = 0,
        .content = .zero,
        .bytes = &.{},
    } });
    _ = try pair.rig.event(.loaded);
    _ = try pair.rig.event(.stopped);
}
