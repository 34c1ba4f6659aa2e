//! How a node's part of the protocol ends: by what no correct node sends, or quietly.

const std = @import("std");
const m = @import("../wire/message.zig");
const World = @import("../sim/world.zig").World;
const pages = @import("../sim/world.zig").pages;
const testing = std.testing;

test "what no correct node sends stops the VM" {
    const version: u64 = 2;
    const wrong = [_]m.Message{
        .{ .inv = .{ .page = 3, .tx = 9, .requester = 0, .version = version, .age = 1 } },
        .{ .inv = .{ .page = 4, .tx = 9, .requester = 0, .version = 99, .age = 1 } },
        .{ .done = .{ .page = 3, .tx = 9 } },
        .{ .inv_ack = .{ .page = 3, .tx = 9 } },
        .{ .put_ack = .{ .page = 3, .tx = 9 } },
        .{ .get = .{ .page = pages, .tx = 9, .access = .read, .version = 0, .age = 1 } },
        .{ .eoi = .{ .vector = 3 } },
    };
    for (wrong) |message| {
        const w = try World.init(2);
        defer w.deinit();
        w.fault(1, 3, .write, 0);
        w.fault(1, 4, .read, 0);
        w.rest();
        var h = w.host(1);
        w.nodes[1].receive(&h, 0, message, w.now_ns);
        try testing.expect(w.fatal.len > 0);
        // A stopped node answers nothing more.
        w.fault(1, 20, .read, 0);
        try testing.expectEqual(0, w.letters.items.len);
    }
}

test "a node that has failed is due for nothing, whatever waits for it" {
    const w = try World.init(2);
    defer w.deinit();
    for ([_]m.NodeId{ 1, 0 }) |node| for ([_]m.Page{ 3, 5, 7 }) |page| {
        w.fault(node, page, .write, 0);
        w.rest();
    };
    for ([_]m.Page{ 3, 5, 7 }) |page| {
        w.fault(1, page, .write, 0);
        w.settle();
    }
    w.fault(0, 3, .write, 0);
    try w.deliver(1, .fwd);
    try testing.expectEqual(1, w.nodes[1].deferred.length);
    try testing.expect(w.nodes[1].deadline() != null);
    var h = w.host(1);
    w.nodes[1].receive(&h, 0, .{ .eoi = .{ .vector = 3 } }, w.now_ns);
    try testing.expect(w.fatal.len > 0);
    try testing.expectEqual(null, w.nodes[1].deadline());
}

test "silence at the end: hush answers all that was deferred" {
    const w = try World.init(2);
    defer w.deinit();
    w.fault(1, 3, .write, 0);
    w.settle();
    w.fault(1, 4, .write, 0);
    w.fault(0, 3, .write, 0);
    try w.deliver(1, .fwd);
    try testing.expectEqual(1, w.nodes[1].stats.deferred);
    try testing.expect(!w.nodes[1].idle());
    var h = w.host(1);
    w.nodes[1].hush(&h, w.now_ns);
    try w.deliver(0, .data);
    try w.expectStates(3, &.{ .modified, .invalid });
}
