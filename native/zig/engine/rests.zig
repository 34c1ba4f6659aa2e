//! Threads that sleep until an event comes, a halted vCPU above all: what they gathered is of no
//! use to them now, so whoever waits for it gets it at once instead of after a residency.
//!
//! `deferring` keeps the wake-up cheap and loses none: a thread raises its flag first and then
//! looks whether the engine owes somebody a page; the engine says so first and looks for flags in
//! its next turn, before it sleeps.

const std = @import("std");
const limits = @import("../limits.zig");

pub const Rests = struct {
    flags: [limits.threads_max]std.atomic.Value(bool) = @splat(.init(false)),
    any: std.atomic.Value(bool) = .init(false),
    /// The engine defers answers for pages of this node.
    deferring: std.atomic.Value(bool) = .init(false),

    /// By the thread itself; true when the engine should be woken.
    pub fn add(self: *Rests, slot: u8) bool {
        self.flags[slot].store(true, .release);
        self.any.store(true, .seq_cst);
        return self.deferring.load(.seq_cst);
    }

    /// Engine thread: every slot that rested since the last call.
    pub fn take(self: *Rests, context: anytype, comptime use: anytype) void {
        if (!self.any.load(.seq_cst)) return;
        self.any.store(false, .seq_cst);
        for (&self.flags, 0..) |*flag, slot| {
            if (!flag.load(.monotonic)) continue;
            if (flag.swap(false, .acquire)) use(context, @as(u8, @intCast(slot)));
        }
    }
};

test "each rest is taken once, and wakes only an engine that owes pages" {
    var rests: Rests = .{};
    const Seen = struct {
        slots: std.StaticBitSet(limits.threads_max) = .initEmpty(),
        fn use(self: *@This(), slot: u8) void {
            self.slots.set(slot);
        }
    };
    var seen: Seen = .{};
    try std.testing.expect(!rests.add(3));
    rests.deferring.store(true, .seq_cst);
    try std.testing.expect(rests.add(255));
    rests.take(&seen, Seen.use);
    try std.testing.expectEqual(2, seen.slots.count());
    try std.testing.expect(seen.slots.isSet(3) and seen.slots.isSet(255));
    seen = .{};
    rests.take(&seen, Seen.use);
    try std.testing.expectEqual(0, seen.slots.count());
}
