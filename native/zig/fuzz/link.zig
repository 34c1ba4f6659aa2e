//! Two honest links and somebody between them who replays, delays, cuts and invents datagrams, but
//! cannot forge one that a link would believe (docs/fuzzing.md says what that means). Everything
//! the two sent arrives once, whole, in the order of its key.
//!
//! The links get no allocator after their start: what a datagram costs is bounded by construction.

const std = @import("std");
const attack = @import("attack.zig");
const limits = @import("../limits.zig");
const pair = @import("pair.zig");
const Class = @import("../wire/message.zig").Class;
const Link = @import("../transport/link.zig").Link;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;
const messages_max = 48;
const keys = 4;
/// Datagrams kept, to be delivered late or again.
pub const kept_max = 48;
const rounds_max = 20_000;
const heartbeat_ns = 100 * limits.ns_per_ms;

pub const Kept = struct { to: u8, length: u16, bytes: [pair.mtu + 400]u8 };

pub const Side = struct {
    link: Link,
    sent: u8 = 0,
    sent_of_key: [keys]u8 = @splat(0),
    /// Of what the peer sent.
    received: std.StaticBitSet(messages_max) = .initEmpty(),
    last_of_key: [keys]u8 = @splat(0),
    failure: ?anyerror = null,

    /// Payload: index, key, sequence within the key, filler derived from the index.
    pub fn deliver(self: *Side, bytes: []const u8) void {
        self.take(bytes) catch |err| {
            self.failure = err;
        };
    }

    fn take(self: *Side, bytes: []const u8) !void {
        try expect(bytes.len >= 3 and bytes[0] < messages_max and bytes[1] < keys);
        try expect(!self.received.isSet(bytes[0]));
        self.received.set(bytes[0]);
        try expect(bytes[2] == self.last_of_key[bytes[1]] + 1);
        self.last_of_key[bytes[1]] = bytes[2];
        for (bytes[3..]) |byte| try expect(byte == bytes[0] *% 31);
    }
};

pub const Case = struct {
    sides: [2]Side,
    kept: []Kept,
    kept_length: usize = 0,
    hand: usize = 0,
    now_ns: u64 = 1,
    healed: bool = false,

    fn send(self: *Case, from: u8, source: *Source) void {
        const side = &self.sides[from];
        if (side.sent == messages_max) return;
        var payload: [3200]u8 = undefined;
        const large = source.below(4) == 0;
        const least: usize = if (large) 2700 else 3;
        const length = least + source.below(60);
        const key = source.below(keys);
        side.sent_of_key[key] += 1;
        payload[0..3].* = .{ side.sent, key, side.sent_of_key[key] };
        @memset(payload[3..length], side.sent *% 31);
        const class: Class = if (large) .bulk else @enumFromInt(source.below(3));
        side.link.send(class, key, payload[0..length], self.now_ns) catch unreachable;
        side.sent += 1;
    }

    pub fn poll(self: *Case, index: u8) void {
        var out: Out = .{ .case = self, .to = 1 - index };
        self.sides[index].link.poll(self.now_ns, &out);
    }

    pub fn receive(self: *Case, to: u8, datagram: []const u8) void {
        self.sides[to].link.receive(datagram, self.now_ns, &self.sides[to]);
    }

    fn later(self: *Case) void {
        var at: u64 = std.math.maxInt(u64);
        for (&self.sides) |*side| at = @min(at, side.link.deadline().?);
        self.now_ns = @max(self.now_ns + 1000, at);
    }

    fn finished(self: *Case) bool {
        for (&self.sides, 0..) |*side, i| {
            if (side.received.count() < self.sides[1 - i].sent or !side.link.idle()) return false;
        }
        return true;
    }
};

const Out = struct {
    case: *Case,
    to: u8,

    pub fn transmit(self: *Out, datagram: []const u8) void {
        const case = self.case;
        const kept = &case.kept[case.hand];
        kept.to = self.to;
        kept.length = @intCast(datagram.len);
        @memcpy(kept.bytes[0..datagram.len], datagram);
        case.hand = (case.hand + 1) % kept_max;
        case.kept_length = @min(case.kept_length + 1, kept_max);
        // Before that, whether it arrives is the network's decision.
        if (case.healed) case.receive(self.to, kept.bytes[0..kept.length]);
    }
};

pub fn run(allocator: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    const case = try allocator.create(Case);
    defer allocator.destroy(case);
    case.* = .{ .sides = undefined, .kept = try allocator.alloc(Kept, kept_max) };
    defer allocator.free(case.kept);
    for (&case.sides, 0..) |*side, i| {
        side.* = .{ .link = try Link.init(allocator, pair.config(@intCast(i), heartbeat_ns), 1) };
    }
    defer for (&case.sides) |*side| side.link.deinit(allocator);
    while (source.more()) {
        try step(case, &source);
        for (&case.sides) |*side| if (side.failure) |failure| return failure;
    }
    case.healed = true;
    var rounds: u32 = 0;
    while (!case.finished()) : (rounds += 1) {
        if (rounds == rounds_max) return error.HonestTrafficStalled;
        case.poll(0);
        case.poll(1);
        for (&case.sides) |*side| if (side.failure) |failure| return failure;
        case.later();
    }
}

fn step(case: *Case, source: *Source) !void {
    const index = source.below(2);
    switch (source.below(8)) {
        0, 1 => case.send(index, source),
        2 => case.poll(index),
        3 => case.later(),
        4 => case.now_ns += source.int(u32),
        // What is never delivered here is lost; twice is a replay.
        5, 6 => if (case.kept_length > 0) {
            const kept = &case.kept[source.below(@intCast(case.kept_length))];
            case.receive(kept.to, kept.bytes[0..kept.length]);
        },
        else => try attack.one(case, index, source),
    }
}
