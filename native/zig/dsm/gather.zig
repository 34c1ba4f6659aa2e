//! Gathers: faults of one thread that follow each other, because one instruction may need hundreds of
//! pages at once. A gather has an age; older gathers take pages from younger ones at once (wound-wait),
//! so the oldest always completes. After it ended its pages stay for a residency, so that the thread
//! gets to use what it gathered (design: docs/coherence.md, forward progress).

const std = @import("std");
const limits = @import("../limits.zig");
const assert = std.debug.assert;

/// Lamport counter << 16 | node << 8 | thread: smaller is older, and no two are equal.
pub const Age = u64;
pub const age_youngest: Age = std.math.maxInt(Age);

const Gather = struct {
    age: Age = age_youngest,
    /// Increases with each gather, so that a page remembers which one it was granted to.
    sequence: u24 = 0,
    start_ns: u64 = 0,
    last_wake_ns: u64 = 0,
    outstanding: bool = false,
    pages: u32 = 0,
    multiple: u32 = 1,
};

/// Who was granted a page last; fits beside the page's state.
pub const Holder = packed struct(u32) { thread: u8, sequence: u24 };

pub const Options = struct {
    /// Bounds of the time after a wake in which a next fault still belongs to the gather.
    gap_min_ns: u64 = 20_000,
    gap_max_ns: u64 = 20 * limits.ns_per_ms,
    multiple_max: u32 = 8,
    /// The residency is at most this many fault costs, within the two bounds below.
    cap_faults: u64 = 2000,
    cap_min_ns: u64 = 10 * limits.ns_per_ms,
    cap_max_ns: u64 = 300 * limits.ns_per_ms,
};

pub const Gathers = struct {
    node: u8,
    options: Options,
    threads: [limits.threads_max]Gather = @splat(.{}),
    /// Largest counter seen in any age: a new gather starts later than all of them.
    counter: u48 = 0,
    /// Smoothed cost of a fault that needed another node.
    fault_ns: u64 = 15_000,

    pub fn observe(self: *Gathers, age: Age) void {
        if (age == age_youngest) return;
        self.counter = @max(self.counter, @as(u48, @intCast(age >> 16)));
    }

    /// A thread faulted: continues its gather or begins one. Returns the gather's age.
    pub fn fault(self: *Gathers, thread: u8, now_ns: u64) Age {
        const g = &self.threads[thread];
        if (!self.live(g, now_ns) or g.pages >= limits.gather_pages_max) self.begin(thread, now_ns);
        g.outstanding = true;
        return g.age;
    }

    fn begin(self: *Gathers, thread: u8, now_ns: u64) void {
        const g = &self.threads[thread];
        // Long quiet: nobody steals, short residencies do.
        if (now_ns -| g.last_wake_ns > 16 * self.residency(g)) g.multiple = @max(1, g.multiple / 2);
        self.counter += 1;
        g.age = @as(u64, self.counter) << 16 | @as(u64, self.node) << 8 | thread;
        g.sequence +%= 1;
        g.start_ns = now_ns;
        g.last_wake_ns = now_ns;
        g.pages = 0;
    }

    /// The page is mapped and the thread woken.
    pub fn granted(self: *Gathers, thread: u8, now_ns: u64) Holder {
        const g = &self.threads[thread];
        g.outstanding = false;
        g.last_wake_ns = now_ns;
        g.pages += 1;
        return .{ .thread = thread, .sequence = g.sequence };
    }

    /// A thread faults on a page that another node took from it: nodes steal from each other.
    pub fn stolen(self: *Gathers, thread: u8) void {
        const g = &self.threads[thread];
        g.multiple = @min(g.multiple * 2, self.options.multiple_max);
    }

    pub fn cost(self: *Gathers, measured_ns: u64) void {
        self.fault_ns = (7 * self.fault_ns + measured_ns) / 8;
    }

    /// When a page may be given to a transaction of this age: 0 = now, maxInt = not before the
    /// gather ends or an older transaction asks, else a time.
    pub fn holdUntil(self: *const Gathers, holder: Holder, age: Age, now_ns: u64) u64 {
        const g = &self.threads[holder.thread];
        if (g.sequence != holder.sequence or g.sequence == 0) return 0;
        const gather_end = g.last_wake_ns + self.gap();
        if (g.outstanding) return if (age < g.age) 0 else std.math.maxInt(u64);
        if (now_ns < gather_end and age < g.age) return 0;
        const end = @max(gather_end, g.last_wake_ns + self.residency(g));
        return if (now_ns >= end) 0 else end;
    }

    fn live(self: *const Gathers, g: *const Gather, now_ns: u64) bool {
        if (g.sequence == 0) return false;
        return g.outstanding or now_ns < g.last_wake_ns + self.gap();
    }

    fn gap(self: *const Gathers) u64 {
        return std.math.clamp(2 * self.fault_ns, self.options.gap_min_ns, self.options.gap_max_ns);
    }

    fn residency(self: *const Gathers, g: *const Gather) u64 {
        const o = self.options;
        const cap = std.math.clamp(o.cap_faults * self.fault_ns, o.cap_min_ns, o.cap_max_ns);
        assert(g.last_wake_ns >= g.start_ns);
        return @min((g.last_wake_ns - g.start_ns) * g.multiple, cap);
    }
};

const testing = std.testing;

test "an older transaction takes at once, a younger one waits for gather and residency" {
    var g: Gathers = .{ .node = 1, .options = .{} };
    g.observe(50 << 16);
    const age = g.fault(3, 1000);
    try testing.expectEqual(51, age >> 16);
    const holder = g.granted(3, 101_000);
    try testing.expectEqual(0, g.holdUntil(holder, age - 1, 101_000));
    const until = g.holdUntil(holder, age + 1, 101_000);
    try testing.expectEqual(201_000, until);
    try testing.expectEqual(0, g.holdUntil(holder, age + 1, until));
    // During the residency nobody takes it, older or not.
    try testing.expectEqual(until, g.holdUntil(holder, age - 1, 140_000));
}

test "faults within the gap are one gather, a later one is a new and younger one" {
    var g: Gathers = .{ .node = 0, .options = .{} };
    const first = g.fault(0, 0);
    const one = g.granted(0, 10_000);
    try testing.expectEqual(first, g.fault(0, 20_000));
    try testing.expectEqual(std.math.maxInt(u64), g.holdUntil(one, first + 1, 5_000_000));
    _ = g.granted(0, 30_000);
    const second = g.fault(0, 5_000_000);
    try testing.expect(second > first);
    try testing.expectEqual(0, g.holdUntil(one, first + 1, 5_000_000));
}
