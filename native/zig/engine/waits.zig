//! Which local threads wait in a page fault, and for what page. A signal would throw such a vCPU
//! out of the fault only to raise it again (up to milliseconds each time), so a kick that is not
//! urgent stays here until the page is there.
//!
//! None is lost: the kicker leaves its mark and then looks again whether the thread still waits;
//! the engine says first that it does not, and then looks for marks.

const std = @import("std");
const limits = @import("../limits.zig");
const Page = @import("../wire/message.zig").Page;

pub const Waits = struct {
    /// Page + 1 of each waiting thread, 0 = it does not wait.
    pages: [limits.threads_max]std.atomic.Value(u32) = @splat(.init(0)),
    kicks: [limits.threads_max]std.atomic.Value(bool) = @splat(.init(false)),

    /// Engine thread: the thread raised a fault.
    pub fn began(self: *Waits, slot: usize, page: Page) void {
        self.pages[slot].store(page + 1, .seq_cst);
    }

    /// Engine thread: the page is usable. Calls `kick(context, slot)` for each thread that waited
    /// for it and was kicked meanwhile.
    pub fn ended(
        self: *Waits,
        threads: usize,
        page: Page,
        context: anytype,
        comptime kick: fn (@TypeOf(context), usize) void,
    ) void {
        for (self.pages[0..threads], 0..) |*waiting, slot| {
            if (waiting.load(.monotonic) != page + 1) continue;
            waiting.store(0, .seq_cst);
            if (self.kicks[slot].swap(false, .seq_cst)) kick(context, slot);
        }
    }

    /// The thread itself, outside the guest: whatever it waited for, it does not now. It looks for
    /// the causes of kicks afterwards.
    pub fn left(self: *Waits, slot: usize) void {
        if (self.pages[slot].load(.monotonic) == 0) return;
        self.pages[slot].store(0, .seq_cst);
        self.kicks[slot].store(false, .seq_cst);
    }

    /// Any thread: true when the kick is left to the engine.
    pub fn takesKick(self: *Waits, slot: usize) bool {
        if (self.pages[slot].load(.seq_cst) == 0) return false;
        self.kicks[slot].store(true, .seq_cst);
        return self.pages[slot].load(.seq_cst) != 0;
    }

    /// The page the thread waits for.
    pub fn pageOf(self: *const Waits, slot: usize) ?Page {
        const waiting = self.pages[slot].load(.monotonic);
        return if (waiting == 0) null else waiting - 1;
    }
};

test "a kick waits for the page of its own thread" {
    var waits: Waits = .{};
    const Kicked = struct {
        slots: std.StaticBitSet(8) = .initEmpty(),
        fn kick(self: *@This(), slot: usize) void {
            self.slots.set(slot);
        }
    };
    var kicked: Kicked = .{};
    try std.testing.expect(!waits.takesKick(1));
    waits.began(1, 7);
    waits.began(2, 7);
    waits.began(3, 9);
    try std.testing.expectEqual(7, waits.pageOf(1).?);
    try std.testing.expect(waits.takesKick(1));
    try std.testing.expect(waits.takesKick(3));
    waits.ended(4, 7, &kicked, Kicked.kick);
    try std.testing.expectEqual(1, kicked.slots.count());
    try std.testing.expect(kicked.slots.isSet(1));
    try std.testing.expectEqual(null, waits.pageOf(2));
    // Out of the fault by another way: the mark goes with it.
    waits.left(3);
    waits.ended(4, 9, &kicked, Kicked.kick);
    try std.testing.expectEqual(1, kicked.slots.count());
}

test "no kick is lost between two threads" {
    const Side = struct {
        waits: Waits = .{},
        /// What the kick is about, and what of it was seen.
        cause: std.atomic.Value(u32) = .init(0),
        signals: std.atomic.Value(u32) = .init(0),
        const rounds = 20_000;

        fn engine(self: *@This()) void {
            for (0..rounds) |_| {
                self.waits.began(0, 5);
                self.waits.ended(1, 5, self, signal);
            }
        }
        fn signal(self: *@This(), _: usize) void {
            _ = self.signals.fetchMax(self.cause.load(.seq_cst), .seq_cst);
        }
    };
    var side: Side = .{};
    const thread = try std.Thread.spawn(.{}, Side.engine, .{&side});
    for (1..Side.rounds) |i| {
        side.cause.store(@intCast(i), .seq_cst);
        if (!side.waits.takesKick(0)) _ = side.signals.fetchMax(@intCast(i), .seq_cst);
    }
    thread.join();
    try std.testing.expectEqual(Side.rounds - 1, side.signals.load(.seq_cst));
    try std.testing.expect(!side.waits.kicks[0].load(.seq_cst));
}
