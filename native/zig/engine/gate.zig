//! Which link a datagram belongs to, before anything behind its head is looked at: it must name a
//! peer and come from that peer's address. A stranger learns nothing, costs one look at the head,
//! and is counted.

const std = @import("std");
const header = @import("../transport/header.zig");
const m = @import("../wire/message.zig");
const udp = @import("../sys/udp.zig");
const Stats = @import("../transport/link.zig").Stats;

pub const Gate = struct {
    node: m.NodeId,
    /// Data sockets of all nodes, in node order.
    addresses: []const udp.Address,
    /// What reached no link.
    stats: Stats = .{},

    pub fn admit(self: *Gate, from: *const udp.Address, datagram: []const u8) ?m.NodeId {
        const head = header.Header.read(datagram) catch {
            self.stats.dropped += 1;
            self.stats.malformed += 1;
            return null;
        };
        const peer = head.source;
        if (peer < self.addresses.len and peer != self.node and
            self.addresses[peer].equal(from)) return peer;
        self.stats.dropped += 1;
        self.stats.foreign += 1;
        return null;
    }
};

test "only a peer at its own address passes" {
    const at = [_]udp.Address{
        try udp.Address.parse("10.0.0.1", 9000),
        try udp.Address.parse("10.0.0.2", 9000),
        try udp.Address.parse("fd00::3", 9000),
    };
    var gate: Gate = .{ .node = 0, .addresses = &at };
    var datagram: [header.bytes]u8 = undefined;
    var head: header.Header = .{
        .plane = .data,
        .vm_id = 1,
        .epoch = 1,
        .source = 1,
        .destination = 0,
        .packet = 1,
    };
    head.write(&datagram);
    try std.testing.expectEqual(1, gate.admit(&at[1], &datagram));
    // Another peer, this node itself, a node there is not, and no datagram of ours at all.
    try std.testing.expectEqual(null, gate.admit(&at[2], &datagram));
    for ([_]u8{ 0, 3, 255 }) |source| {
        head.source = source;
        head.write(&datagram);
        try std.testing.expectEqual(null, gate.admit(&at[@min(source, 1)], &datagram));
    }
    try std.testing.expectEqual(null, gate.admit(&at[1], datagram[0 .. header.bytes - 1]));
    try std.testing.expectEqual(4, gate.stats.foreign);
    try std.testing.expectEqual(1, gate.stats.malformed);
    try std.testing.expectEqual(5, gate.stats.dropped);
}
