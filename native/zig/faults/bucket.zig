//! A link of limited rate with a queue before it: a token bucket (RFC 2697's idea, one colour)
//! written as the moment until which the link is busy, so that no timer fills it. What the queue
//! has no room for is lost, as in a router.

const std = @import("std");

pub const Bucket = struct {
    /// 0 = no limit.
    bits_per_s: u64 = 0,
    /// What may wait before the link.
    queue_bytes: u64 = 0,
    busy_until_ns: u64 = 0,

    /// What an idle link passes on at once.
    const burst_bytes = 6000;

    /// When the last bit of the packet has left; null when the queue is full.
    pub fn take(self: *Bucket, bytes: u64, now_ns: u64) ?u64 {
        if (self.bits_per_s == 0) return now_ns;
        const waiting_ns = self.busy_until_ns -| now_ns;
        if (waiting_ns + self.duration(bytes) > self.duration(self.queue_bytes)) return null;
        const from_ns = @max(self.busy_until_ns, now_ns -| self.duration(burst_bytes));
        self.busy_until_ns = from_ns + self.duration(bytes);
        return @max(self.busy_until_ns, now_ns);
    }

    fn duration(self: *const Bucket, bytes: u64) u64 {
        const ns = @as(u128, bytes) * 8 * std.time.ns_per_s / self.bits_per_s;
        return std.math.lossyCast(u64, ns);
    }
};

test "a burst passes, then the rate holds, then the queue is full" {
    // 1 byte a microsecond.
    var bucket: Bucket = .{ .bits_per_s = 8_000_000, .queue_bytes = 3000 };
    const start = 1_000_000_000;
    for (0..6) |_| try std.testing.expectEqual(start, bucket.take(1000, start));
    try std.testing.expectEqual(start + 1_000_000, bucket.take(1000, start));
    try std.testing.expectEqual(start + 2_000_000, bucket.take(1000, start));
    try std.testing.expectEqual(start + 3_000_000, bucket.take(1000, start));
    try std.testing.expectEqual(null, bucket.take(1000, start));
    try std.testing.expectEqual(start + 4_000_000, bucket.take(1000, start + 1_000_000));
    var free: Bucket = .{};
    try std.testing.expectEqual(7, free.take(1 << 40, 7));
}
