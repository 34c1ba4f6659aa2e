//! Packets that wait for their moment, a bounded number of them, in the order of their times;
//! packets of one time keep the order in which they came.

const std = @import("std");
const assert = std.debug.assert;

const Entry = struct {
    at_ns: u64,
    sequence: u64,
    to: u8,
    length: u16,
    slot: u16,

    fn order(_: void, a: Entry, b: Entry) std.math.Order {
        const by_time = std.math.order(a.at_ns, b.at_ns);
        return if (by_time == .eq) std.math.order(a.sequence, b.sequence) else by_time;
    }
};

pub const Held = struct {
    allocator: std.mem.Allocator,
    queue: std.PriorityQueue(Entry, void, Entry.order) = .empty,
    free: std.ArrayList(u16),
    bytes: []u8,
    packet_max: usize,
    sequence: u64 = 0,

    pub fn init(allocator: std.mem.Allocator, capacity: u16, packet_max: usize) !Held {
        assert(packet_max <= std.math.maxInt(u16));
        var self: Held = .{
            .allocator = allocator,
            .free = try .initCapacity(allocator, capacity),
            .bytes = try allocator.alloc(u8, capacity * packet_max),
            .packet_max = packet_max,
        };
        try self.queue.ensureTotalCapacity(allocator, capacity);
        for (0..capacity) |slot| self.free.appendAssumeCapacity(@intCast(slot));
        return self;
    }

    pub fn deinit(self: *Held) void {
        self.queue.deinit(self.allocator);
        self.free.deinit(self.allocator);
        self.allocator.free(self.bytes);
    }

    /// Keeps a copy; false when there is no room.
    pub fn put(self: *Held, at_ns: u64, to: u8, packet: []const u8) bool {
        assert(packet.len <= self.packet_max);
        const slot = self.free.pop() orelse return false;
        @memcpy(self.place(slot)[0..packet.len], packet);
        self.sequence += 1;
        self.queue.push(self.allocator, .{
            .at_ns = at_ns,
            .sequence = self.sequence,
            .to = to,
            .length = @intCast(packet.len),
            .slot = slot,
        }) catch unreachable; // As many entries as slots have room.
        return true;
    }

    pub fn nextTime(self: *Held) ?u64 {
        return if (self.queue.peek()) |entry| entry.at_ns else null;
    }

    pub const Packet = struct { to: u8, bytes: []const u8 };

    /// The next packet whose time has come; its bytes stay until the next put.
    pub fn take(self: *Held, now_ns: u64) ?Packet {
        const first = self.nextTime() orelse return null;
        if (first > now_ns) return null;
        const entry = self.queue.pop().?;
        self.free.appendAssumeCapacity(entry.slot);
        return .{ .to = entry.to, .bytes = self.place(entry.slot)[0..entry.length] };
    }

    fn place(self: *Held, slot: u16) []u8 {
        return self.bytes[slot * self.packet_max ..][0..self.packet_max];
    }
};

test "packets leave by time, then in order, and never more than fit are held" {
    var held: Held = try .init(std.testing.allocator, 3, 16);
    defer held.deinit();
    try std.testing.expect(held.put(20, 1, "second"));
    try std.testing.expect(held.put(20, 2, "third"));
    try std.testing.expect(held.put(10, 0, "first"));
    try std.testing.expect(!held.put(5, 0, "no room"));
    try std.testing.expectEqual(10, held.nextTime());
    try std.testing.expectEqual(null, held.take(9));
    for ([_][]const u8{ "first", "second", "third" }, 0..) |text, to| {
        const packet = held.take(20).?;
        try std.testing.expectEqualStrings(text, packet.bytes);
        try std.testing.expectEqual(to, packet.to);
    }
    try std.testing.expectEqual(null, held.nextTime());
    try std.testing.expect(held.put(5, 0, "room again"));
}
