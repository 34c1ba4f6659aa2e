//! The home map: each node is home of one contiguous range of pages, in node order, so that homes
//! are the NUMA nodes the guest sees. Agreed before the start and never changed.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const assert = std.debug.assert;

pub const Shares = struct {
    /// First page of each node's share, and one past the last for every node there is not.
    starts: [limits.nodes_max + 1]m.Page,
    nodes: u8,

    pub fn init(shares: []const u32) Shares {
        assert(shares.len >= 1 and shares.len <= limits.nodes_max);
        var starts: [limits.nodes_max + 1]m.Page = @splat(0);
        for (shares, 0..) |pages_of_node, i| starts[i + 1] = starts[i] + pages_of_node;
        for (shares.len..limits.nodes_max) |i| starts[i + 1] = starts[shares.len];
        return .{ .starts = starts, .nodes = @intCast(shares.len) };
    }

    pub fn pages(self: *const Shares) u32 {
        return self.starts[self.nodes];
    }

    /// The node whose memory holds the page.
    pub fn homeOf(self: *const Shares, page: m.Page) m.NodeId {
        assert(page < self.pages());
        var low: usize = 0;
        var high: usize = self.nodes;
        while (high - low > 1) {
            const middle = (low + high) / 2;
            if (self.starts[middle] <= page) low = middle else high = middle;
        }
        return @intCast(low);
    }
};

test "every page has one home, also beside nodes without memory" {
    const shares: Shares = .init(&.{ 3, 0, 2, 5, 0 });
    const homes = [_]m.NodeId{ 0, 0, 0, 2, 2, 3, 3, 3, 3, 3 };
    try std.testing.expectEqual(homes.len, shares.pages());
    for (homes, 0..) |home, page| {
        try std.testing.expectEqual(home, shares.homeOf(@intCast(page)));
    }
}
