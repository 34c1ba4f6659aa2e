//! How often each page came to this node from another one: what `giantvm hot` shows. Two counters a
//! page in memory that costs nothing until a page moves; the engine writes, anyone may read.

const std = @import("std");
const m = @import("../wire/message.zig");
const untouched = @import("../untouched.zig");
const assert = std.debug.assert;

const Entry = extern struct {
    transfers: u32,
    /// Of them: for a store, or for a walk that nested paging counts as one.
    writes: u32,
};

pub const Hot = struct { page: m.Page, transfers: u32, writes: u32 };
pub const Totals = struct { transfers: u64 = 0, writes: u64 = 0 };

pub const Heat = struct {
    pages: []Entry,

    pub fn init(pages: usize) std.mem.Allocator.Error!Heat {
        return .{ .pages = try untouched.alloc(Entry, pages) };
    }

    pub fn deinit(self: *Heat) void {
        untouched.free(Entry, self.pages);
    }

    /// Engine thread: a request to another node for this page has been fulfilled.
    pub fn add(self: *Heat, page: m.Page, write: bool) void {
        const entry = &self.pages[page];
        @atomicStore(u32, &entry.transfers, entry.transfers +| 1, .monotonic);
        if (write) @atomicStore(u32, &entry.writes, entry.writes +| 1, .monotonic);
    }

    /// The hottest pages, hottest first, and the sums over all. Any thread but the engine's: it
    /// reads the whole table.
    pub fn top(self: *const Heat, out: []Hot, totals: *Totals) []Hot {
        assert(out.len > 0);
        totals.* = .{};
        var kept: usize = 0;
        for (self.pages, 0..) |*entry, page| {
            const transfers = @atomicLoad(u32, &entry.transfers, .monotonic);
            if (transfers == 0) continue;
            const writes = @atomicLoad(u32, &entry.writes, .monotonic);
            totals.transfers += transfers;
            totals.writes += writes;
            if (kept == out.len and out[kept - 1].transfers >= transfers) continue;
            if (kept < out.len) kept += 1;
            var at = kept - 1;
            while (at > 0 and out[at - 1].transfers < transfers) : (at -= 1) out[at] = out[at - 1];
            out[at] = .{ .page = @intCast(page), .transfers = transfers, .writes = writes };
        }
        return out[0..kept];
    }
};

test "the hottest pages come first, and the sums are over all" {
    var heat: Heat = try .init(100);
    defer heat.deinit();
    for ([_]m.Page{ 5, 9, 9, 9, 70, 70, 1 }) |page| heat.add(page, page == 70);
    var out: [2]Hot = undefined;
    var totals: Totals = .{};
    const hot = heat.top(&out, &totals);
    try std.testing.expectEqualDeep(&[_]Hot{
        .{ .page = 9, .transfers = 3, .writes = 0 },
        .{ .page = 70, .transfers = 2, .writes = 2 },
    }, hot);
    try std.testing.expectEqual(Totals{ .transfers = 7, .writes = 2 }, totals);
}
