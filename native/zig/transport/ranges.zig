//! Numbers seen so far as a short list of ranges, newest first: what an acknowledgement reports and
//! what tells a replayed packet. The oldest range is forgotten when the list is full; everything
//! below what is remembered counts as seen, so a very late packet is only lost again, never twice
//! in.

const std = @import("std");
const limits = @import("../limits.zig");
const assert = std.debug.assert;

pub const Range = struct { first: u64, last: u64 };

pub const Ranges = struct {
    items: [limits.ack_ranges]Range = undefined,
    length: usize = 0,
    /// All numbers below count as seen.
    floor: u64 = 0,

    /// Adds a number; false when it was seen already.
    pub fn add(self: *Ranges, number: u64) bool {
        if (number < self.floor) return false;
        var i: usize = 0;
        while (i < self.length and self.items[i].first > number) i += 1;
        if (i < self.length and number <= self.items[i].last) return false;
        const joins_above = i > 0 and self.items[i - 1].first == number + 1;
        const joins_below = i < self.length and self.items[i].last + 1 == number;
        if (joins_above and joins_below) {
            self.items[i - 1].first = self.items[i].first;
            self.remove(i);
        } else if (joins_above) {
            self.items[i - 1].first = number;
        } else if (joins_below) {
            self.items[i].last = number;
        } else {
            self.insert(i, .{ .first = number, .last = number });
        }
        return true;
    }

    pub fn slice(self: *const Ranges) []const Range {
        return self.items[0..self.length];
    }

    fn remove(self: *Ranges, at: usize) void {
        std.mem.copyForwards(Range, self.items[at..], self.items[at + 1 .. self.length]);
        self.length -= 1;
    }

    fn insert(self: *Ranges, at: usize, range: Range) void {
        if (self.length == self.items.len) {
            self.floor = self.items[self.length - 1].last + 1;
            self.length -= 1;
            if (at > self.length) {
                // The new number is older than all that is remembered and just above the floor.
                assert(range.first >= self.floor or range.last < self.floor);
                return self.restore(range);
            }
        }
        std.mem.copyBackwards(
            Range,
            self.items[at + 1 .. self.length + 1],
            self.items[at..self.length],
        );
        self.items[at] = range;
        self.length += 1;
    }

    fn restore(self: *Ranges, range: Range) void {
        if (range.last < self.floor) return;
        self.items[self.length] = range;
        self.length += 1;
    }
};

test "ranges join, refuse repeats and forget the oldest" {
    var r: Ranges = .{};
    for ([_]u64{ 0, 2, 1, 5, 4 }) |n| try std.testing.expect(r.add(n));
    try std.testing.expect(!r.add(1));
    try std.testing.expectEqual(2, r.length);
    try std.testing.expectEqual(Range{ .first = 4, .last = 5 }, r.items[0]);
    try std.testing.expect(r.add(3));
    try std.testing.expectEqual(Range{ .first = 0, .last = 5 }, r.items[0]);
    for (1..limits.ack_ranges + 5) |i| try std.testing.expect(r.add(5 + 2 * i));
    try std.testing.expectEqual(limits.ack_ranges, r.length);
    try std.testing.expect(!r.add(3));
}

test "random order against a set" {
    var random: std.Random.DefaultPrng = .init(1);
    var seen: [512]bool = @splat(false);
    var r: Ranges = .{};
    for (0..2000) |_| {
        const n = random.random().uintLessThan(u64, 512);
        const fresh = r.add(n);
        if (fresh) try std.testing.expect(!seen[n]);
        if (fresh) seen[n] = true;
        if (!fresh) try std.testing.expect(seen[n] or n < r.floor);
    }
}
