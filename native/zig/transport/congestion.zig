//! Congestion window in bytes after NewReno (RFC 9002 section 7 without pacing). Only bulk waits
//! for it: what is urgent is small, and holding an invalidation back would stop vCPUs elsewhere.

const std = @import("std");

pub const Congestion = struct {
    mtu: u32,
    window: u64,
    threshold: u64 = std.math.maxInt(u64),
    in_flight: u64 = 0,
    /// One reduction a round trip: losses of packets sent before this time are the same event.
    recovery_start_ns: u64 = 0,

    const start_packets = 32;
    const least_packets = 4;
    const most_bytes = 16 << 20;

    pub fn init(mtu: u32) Congestion {
        return .{ .mtu = mtu, .window = start_packets * @as(u64, mtu) };
    }

    pub fn mayRelease(self: *const Congestion) bool {
        return self.in_flight < self.window;
    }

    pub fn sent(self: *Congestion, size: u64) void {
        self.in_flight += size;
    }

    pub fn acked(self: *Congestion, size: u64) void {
        self.gone(size);
        if (self.window < self.threshold) {
            self.window += size;
        } else {
            self.window += @as(u64, self.mtu) * size / self.window + 1;
        }
        self.window = @min(self.window, most_bytes);
    }

    pub fn lost(self: *Congestion, size: u64, sent_ns: u64, now_ns: u64) void {
        self.gone(size);
        if (sent_ns < self.recovery_start_ns) return;
        self.recovery_start_ns = now_ns;
        self.window = @max(self.window / 2, least_packets * @as(u64, self.mtu));
        self.threshold = self.window;
    }

    /// Nothing came back for several time-outs.
    pub fn collapse(self: *Congestion, now_ns: u64) void {
        const least = least_packets * @as(u64, self.mtu);
        // What is found to be lost afterwards is the same event, and so is a collapse after it.
        if (self.window > least) self.threshold = @max(self.window / 2, least);
        self.window = least;
        self.recovery_start_ns = now_ns;
    }

    /// Neither lost nor acknowledged: all that it carried came otherwise.
    pub fn gone(self: *Congestion, size: u64) void {
        std.debug.assert(self.in_flight >= size);
        self.in_flight -= size;
    }
};

test "the window halves once a round trip and grows back" {
    var c: Congestion = .init(1000);
    c.sent(3000);
    c.lost(1000, 10, 20);
    try std.testing.expectEqual(16_000, c.window);
    c.lost(1000, 15, 25);
    try std.testing.expectEqual(16_000, c.window);
    c.acked(1000);
    try std.testing.expect(c.window > 16_000 and c.window < 16_100);
    try std.testing.expectEqual(0, c.in_flight);
}

test "after a collapse the window grows fast to half of what it was" {
    var c: Congestion = .init(1000);
    c.sent(32_000);
    c.collapse(100);
    c.collapse(200);
    try std.testing.expectEqual(4000, c.window);
    c.lost(1000, 50, 210);
    for (0..11) |_| c.acked(1000);
    try std.testing.expectEqual(15_000, c.window);
    for (0..2) |_| c.acked(1000);
    try std.testing.expect(c.window > 16_000 and c.window < 16_100);
}
