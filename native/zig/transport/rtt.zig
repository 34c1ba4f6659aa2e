//! Retransmission time-out after RFC 6298, with a lower floor than its one second: these are hosts
//! of one cluster, and a page fault waits behind every lost datagram.

const limits = @import("../limits.zig");
const std = @import("std");

pub const Rtt = struct {
    smoothed_ns: u64 = 0,
    variation_ns: u64 = 0,
    backoff: u6 = 0,

    /// One measurement, of a packet that was sent once (Karn: a retransmission is a new packet).
    pub fn sample(self: *Rtt, measured_ns: u64) void {
        self.answered();
        if (self.smoothed_ns == 0) {
            self.smoothed_ns = @max(1, measured_ns);
            self.variation_ns = measured_ns / 2;
            return;
        }
        const s = self.smoothed_ns;
        const difference = if (s > measured_ns) s - measured_ns else measured_ns - s;
        self.variation_ns = (3 * self.variation_ns + difference) / 4;
        self.smoothed_ns = @max(1, (7 * s + measured_ns) / 8);
    }

    pub fn timeout(self: *const Rtt) u64 {
        // Before the first sample RFC 6298 takes a second; the cap makes it 250 ms, and a lost
        // first datagram of a starting cluster should not cost that much either.
        const base = if (self.smoothed_ns == 0)
            20 * limits.ns_per_ms
        else
            self.smoothed_ns + @max(4 * self.variation_ns, limits.ack_delay_ns);
        const floored = @max(base, limits.rto_min_ns);
        return @min(floored << @min(self.backoff, 8), limits.rto_max_ns);
    }

    /// Something was acknowledged.
    pub fn answered(self: *Rtt) void {
        self.backoff = 0;
    }

    pub fn expired(self: *Rtt) void {
        self.backoff +|= 1;
    }
};

test "the time-out follows RFC 6298 and doubles up to its cap" {
    var rtt: Rtt = .{};
    rtt.sample(100 * limits.ns_per_ms);
    try std.testing.expectEqual(50 * limits.ns_per_ms, rtt.variation_ns);
    try std.testing.expectEqual(250 * limits.ns_per_ms, rtt.timeout());
    for (0..50) |_| rtt.sample(10_000);
    try std.testing.expectEqual(limits.rto_min_ns, rtt.timeout());
    rtt.expired();
    try std.testing.expectEqual(2 * limits.rto_min_ns, rtt.timeout());
    for (0..100) |_| rtt.expired();
    try std.testing.expectEqual(limits.rto_max_ns, rtt.timeout());
    rtt.sample(10_000);
    try std.testing.expectEqual(limits.rto_min_ns, rtt.timeout());
}
