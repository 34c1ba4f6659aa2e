//! Two links and a wire on which a test decides what happens to each datagram: properties of the
//! transport that random runs would show only as being slower.

const std = @import("std");
const limits = @import("../limits.zig");
const Class = @import("../wire/message.zig").Class;
const Link = @import("../transport/link.zig").Link;

pub const Failure = error{ OldEpoch, HeadOfLine, RepairedLate, TooMuchAgain };

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
/// again at once, and only that.
fn probesOnce(allocator: std.mem.Allocator) !void {
    var ends: Ends = try .init(allocator, .{ 1, 1 });
    defer ends.deinit(allocator);
    const from, const to = .{ &ends.links[0], &ends.links[1] };
    // Of eight the first and the last two are lost, and no acknowledgement has come back.
    var forth: Wire = .{ .to = to, .now_ns = 1, .lose = 0b1100_0001 };
    for ("abcdefgh", 0..) |name, key| {
        from.send(Class.urgent, key, &.{name}, 1) catch unreachable;
        from.poll(1, &forth);
    }
    var nowhere: Wire = .{ .to = from, .now_ns = 1, .lose = std.math.maxInt(u64) };
    to.poll(1, &nowhere);
    const heard = forth.heard;
    forth.now_ns = from.deadline().?;
    from.poll(forth.now_ns, &forth);
    const probe = forth.slice()[heard..];
    if (forth.sent != 9 or !std.mem.eql(u8, probe, "a")) return error.TooMuchAgain;
    var back: Wire = .{ .to = from, .now_ns = forth.now_ns + way_ns };
    to.poll(to.deadline().?, &back);
    from.poll(back.now_ns, &forth);
    const again = forth.slice()[heard + 1 ..];
    if (!std.mem.eql(u8, again, "gh")) return error.TooMuchAgain;
}

test "an old epoch is not heard, keys wait for nobody, losses are mended soon, silence is probed" {
    try all(std.testing.allocator);
}
