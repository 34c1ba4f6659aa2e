//! Two links and a wire on which a test decides what happens to each datagram: properties of the
//! transport that random runs would show only as being slower.

const std = @import("std");
const limits = @import("../limits.zig");
const Class = @import("../wire/message.zig").Class;
const Link = @import("../transport/link.zig").Link;
const path = @import("../transport/path.zig");

pub const Failure = error{ OldEpoch, HeadOfLine, RepairedLate, TooMuchAgain, StaysFull };

const mtu = 1400;
/// Between two datagrams.
const way_ns = 50_000;
/// More than the receiver acknowledges at once.
const rounds = 12;

/// Every property, one after the other.
pub fn all(allocator: std.mem.Allocator) (Failure || error{OutOfMemory})!void {
    try hearsOldEpoch(allocator);
    try waitsForOthers(allocator);
    try repairsLate(allocator);
    try probesOnce(allocator);
    for ([_]usize{ 1, path.least_bytes }) |length| try emptiesFullWindows(allocator, length);
}

const Ends = struct {
    links: [2]Link,

    fn init(allocator: std.mem.Allocator, epochs: [2]u32) !Ends {
        var self: Ends = undefined;
        for (&self.links, epochs, 0..) |*link, epoch, i| link.* = try .init(allocator, .{
            .vm_id = 7,
            .epoch = epoch,
            .self = @intCast(i),
            .peer = @intCast(1 - i),
            .mtu = mtu,
            .heartbeat_ns = 10 * std.time.ns_per_s,
            .nodes = 2,
        }, 1);
        return self;
    }

    fn deinit(self: *Ends, allocator: std.mem.Allocator) void {
        for (&self.links) |*link| link.deinit(allocator);
    }
};

/// From one end to the other at once; the datagrams with a bit in `lose` are lost.
const Wire = struct {
    to: *Link,
    now_ns: u64,
    lose: u64 = 0,
    sent: u6 = 0,
    names: [64]u8 = undefined,
    heard: usize = 0,

    pub fn transmit(self: *Wire, datagram: []const u8) void {
        std.debug.assert(datagram.len <= mtu);
        defer self.sent += 1;
        if (self.lose >> self.sent & 1 == 0) self.to.receive(datagram, self.now_ns, self);
    }

    pub fn deliver(self: *Wire, bytes: []const u8) void {
        self.names[self.heard] = bytes[0];
        self.heard += 1;
    }

    fn slice(self: *const Wire) []const u8 {
        return self.names[0..self.heard];
    }
};

/// A datagram that was under way while the machine was reset is dropped.
fn hearsOldEpoch(allocator: std.mem.Allocator) !void {
    var ends: Ends = try .init(allocator, .{ 1, 2 });
    defer ends.deinit(allocator);
    ends.links[0].send(Class.urgent, 1, "stale", 1) catch unreachable;
    var wire: Wire = .{ .to = &ends.links[1], .now_ns = 2 };
    ends.links[0].poll(1, &wire);
    if (wire.heard > 0) return error.OldEpoch;
}

/// A lost message holds back those of its own key and no others.
fn waitsForOthers(allocator: std.mem.Allocator) !void {
    var ends: Ends = try .init(allocator, .{ 1, 1 });
    defer ends.deinit(allocator);
    var wire: Wire = .{ .to = &ends.links[1], .now_ns = 2, .lose = 1 };
    const from = &ends.links[0];
    for ([_]u8{ 'a', 'b', 'c' }, [_]u64{ 1, 2, 1 }) |name, key| {
        from.send(Class.urgent, key, &.{name}, 1) catch unreachable;
        from.poll(1, &wire);
    }
    if (!std.mem.eql(u8, wire.slice(), "b")) return error.HeadOfLine;
}

/// What later acknowledgements show to be lost is sent again then, not after a time-out.
fn repairsLate(allocator: std.mem.Allocator) !void {
    var ends: Ends = try .init(allocator, .{ 1, 1 });
    defer ends.deinit(allocator);
    const from, const to = .{ &ends.links[0], &ends.links[1] };
    var forth: Wire = .{ .to = to, .now_ns = 1, .lose = 1 };
    var back: Wire = .{ .to = from, .now_ns = 1 };
    for (0..rounds) |i| {
        from.send(Class.urgent, i, &.{@intCast(i)}, forth.now_ns) catch unreachable;
        from.poll(forth.now_ns, &forth);
        forth.now_ns += way_ns;
        back.now_ns = forth.now_ns + way_ns;
        to.poll(forth.now_ns, &back);
    }
    // Far less has passed than the least time-out.
    comptime std.debug.assert(rounds * way_ns < limits.rto_min_ns / 2);
    from.poll(forth.now_ns, &forth);
    if (std.mem.indexOfScalar(u8, forth.slice(), 0) == null) return error.RepairedLate;
}

/// A peer that does not answer is asked with one datagram; what its answer shows to be lost goes
/// again at once, also when an acknowledgement has left behind the probe.
fn probesOnce(allocator: std.mem.Allocator) !void {
    var ends: Ends = try .init(allocator, .{ 1, 1 });
    defer ends.deinit(allocator);
    const from, const to = .{ &ends.links[0], &ends.links[1] };
    var forth: Wire = .{ .to = to, .now_ns = 1, .lose = 0xff };
    for ("abcdefgh", 0..) |name, key| {
        from.send(Class.urgent, key, &.{name}, 1) catch unreachable;
        from.poll(1, &forth);
    }
    forth.now_ns = from.deadline().?;
    var back: Wire = .{ .to = from, .now_ns = forth.now_ns - way_ns };
    to.send(Class.urgent, 1, "x", back.now_ns) catch unreachable;
    to.poll(back.now_ns, &back);
    from.poll(forth.now_ns, &forth);
    if (forth.sent != 9 or !std.mem.eql(u8, forth.slice(), "a")) return error.TooMuchAgain;
    forth.now_ns = from.deadline().?;
    from.poll(forth.now_ns, &forth);
    std.debug.assert(forth.sent == 10 and forth.heard == 1);
    back.now_ns = to.deadline().?;
    to.poll(back.now_ns, &back);
    from.poll(back.now_ns, &forth);
    if (!std.mem.eql(u8, forth.slice(), "abcdefgh")) return error.RepairedLate;
}

/// Two ends that have sent a whole window into a void come to rest once the way is open, soon, also
/// where the datagrams are so large that their way is doubted (path.zig).
fn emptiesFullWindows(allocator: std.mem.Allocator, length: usize) !void {
    var ends: Ends = try .init(allocator, .{ 1, 1 });
    defer ends.deinit(allocator);
    const bytes: [mtu]u8 = @splat(0);
    for (0..limits.link_packets) |i| for (&ends.links) |*link| {
        link.send(Class.urgent, i, bytes[0..length], 1) catch unreachable;
        var nowhere: Void = .{};
        link.poll(1, &nowhere);
    };
    var now_ns: u64 = 1;
    while (now_ns < 10 * std.time.ns_per_s) {
        if (ends.links[0].idle() and ends.links[1].idle()) return;
        now_ns = @max(now_ns, @min(ends.links[0].deadline().?, ends.links[1].deadline().?));
        for (&ends.links, [_]usize{ 1, 0 }) |*link, peer| {
            var open: Open = .{ .to = &ends.links[peer], .now_ns = now_ns };
            link.poll(now_ns, &open);
        }
    }
    return error.StaysFull;
}

const Void = struct {
    pub fn transmit(_: *Void, _: []const u8) void {}
};

const Open = struct {
    to: *Link,
    now_ns: u64,

    pub fn transmit(self: *Open, datagram: []const u8) void {
        self.to.receive(datagram, self.now_ns, self);
    }

    pub fn deliver(_: *Open, _: []const u8) void {}
};

test "an old epoch is not heard, keys wait for nobody, losses are mended soon, silence is probed" {
    try all(std.testing.allocator);
}

const owed_keys = 7;

/// An open way to an end that checks the order of what it hears.
const Owed = struct {
    to: *Link,
    now_ns: u64 = 1,
    heard: usize = 0,
    next: [owed_keys]u64 = std.simd.iota(u64, owed_keys),
    disorder: bool = false,

    pub fn transmit(self: *Owed, datagram: []const u8) void {
        self.to.receive(datagram, self.now_ns, self);
    }

    pub fn deliver(self: *Owed, bytes: []const u8) void {
        const number = std.mem.readInt(u64, bytes[0..8], .little);
        const next = &self.next[@intCast(number % owed_keys)];
        if (number != next.*) self.disorder = true;
        next.* = number + owed_keys;
        self.heard += 1;
    }
};

test "what is owed beyond a window waits and comes, each message once, in the order of its key" {
    const allocator = std.testing.allocator;
    var ends: Ends = try .init(allocator, .{ 1, 1 });
    defer ends.deinit(allocator);
    var sent: usize = 0;
    while (sent < 2 * limits.link_messages + 100) : (sent += 1) for (&ends.links) |*link| {
        owe(link, sent);
        var nowhere: Void = .{};
        link.poll(1, &nowhere);
    };
    try std.testing.expectEqual(0, ends.links[0].room());
    var owed: [2]Owed = undefined;
    for (&owed, 0..) |*each, i| each.* = .{ .to = &ends.links[1 - i] };
    var now_ns: u64 = 1;
    for (0..1_000_000) |_| {
        if (ends.links[0].idle() and ends.links[1].idle()) break;
        now_ns = @max(now_ns, @min(ends.links[0].deadline().?, ends.links[1].deadline().?));
        for (&ends.links, &owed) |*link, *each| {
            each.now_ns = now_ns;
            link.poll(now_ns, each);
        }
        for (&ends.links, &owed) |*link, *each| {
            if (link.idle()) try std.testing.expectEqual(sent, each.heard);
        }
        if (ends.links[0].backlog.empty() or ends.links[1].backlog.empty()) continue;
        // Even where there is room by now, it is for those that wait.
        for (&ends.links) |*link| owe(link, sent);
        sent += 1;
    } else return error.StaysFull;
    for (&owed) |*each| {
        try std.testing.expectEqual(sent, each.heard);
        try std.testing.expect(!each.disorder);
    }
}

/// Of all lengths. Only the first are bulk, which waits for its acknowledgements: what is urgent
/// leaves at once, so that a whole window of it is acknowledged in one moment.
fn owe(link: *Link, number: u64) void {
    var bytes: [3000]u8 = @splat(0);
    std.mem.writeInt(u64, bytes[0..8], number, .little);
    const bulk = number < limits.link_messages / 2 and number % 50 == 0;
    const class: Class = if (bulk) .bulk else if (number % 2 == 0) .urgent else .control;
    const length: usize = if (number % 50 == 0) bytes.len else 8;
    link.send(class, number % owed_keys, bytes[0..length], 1) catch unreachable;
}
