//! Messages for which the window has no room: first in, first out. A peer is owed more than a
//! window when others ask for what it holds and it acknowledges late; nothing of that may be lost.
//! Here, and only here, what is urgent waits behind bulk: the order of each key is kept that way.
//!
//! One ring of bytes, since most messages are short and a page is long: each message lies behind
//! its head, both may wrap.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const limits = @import("../limits.zig");
const untouched = @import("../untouched.zig");
const m = @import("../wire/message.zig");
const Class = m.Class;
const assert = std.debug.assert;

const Head = extern struct { key: u64, length: u32, class: Class };
const head_bytes = @sizeOf(Head);

/// Of any coherence message without a page, on the wire.
const short_bytes = 64;

/// Bytes of messages that may wait for room on one link, a power of two: what a node of a VM of
/// `nodes` may owe another. A home keeps a place for each request and Put of each node, and may
/// wait for a whole page for each (WriteBack) as well as for short ones (Get, Inv or Fwd, InvAck,
/// Done, and Hurry twice); an access of a vCPU may be answered by as much as a page.
pub fn sizeFor(nodes: usize) usize {
    const page = head_bytes + codec.message_bytes_max;
    const short = head_bytes + short_bytes;
    const places = nodes * (limits.requests_max + limits.gang_requests_max + limits.puts_max);
    const owed = places * (page + 6 * short) + limits.vcpus_max * page;
    return std.math.ceilPowerOfTwo(usize, owed) catch unreachable;
}

pub const Backlog = struct {
    /// Not written before messages use it, from its start again whenever it was empty, so it costs
    /// as much memory as ever waited.
    ring: []u8,
    /// Bytes taken and added since it was empty.
    taken: u64 = 0,
    added: u64 = 0,

    pub const Item = struct { class: Class, key: u64, bytes: []const u8 };

    /// `size`: a power of two, as the ring is indexed by mask.
    pub fn init(size: usize) !Backlog {
        assert(std.math.isPowerOfTwo(size));
        return .{ .ring = try untouched.alloc(u8, size) };
    }

    pub fn deinit(self: *Backlog) void {
        untouched.free(u8, self.ring);
    }

    pub fn empty(self: *const Backlog) bool {
        return self.taken == self.added;
    }

    /// Takes a copy.
    pub fn add(self: *Backlog, item: Item) error{Full}!void {
        assert(item.bytes.len <= codec.message_bytes_max);
        if (self.added - self.taken + head_bytes + item.bytes.len > self.ring.len) {
            return error.Full;
        }
        const length: u32 = @intCast(item.bytes.len);
        const head: Head = .{ .key = item.key, .class = item.class, .length = length };
        self.write(std.mem.asBytes(&head));
        self.write(item.bytes);
    }

    /// The oldest, which goes; its bytes lie in `buffer`. The caller has seen that there is one.
    pub fn take(self: *Backlog, buffer: *[codec.message_bytes_max]u8) Item {
        assert(!self.empty());
        var head: Head = undefined;
        self.read(std.mem.asBytes(&head));
        self.read(buffer[0..head.length]);
        if (self.empty()) {
            self.taken = 0;
            self.added = 0;
        }
        return .{ .class = head.class, .key = head.key, .bytes = buffer[0..head.length] };
    }

    fn write(self: *Backlog, bytes: []const u8) void {
        const at: usize = @intCast(self.added & (self.ring.len - 1));
        const first = @min(bytes.len, self.ring.len - at);
        @memcpy(self.ring[at..][0..first], bytes[0..first]);
        @memcpy(self.ring[0 .. bytes.len - first], bytes[first..]);
        self.added += bytes.len;
    }

    fn read(self: *Backlog, bytes: []u8) void {
        const at: usize = @intCast(self.taken & (self.ring.len - 1));
        const first = @min(bytes.len, self.ring.len - at);
        @memcpy(bytes[0..first], self.ring[at..][0..first]);
        @memcpy(bytes[first..], self.ring[0 .. bytes.len - first]);
        self.taken += bytes.len;
        assert(self.taken <= self.added);
    }
};

test "what waits comes as it went, over the end of the ring too, and what has no room is refused" {
    const size = 1 << 20;
    var backlog: Backlog = try .init(size);
    defer backlog.deinit();
    var prng: std.Random.DefaultPrng = .init(1);
    const random = prng.random();
    var bytes: [codec.message_bytes_max]u8 = undefined;
    var buffer: [codec.message_bytes_max]u8 = undefined;
    var last: [2]u64 = @splat(0);
    var wraps: usize = 0;
    while (wraps < 10) {
        const fills = random.boolean();
        while (fills) {
            const length = random.intRangeAtMost(usize, 1, bytes.len);
            @memset(bytes[0..length], @truncate(last[0]));
            const class: Class = @enumFromInt(last[0] % 3);
            const item = bytes[0..length];
            backlog.add(.{ .class = class, .key = last[0], .bytes = item }) catch {
                const room = size - (backlog.added - backlog.taken);
                try std.testing.expect(room < length + head_bytes);
                break;
            };
            last[0] += 1;
        }
        for (0..random.uintLessThan(usize, 400)) |_| {
            if (backlog.empty()) break;
            const before = backlog.taken;
            const item = backlog.take(&buffer);
            wraps += @intFromBool(backlog.taken / size > before / size);
            try std.testing.expectEqual(last[1], item.key);
            try std.testing.expectEqual(last[1] % 3, @intFromEnum(item.class));
            try std.testing.expect(item.bytes.len > 0);
            try std.testing.expect(std.mem.allEqual(u8, item.bytes, @truncate(last[1])));
            last[1] += 1;
        }
    }
    while (!backlog.empty()) : (last[1] += 1) _ = backlog.take(&buffer);
    try std.testing.expectEqual(last[0], last[1]);
    try std.testing.expectEqual(0, backlog.added);
}

test "a link has room for all that a node may owe another" {
    try std.testing.expectEqual(16 << 20, sizeFor(2));
    try std.testing.expectEqual(256 << 20, sizeFor(limits.nodes_max));
    const most = std.math.maxInt(u64);
    const page = std.math.maxInt(u32);
    for ([_]m.Message{
        .{ .get = .{ .page = page, .tx = most, .access = .write, .version = most, .age = most } },
        .{ .fwd = .{
            .page = page,
            .tx = most,
            .access = .write,
            .requester = 63,
            .version = most,
            .next = most,
            .age = most,
        } },
        .{ .inv = .{ .page = page, .tx = most, .requester = 63, .version = most, .age = most } },
        .{ .inv_ack = .{ .page = page, .tx = most } },
        .{ .hurry = .{ .page = page, .tx = most, .age = most } },
        .{ .done = .{ .page = page, .tx = most } },
    }) |message| {
        var buffer: [codec.message_bytes_max]u8 = undefined;
        try std.testing.expect(codec.encode(&message, &buffer).len <= short_bytes);
    }
}
