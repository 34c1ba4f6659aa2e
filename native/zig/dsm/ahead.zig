//! Fetch-ahead: of a thread that walks through memory which its node never had, page after page,
//! the next pages are on their way before it comes to them.
//!
//! Intuition: the read-ahead of file systems. A second page behind the one before makes a walk, its
//! pages are asked for in windows that double, and the first page of the newest window comes
//! unmapped: the fault on it, which costs no message, asks for the next window, with the right that
//! it wants itself. Windows are younger than every gather, so they take nothing from a thread that
//! still needs it (gather.zig); a page is never seen for the first time twice, so what is taken for
//! nothing is bounded. They share the credit of gangs (gang.zig).

const std = @import("std");
const age_youngest = @import("gather.zig").age_youngest;
const Dsm = @import("dsm.zig").Dsm;
const home = @import("home.zig");
const m = @import("../wire/message.zig");
const requester = @import("requester.zig");

/// Walks that one thread may be in at once: a copy is in two.
const walks_max = 4;
const window_min = 4;
const window_max = 32;

const Walk = struct {
    /// The page behind the last one that was faulted on.
    next: m.Page = 0,
    /// The fault on it asks for the next window.
    mark: m.Page = 0,
    /// Behind the last page asked for.
    end: m.Page = 0,
    window: m.Page = 0,

    /// Goes on at this page, or is there already: the kernel repeats events.
    fn expects(self: *const Walk, page: m.Page) bool {
        return page + 1 >= self.next and page <= self.end and self.end > 0;
    }
};

pub const Window = struct { start: m.Page, end: m.Page };

pub const Walks = struct {
    walks: [walks_max]Walk = @splat(.{}),
    /// The next to be forgotten.
    hand: u8 = 0,

    /// The thread faulted on a page that its node had not used. Returns what to ask for.
    pub fn step(self: *Walks, page: m.Page) ?Window {
        const walk = self.find(page) orelse {
            self.walks[self.hand] = .{ .next = page + 1, .mark = page + 1, .end = page + 1 };
            self.hand = (self.hand + 1) % walks_max;
            return null;
        };
        if (page < walk.next) return null;
        walk.next = page + 1;
        if (page < walk.mark) return null;
        walk.window = std.math.clamp(2 * walk.window, window_min, window_max);
        const start = @max(walk.end, page + 1);
        walk.mark = start;
        walk.end = start + walk.window;
        return .{ .start = start, .end = walk.end };
    }

    fn find(self: *Walks, page: m.Page) ?*Walk {
        for (&self.walks) |*walk| if (walk.expects(page)) return walk;
        return null;
    }

    fn marks(self: *const Walks, page: m.Page) bool {
        for (&self.walks) |*walk| if (walk.end > page and walk.mark == page) return true;
        return false;
    }
};

/// For each thread.
pub fn alloc(allocator: std.mem.Allocator, threads: u16) ![]Walks {
    const walks = try allocator.alloc(Walks, threads);
    @memset(walks, .{});
    return walks;
}

/// Whether a page that this node holds was fetched ahead for this thread, which now uses it.
pub fn fetched(d: *const Dsm, page: m.Page, thread: u8) bool {
    return d.walks[thread].marks(page);
}

/// The thread faulted on a page that its node had not used: asks for those behind it.
pub fn fetch(
    d: *Dsm,
    host: anytype,
    page: m.Page,
    access: m.Access,
    thread: u8,
    now_ns: u64,
) void {
    const window = d.walks[thread].step(page) orelse return;
    const end = @min(window.end, d.local.len);
    var next = window.start;
    while (next < end and d.credit.gang < d.credit.gang_max) : (next += 1) {
        if (!absent(d, next)) continue;
        d.credit.gang += 1;
        d.stats.ahead += 1;
        requester.request(d, host, .{
            .page = next,
            .tx = d.newTx(),
            .access = access,
            .age = age_youngest,
            .asker = null,
            .thread = thread,
            .threads = .initEmpty(),
            .trial = next == window.start,
            .fresh = true,
            .start_ns = now_ns,
        });
    }
}

/// Never had, not asked for, and not granted without a message (requester.zig, alone).
fn absent(d: *Dsm, page: m.Page) bool {
    const local = &d.local[page];
    if (local.state != .invalid or local.lost) return false;
    if (d.pending.has(page) or d.evicting.has(page) or d.parked.has(page)) return false;
    if (d.homeOf(page) != d.node) return true;
    return d.entryOf(page).owner != home.nobody or d.busy.has(page);
}

const testing = std.testing;

test "the second page of a walk asks for a window, its first page for the next" {
    var walks: Walks = .{};
    for (0..2) |_| try testing.expectEqual(null, walks.step(100));
    try testing.expectEqual(Window{ .start = 102, .end = 106 }, walks.step(101).?);
    try testing.expect(walks.marks(102) and !walks.marks(103));
    try testing.expectEqual(Window{ .start = 106, .end = 114 }, walks.step(102).?);
    // These were not on their way yet when the thread came to them.
    for ([_]m.Page{ 103, 105 }) |page| try testing.expectEqual(null, walks.step(page));
    try testing.expectEqual(Window{ .start = 114, .end = 130 }, walks.step(106).?);
    try testing.expectEqual(Window{ .start = 130, .end = 162 }, walks.step(114).?);
    try testing.expectEqual(Window{ .start = 162, .end = 194 }, walks.step(130).?);
}

test "walks side by side keep their windows, pages here and there make none" {
    var walks: Walks = .{};
    for (0..8) |i| for ([_]m.Page{ 1000, 2000, 3000 }) |start| {
        const page: m.Page = @intCast(start + i);
        const window = walks.step(page);
        try testing.expectEqual(i == 1 or i == 2 or i == 6, window != null);
    };
    for (0..100) |i| try testing.expectEqual(null, walks.step(@intCast(10_000 + 2 * i)));
}
