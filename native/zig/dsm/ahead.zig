//! Fetch-ahead: of a thread that walks through memory which its node never had, or stores to page
//! after page that its node may only read, the next pages are on their way before it comes to them.
//!
//! Intuition: the read-ahead of file systems. A page behind the one before makes a walk; what is
//! behind that is asked for in windows as long as the walk so far, and the first page of the
//! newest comes unmapped, or stays mapped to be read: the fault on it, which costs no message, asks
//! for the next window, with the right of that fault. A window to write is a quarter of the walk:
//! that right costs others more, and a home whose memory nobody had used a message. What is taken
//! for nothing is less than twice what was walked, and once, unless it is evicted; of pages to be
//! read half of what was walked, but each time. Windows are younger than every gather, so they end
//! none of another node (gather.zig), and may use half of the credit of gangs (gang.zig), as on a
//! page that others fight for they wait for the end of that.
//!
//! A walk that stores to memory of its own home which nobody has ever used needs no message, but a
//! wake of the engine for each page: it is given what follows in windows of the same length, to
//! the first page that somebody has used, and at once. Until it is lost, such a page may never
//! have been used here either: it is kept from nobody, and losing it is no sign of a fight.

const std = @import("std");
const age_youngest = @import("gather.zig").age_youngest;
const Dsm = @import("dsm.zig").Dsm;
const m = @import("../wire/message.zig");
const requester = @import("requester.zig");
const silent = @import("silent.zig");

/// Walks that one thread may be in at once: a copy is in two.
const walks_max = 4;
const window_max = 32;

const Walk = struct {
    start: m.Page = 0,
    /// The page behind the last one that was faulted on.
    next: m.Page = 0,
    /// The fault on it asks for the next window.
    mark: m.Page = 0,
    /// Behind the last page asked for, or passed over for want of credit.
    end: m.Page = 0,

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

    /// The thread faulted on a page that its node had not used, or only read. Returns what to ask
    /// for.
    pub fn step(self: *Walks, page: m.Page, access: m.Access) ?Window {
        const walk = self.find(page) orelse {
            const next = page + 1;
            self.walks[self.hand] = .{ .start = page, .next = next, .mark = next, .end = next };
            self.hand = (self.hand + 1) % walks_max;
            return null;
        };
        if (page < walk.next) return null;
        walk.next = page + 1;
        if (page < walk.mark) return null;
        const walked = walk.next - walk.start;
        const window = @min(if (access == .write) walked / 4 else walked, window_max);
        walk.mark = @max(walk.end, walk.next);
        walk.end = walk.mark + window;
        return if (window == 0) null else .{ .start = walk.mark, .end = walk.end };
    }

    /// The window ended before a page that is not to be had.
    fn cut(self: *Walks, window: Window, end: m.Page) void {
        for (&self.walks) |*walk| {
            if (walk.mark == window.start and walk.end == window.end) walk.end = end;
        }
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

/// Apart, as memory is read first and then stored to, by the same thread, too.
pub const Thread = struct {
    /// Through pages that its node never had.
    fresh: Walks = .{},
    /// Stores, through pages that its node may read.
    upgrades: Walks = .{},
    /// Stores, through memory of its own home that nobody else uses.
    untouched: Walks = .{},
};

pub fn alloc(allocator: std.mem.Allocator, threads: u16) ![]Thread {
    const walks = try allocator.alloc(Thread, threads);
    @memset(walks, .{});
    return walks;
}

/// Whether the page is the first of a walk's newest window: its node has not used the right to it.
pub fn marks(d: *const Dsm, page: m.Page, thread: u8) bool {
    const walks = &d.walks[thread];
    return walks.fresh.marks(page) or walks.upgrades.marks(page);
}

/// The thread faulted on a page that its node had not used, or only read: asks for those behind it.
pub fn fetch(
    d: *Dsm,
    host: anytype,
    page: m.Page,
    faulted: m.Access,
    thread: u8,
    upgrade: bool,
    now_ns: u64,
) void {
    const own = &d.walks[thread];
    const stores = upgrade or own.upgrades.marks(page);
    const walks = if (stores) &own.upgrades else &own.fresh;
    const access: m.Access = if (stores) .write else faulted;
    const window = walks.step(page, access) orelse return;
    const end = @min(window.end, d.local.len);
    var next = window.start;
    while (next < end and d.credit.gang < d.credit.gang_max / 2) : (next += 1) {
        if (!wanted(d, next, access)) continue;
        d.credit.gang += 1;
        d.stats.ahead += 1;
        d.stats.ahead_upgrades += @intFromBool(d.local[next].state == .shared);
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

/// The thread was granted a page of its own home to store to, without a message: so is what lies
/// ahead, as far as nobody has used it.
pub fn touch(d: *Dsm, host: anytype, page: m.Page, thread: u8) void {
    if (d.credit.gang_max == 0) return;
    const window = d.walks[thread].untouched.step(page, .write) orelse return;
    const end = @min(window.end, d.local.len);
    var next = window.start;
    while (next < end and silent.untouched(d, next)) : (next += 1) {
        silent.take(d, next, .write, thread);
        d.local[next].ahead = true;
    }
    if (next < window.end) d.walks[thread].untouched.cut(window, next);
    const count = next - window.start;
    if (count == 0) return;
    d.stats.touched_ahead += count;
    host.mapRun(window.start, count);
}

/// Never had, or may be read and is to be written; not asked for, not granted without a message,
/// and not owed to anyone: that has to be answered before this node may ask for the page.
fn wanted(d: *Dsm, page: m.Page, access: m.Access) bool {
    const local = &d.local[page];
    const upgrade = local.state == .shared and access == .write;
    if (!upgrade and (local.state != .invalid or local.lost)) return false;
    if (d.pending.has(page) or d.evicting.has(page)) return false;
    if (d.parked.has(page) or d.deferred.has(page)) return false;
    return !silent.possible(d, page, access);
}

const testing = std.testing;

test "the second page of a walk asks for a window, its first page for the next" {
    var walks: Walks = .{};
    for (0..2) |_| try testing.expectEqual(null, walks.step(100, .read));
    try testing.expectEqual(Window{ .start = 102, .end = 104 }, walks.step(101, .read).?);
    try testing.expect(walks.marks(102) and !walks.marks(103));
    try testing.expectEqual(Window{ .start = 104, .end = 107 }, walks.step(102, .read).?);
    // It was not there yet when the thread came.
    try testing.expectEqual(null, walks.step(103, .read));
    try testing.expectEqual(Window{ .start = 107, .end = 112 }, walks.step(104, .read).?);
    try testing.expectEqual(Window{ .start = 112, .end = 120 }, walks.step(107, .read).?);
    // Past what was asked for.
    try testing.expectEqual(Window{ .start = 121, .end = 142 }, walks.step(120, .read).?);
    try testing.expectEqual(Window{ .start = 142, .end = 174 }, walks.step(141, .read).?);
}

test "a walk that writes asks for a quarter of what it walked" {
    var walks: Walks = .{};
    for (100..103) |page| try testing.expectEqual(null, walks.step(@intCast(page), .write));
    try testing.expectEqual(Window{ .start = 104, .end = 105 }, walks.step(103, .write).?);
    for (104..280) |page| _ = walks.step(@intCast(page), .write);
    const walk = walks.find(280).?;
    try testing.expectEqual(32, walk.end - walk.mark);
}

test "four walks side by side keep their windows, a fifth takes the place of the oldest" {
    var walks: Walks = .{};
    for (0..8) |i| for ([_]m.Page{ 1000, 2000, 3000, 4000 }) |start| {
        const window = walks.step(@intCast(start + i), .read);
        try testing.expectEqual(i == 1 or i == 2 or i == 4 or i == 7, window != null);
    };
    try testing.expectEqual(null, walks.step(5000, .read));
    try testing.expectEqual(null, walks.find(1008));
    for ([_]m.Page{ 2008, 3008, 4008, 5001 }) |page| try testing.expect(walks.find(page) != null);
}

test "pages here and there are no walk" {
    var walks: Walks = .{};
    for (0..100) |i| try testing.expectEqual(null, walks.step(@intCast(10_000 + 2 * i), .read));
}
