//! How many requests a node may have outstanding, by thread.

const std = @import("std");
const Config = @import("config.zig").Config;
const limits = @import("../limits.zig");
const assert = std.debug.assert;

/// One request is kept for each thread, because a thread that waited for the request of another
/// would be a wait that does not end at an older gather. A thread may have several: a signal takes
/// it out of a fault whose request stays; these share what is left.
pub const Credit = struct {
    out: [limits.threads_max]u16 = @splat(0),
    extra: u32 = 0,
    extra_max: u32,
    /// Pages of gangs and those fetched ahead, which nobody waits for: they never take what a fault
    /// needs.
    gang: u32 = 0,
    gang_max: u32,

    pub fn init(config: *const Config) Credit {
        return .{
            .extra_max = config.requests - config.threads,
            .gang_max = config.gang_requests,
        };
    }

    pub fn allows(self: *const Credit, thread: u8) bool {
        return self.out[thread] == 0 or self.extra < self.extra_max;
    }

    pub fn take(self: *Credit, thread: u8) void {
        assert(self.allows(thread));
        if (self.out[thread] > 0) self.extra += 1;
        self.out[thread] += 1;
    }

    pub fn give(self: *Credit, asker: ?u8) void {
        const thread = asker orelse {
            self.gang -= 1;
            return;
        };
        self.out[thread] -= 1;
        if (self.out[thread] > 0) self.extra -= 1;
    }
};

test "each thread has one request of its own, the rest is shared, gangs are apart" {
    var credit: Credit = .{ .extra_max = 1, .gang_max = 1 };
    credit.take(3);
    credit.take(3);
    try std.testing.expect(!credit.allows(3));
    try std.testing.expect(credit.allows(4));
    credit.gang += 1;
    credit.give(null);
    try std.testing.expectEqual(0, credit.gang);
    credit.give(3);
    try std.testing.expect(credit.allows(3));
    try std.testing.expectEqual(0, credit.extra);
}
