//! Whether large datagrams arrive at all. A switch, or a host with a smaller MTU, may drop them
//! without a word while everything small passes (black hole detection, RFC 8899 section 4.3): the
//! route of this host says nothing of the rest of the way.

const std = @import("std");
const limits = @import("../limits.zig");

/// UDP payload that every way worth serving takes.
pub const least_bytes = limits.mtu_min - 48;
/// So many in a row, for so long, are no accident on a bad network.
const many = 8;
const long_ns = 1000 * limits.ns_per_ms;
/// From here on it is worth asking with a small one.
const doubtful_at = 3;

pub const Path = struct {
    /// Large datagrams that left since one was acknowledged, or passed by a later datagram.
    unanswered: u32 = 0,
    /// Number of the first of them.
    first: u64 = 0,
    /// How often one was passed, none of them acknowledged; and when the first was.
    passed: u32 = 0,
    passed_ns: u64 = 0,

    pub fn sent(self: *Path, number: u64, bytes: usize) void {
        if (bytes <= least_bytes) return;
        if (self.unanswered == 0) self.first = number;
        self.unanswered +|= 1;
    }

    /// A datagram of that size was acknowledged.
    pub fn arrived(self: *Path, bytes: usize) void {
        if (bytes > least_bytes) self.* = .{};
    }

    /// The newest number of an acknowledgement, once all that it names has arrived.
    pub fn acknowledged(self: *Path, newest: u64, now_ns: u64) void {
        if (self.unanswered == 0 or newest <= self.first) return;
        if (self.passed == 0) self.passed_ns = now_ns;
        self.passed +|= 1;
        self.unanswered = 0;
    }

    pub fn doubtful(self: *const Path) bool {
        return self.passed > 0 or self.unanswered >= doubtful_at;
    }

    pub fn blocked(self: *const Path, now_ns: u64) bool {
        return self.passed >= many and now_ns -| self.passed_ns >= long_ns;
    }
};

test "a way is blocked where small datagrams pass large ones again and again, for a while" {
    const large = least_bytes + 1;
    var path: Path = .{};
    for (1..100) |number| path.sent(number, large);
    path.sent(100, least_bytes);
    try std.testing.expect(path.doubtful());
    // Of what left before them; then once behind all of them, however many there were.
    path.acknowledged(1, 5);
    path.acknowledged(100, 5);
    try std.testing.expectEqual(1, path.passed);
    // Nothing large has left since.
    path.acknowledged(101, 6);
    for (1..many) |i| {
        try std.testing.expect(path.doubtful() and !path.blocked(5 + long_ns));
        path.sent(200 + 2 * i, large);
        path.acknowledged(200 + 2 * i + 1, 7);
    }
    try std.testing.expect(!path.blocked(4 + long_ns) and path.blocked(5 + long_ns));
    path.arrived(least_bytes);
    try std.testing.expect(path.blocked(5 + long_ns));
    path.arrived(large);
    try std.testing.expect(!path.doubtful() and !path.blocked(5 + long_ns));
}
