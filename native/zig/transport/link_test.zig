//! One link by itself: datagrams that no sender of this protocol sends, and when it sleeps; and two
//! with a way between them that drops large datagrams.

const std = @import("std");
const header = @import("header.zig");
const path_room = @import("path.zig");
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

/// From one link to another at once, if not too large.
const Way = struct {
    to: *Link,
    now_ns: u64 = 1,
    most: usize,
    /// So many larger ones pass before the way becomes narrow.
    large: usize = 0,
    heard: usize = 0,

    pub fn transmit(self: *Way, datagram: []const u8) void {
        if (datagram.len > self.most) {
            if (self.large == 0) return;
            self.large -= 1;
        }
        self.to.receive(datagram, self.now_ns, self);
    }

    pub fn deliver(self: *Way, bytes: []const u8) void {
        self.heard += @intFromBool(std.mem.allEqual(u8, bytes, @truncate(bytes.len)));
    }
};

/// Two ends that take the way for one of that MTU.
const Ends = struct {
    links: [2]Link,
    now_ns: u64 = 1,

    fn init(mtu: u32) !Ends {
        var ends: Ends = .{ .links = undefined };
        for (&ends.links, 0..) |*link, i| {
            var own = config;
            own.self = @intCast(i);
            own.peer = @intCast(1 - i);
            own.mtu = mtu;
            own.heartbeat_ns = 250 * std.time.ns_per_ms;
            link.* = try .init(std.testing.allocator, own, 1);
        }
        return ends;
    }

    fn deinit(self: *Ends) void {
        for (&self.links) |*link| link.deinit(std.testing.allocator);
    }

    /// Until nothing is owed, or that time is over; a step is a way there.
    fn pass(self: *Ends, ways: *[2]Way, until_ns: u64) void {
        while (self.now_ns < until_ns) {
            for (&self.links, ways) |*link, *way| {
                way.now_ns = self.now_ns;
                link.poll(self.now_ns, way);
            }
            if (self.links[0].idle() and self.links[1].idle()) return;
            self.now_ns += 50_000;
        }
    }
};

test "where only small datagrams pass everything arrives in small ones, and nobody waits long" {
    var ends: Ends = try .init(9000);
    defer ends.deinit();
    var ways: [2]Way = undefined;
    for (&ways, 0..) |*way, i| way.* = .{ .to = &ends.links[1 - i], .most = 1472 };
    // Nothing but large ones, so that no other acknowledgement tells.
    const page: [4130]u8 = @splat(4130 & 0xff);
    const many = ends.links[0].room();
    for (0..many) |_| try ends.links[0].send(.bulk, 1, &page, 1);
    ends.pass(&ways, 5 * std.time.ns_per_s);
    try std.testing.expectEqual(many, ways[0].heard);
    try std.testing.expectEqual(9000, ends.links[0].narrowed_from);
    try std.testing.expectEqual(0, ends.links[1].narrowed_from);
    // What comes later as well.
    const sent = ends.links[0].stats.retransmitted;
    for (0..10) |_| try ends.links[0].send(.bulk, 1, &page, ends.now_ns);
    ends.pass(&ways, ends.now_ns + std.time.ns_per_s);
    try std.testing.expectEqual(many + 10, ways[0].heard);
    try std.testing.expectEqual(sent, ends.links[0].stats.retransmitted);
}

test "a message of which large parts came before the way became narrow comes whole" {
    for (1..3) |large| {
        var ends: Ends = try .init(1600);
        defer ends.deinit();
        var ways: [2]Way = undefined;
        for (&ways, 0..) |*way, i| way.* = .{ .to = &ends.links[1 - i], .most = 1300 };
        ways[0].large = large;
        const page: [4130]u8 = @splat(4130 & 0xff);
        try ends.links[0].send(.bulk, 1, &page, 1);
        ends.pass(&ways, 5 * std.time.ns_per_s);
        try std.testing.expectEqual(1, ways[0].heard);
        try std.testing.expect(ends.links[0].idle());
        try std.testing.expectEqual(1600, ends.links[0].narrowed_from);
    }
}

test "a way that is cut is no narrow one" {
    var ends: Ends = try .init(9000);
    defer ends.deinit();
    var ways: [2]Way = undefined;
    for (&ways, 0..) |*way, i| way.* = .{ .to = &ends.links[1 - i], .most = 9000 };
    // One way alone, so that the peer is heard all the time.
    ways[0].most = 0;
    const page: [4130]u8 = @splat(4130 & 0xff);
    for (0..200) |_| try ends.links[0].send(.bulk, 1, &page, 1);
    ends.pass(&ways, 5 * std.time.ns_per_s);
    ways[0].most = 9000;
    ends.pass(&ways, 6 * std.time.ns_per_s);
    try std.testing.expectEqual(200, ways[0].heard);
    try std.testing.expectEqual(0, ends.links[0].narrowed_from);
    try std.testing.expect(path_room.least_bytes < ends.links[0].config.mtu);
}
