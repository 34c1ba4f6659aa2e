//! One link by itself: datagrams that no sender of this protocol sends, and when it sleeps.

const std = @import("std");
const header = @import("header.zig");
const link_room = @import("link.zig");
const Link = link_room.Link;

const config: link_room.Config = .{
    .vm_id = 7,
    .epoch = 1,
    .self = 0,
    .peer = 1,
    .mtu = 1400,
    .heartbeat_ns = 1_000_000,
    .nodes = 2,
};

const Sink = struct {
    count: usize = 0,
    pub fn deliver(self: *Sink, bytes: []const u8) void {
        _ = bytes;
        self.count += 1;
    }
    pub fn transmit(self: *Sink, datagram: []const u8) void {
        self.count += datagram.len;
    }
};

test "mutated datagrams are dropped or harmless" {
    const allocator = std.testing.allocator;
    var prng: std.Random.DefaultPrng = .init(99);
    const random = prng.random();
    var link = try Link.init(allocator, config, 1);
    defer link.deinit(allocator);
    var sink: Sink = .{};
    for (0..50_000) |i| {
        var datagram: [256]u8 = undefined;
        const length = header.bytes + random.uintLessThan(usize, 200);
        random.bytes(datagram[0..length]);
        const head: header.Header = .{
            .plane = .data,
            .vm_id = 7,
            .epoch = 1,
            .source = 1,
            .destination = 0,
            .packet = random.uintLessThan(u64, 5000),
        };
        head.write(&datagram);
        mutateFrames(datagram[header.bytes..length], random);
        link.receive(datagram[0..length], i + 2, &sink);
        if (i % 16 == 0) link.poll(i + 2, &sink);
    }
    try std.testing.expect(link.stats.dropped > 1000);
    try std.testing.expect(link.stats.datagrams_received > 1000);
}

/// Begins with something that looks like a frame, so that the parser gets past the first byte.
fn mutateFrames(body: []u8, random: std.Random) void {
    const starts = [_][]const u8{
        &.{ 0x81, 0x03 },
        &.{ 0x84, 0x01, 0x1b, 0, 0, 0, 0, 0, 0, 0, 9, 0x01, 0x41, 0xff },
        &.{ 0x84, 0x00, 0x1b, 0, 0, 0, 0, 0, 0, 0, 9, 0x00, 0x81, 0x02 },
        &.{ 0x87, 0x02, 0x1b, 0, 0, 0, 0, 0, 0, 0, 9, 0x00, 0x04, 0x01, 0x02, 0x42, 1, 2 },
    };
    var at: usize = 0;
    while (at < body.len) {
        const start = starts[random.uintLessThan(usize, starts.len)];
        if (at + start.len > body.len) {
            for (body[at..]) |*byte| byte.* = 0x81;
            break;
        }
        @memcpy(body[at..][0..start.len], start);
        at += start.len;
    }
    const flips = random.uintLessThan(usize, 4);
    for (0..flips) |_| {
        if (body.len > 0) body[random.uintLessThan(usize, body.len)] = random.int(u8);
    }
}

test "a link whose packets are all under way sleeps until the first may be asked for" {
    const allocator = std.testing.allocator;
    var link = try Link.init(allocator, config, 1);
    defer link.deinit(allocator);
    var sink: Sink = .{};
    const now_ns = 2;
    while (!link.packets.full()) {
        try link.send(.urgent, 0, "x", now_ns);
        link.poll(now_ns, &sink);
    }
    // An acknowledgement is due, too, and the heartbeat soon.
    link.ack_due_ns = now_ns;
    try std.testing.expectEqual(link.probeDue().?, link.deadline().?);
    try std.testing.expect(link.deadline().? > now_ns + 1_000_000);
}
