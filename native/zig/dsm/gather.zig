//! Gathers: faults of one thread that follow each other, because one instruction may need hundreds
//! of pages at once. A gather has an age; older gathers take pages from younger ones at once
//! (wound-wait), so the oldest always completes. After it ended its pages stay for a residency, so
//! that the thread gets to use what it gathered (design: docs/coherence.md, forward progress).
//!
//! Intuition: a page remembers which of its thread's last 32 gathers took it, in 13 bits. Whether
//! it may go is then a question to that gather's record, never to the page.

const std = @import("std");
const limits = @import("../limits.zig");
const Page = @import("../wire/message.zig").Page;
const assert = std.debug.assert;

/// Lamport counter << 16 | node << 8 | thread: smaller is older, and no two are equal.
pub const Age = u64;
pub const age_youngest: Age = std.math.maxInt(Age);
pub const never: u64 = std.math.maxInt(u64);
const ring = 32;

/// Which gather a page was granted to; fits beside the page's state. A page untouched for 32
/// gathers of its thread reads as held by the 32nd: it may be deferred once more, never for ever.
pub const Holder = packed struct(u13) { thread: u8 = 0, index: u5 = 0 };

const Record = struct {
    age: Age = age_youngest,
    start_ns: u64 = 0,
    last_wake_ns: u64 = 0,
    /// Until then a next fault still belongs to this gather.
    live_until_ns: u64 = 0,
    resident_until_ns: u64 = 0,
    pages: u32 = 0,
    /// Inv and Fwd that wait for this gather.
    deferred: u32 = 0,
};

const Thread = struct {
    current: u5 = 0,
    waits_for: ?Page = null,
    /// Residency as a multiple of the gather's cost; grows while nodes steal from each other.
    multiple: u32 = 1,
    stolen: bool = false,
    resting: bool = false,
    stolen_ns: u64 = 0,
    /// Records with deferred > 0, one bit each.
    deferring: u32 = 0,
    records: [ring]Record = @splat(.{}),
};

pub const Options = struct {
    /// Bounds of the time after a wake in which a next fault still belongs to the gather.
    gap_min_ns: u64 = 20_000,
    gap_max_ns: u64 = 20 * limits.ns_per_ms,
    multiple_max: u32 = 4,
    /// The residency is at most this many fault costs per page of the gather: what a large gather
    /// would lose is much, a single page is soon regained.
    cap_faults: u64 = 8,
    cap_max_ns: u64 = 100 * limits.ns_per_ms,
};

pub const Gathers = struct {
    node: u8,
    options: Options,
    threads: []Thread,
    /// Threads with a record that others wait for.
    deferring: std.StaticBitSet(limits.threads_max) = .initEmpty(),
    /// Largest counter seen in any age: a new gather starts later than all of them.
    counter: u48 = 0,
    cost: Cost = .{},

    pub fn init(allocator: std.mem.Allocator, node: u8, count_max: u16, options: Options) !Gathers {
        const threads = try allocator.alloc(Thread, count_max);
        @memset(threads, .{});
        return .{ .node = node, .options = options, .threads = threads };
    }

    pub fn deinit(self: *Gathers, allocator: std.mem.Allocator) void {
        allocator.free(self.threads);
    }

    pub fn observe(self: *Gathers, age: Age) void {
        if (age == age_youngest) return;
        self.counter = @max(self.counter, @as(u48, @intCast(age >> 16)));
    }

    pub fn record(self: *const Gathers, holder: Holder) *Record {
        return &self.threads[holder.thread].records[holder.index];
    }

    pub fn current(self: *const Gathers, thread: u8) Holder {
        return .{ .thread = thread, .index = self.threads[thread].current };
    }

    fn isCurrent(self: *const Gathers, holder: Holder) bool {
        return self.threads[holder.thread].current == holder.index;
    }

    fn live(self: *const Gathers, holder: Holder, now_ns: u64) bool {
        const r = self.record(holder);
        if (r.age == age_youngest or !self.isCurrent(holder)) return false;
        return self.threads[holder.thread].waits_for != null or now_ns < r.live_until_ns;
    }

    /// The record that a fault now would begin anew although others still wait for it: they must be
    /// answered before.
    pub fn crowded(self: *const Gathers, thread: u8, fresh: bool, now_ns: u64) ?Holder {
        if (self.continues(thread, fresh, now_ns)) return null;
        const next: Holder = .{ .thread = thread, .index = self.threads[thread].current +% 1 };
        return if (self.record(next).deferred > 0) next else null;
    }

    fn continues(self: *const Gathers, thread: u8, fresh: bool, now_ns: u64) bool {
        const holder = self.current(thread);
        const r = self.record(holder);
        if (r.pages >= limits.gather_pages_max) return false;
        return self.live(holder, now_ns) or (fresh and now_ns < r.resident_until_ns);
    }

    /// A thread faulted and waits: continues its gather or begins one. Returns the gather's age.
    ///
    /// A page that this node had not lost (`fresh`) goes with the gather as long as what that took
    /// is resident, and does not prolong it: a thread that walks through memory would keep what
    /// others need for as long as it walks. What one instruction needs is fresh only once,
    /// or as often as the node has no memory for it (docs/coherence.md).
    pub fn fault(self: *Gathers, thread: u8, page: Page, fresh: bool, now_ns: u64) Age {
        if (!self.continues(thread, fresh, now_ns)) self.begin(thread, now_ns);
        self.threads[thread].waits_for = page;
        self.threads[thread].resting = false;
        return self.record(self.current(thread)).age;
    }

    fn begin(self: *Gathers, thread: u8, now_ns: u64) void {
        const t = &self.threads[thread];
        const last = &t.records[t.current];
        const quiet_ns = 16 * (last.resident_until_ns -| last.last_wake_ns);
        if (now_ns -| t.stolen_ns > quiet_ns) t.multiple = @max(1, t.multiple / 2);
        t.stolen = false;
        t.current +%= 1;
        const r = &t.records[t.current];
        assert(r.deferred == 0);
        self.counter += 1;
        r.* = .{
            .age = @as(u64, self.counter) << 16 | @as(u64, self.node) << 8 | thread,
            .start_ns = now_ns,
            .last_wake_ns = now_ns,
        };
    }

    /// The page is mapped and the thread woken.
    pub fn granted(self: *Gathers, thread: u8, page: Page, fresh: bool, now_ns: u64) Holder {
        const t = &self.threads[thread];
        const holder = self.current(thread);
        const r = self.record(holder);
        assert(r.age != age_youngest);
        if (t.waits_for == page) t.waits_for = null;
        if (fresh and r.pages > 0) r.pages += 1 else self.took(holder, now_ns);
        return holder;
    }

    /// The age with which a thread waits for a page; null when it does not.
    pub fn waitsWith(self: *const Gathers, thread: u8) ?Age {
        const t = &self.threads[thread];
        return if (t.waits_for == null) null else t.records[t.current].age;
    }

    /// A page that only this node uses was mapped, or one that was fetched ahead came: it goes with
    /// the gather there is.
    pub fn alone(self: *Gathers, thread: u8, page: Page) Holder {
        const t = &self.threads[thread];
        if (t.waits_for == page) t.waits_for = null;
        return self.current(thread);
    }

    /// A page of the thread's gang came that it had not faulted on (gang.zig).
    pub fn brought(self: *Gathers, thread: u8, now_ns: u64) Holder {
        const holder = self.current(thread);
        if (!self.threads[thread].resting) self.took(holder, now_ns);
        return holder;
    }

    fn took(self: *Gathers, holder: Holder, now_ns: u64) void {
        const r = self.record(holder);
        r.pages += 1;
        r.last_wake_ns = now_ns;
        r.live_until_ns = now_ns + self.gap(r);
        r.resident_until_ns = now_ns + self.residency(r, self.threads[holder.thread].multiple);
    }

    /// A page held already is granted again: it stays with the older gather while that one lives.
    pub fn older(self: *const Gathers, held: Holder, new: Holder, now_ns: u64) Holder {
        if (!self.live(held, now_ns)) return new;
        return if (self.record(held).age < self.record(new).age) held else new;
    }

    /// The thread needs nothing of what it gathered, lately or before: a device has copied what it
    /// wanted, a vCPU has halted.
    pub fn end(self: *Gathers, thread: u8, now_ns: u64) void {
        self.threads[thread].resting = true;
        for (&self.threads[thread].records) |*r| {
            r.live_until_ns = @min(r.live_until_ns, now_ns);
            r.resident_until_ns = @min(r.resident_until_ns, now_ns);
        }
    }

    /// A thread faults on a page that another node took from this one: nodes steal from each other.
    /// Counted once per gather, however many of its pages went.
    pub fn stolen(self: *Gathers, thread: u8, now_ns: u64) void {
        const t = &self.threads[thread];
        if (t.stolen) return;
        t.stolen = true;
        t.stolen_ns = now_ns;
        t.multiple = @min(t.multiple * 2, self.options.multiple_max);
    }

    /// When a page may be given to a transaction of this age: 0 = now, `never` = not before the
    /// gather goes on or an older transaction asks, else a time.
    pub fn holdUntil(self: *const Gathers, holder: Holder, age: Age, now_ns: u64) u64 {
        const t = &self.threads[holder.thread];
        // A thread that waits cannot use what it has: all of it yields to whoever is older than
        // what it waits with, else both would wait for the end of a residency.
        const alive = t.waits_for != null or self.live(holder, now_ns);
        if (alive and age < t.records[t.current].age) return 0;
        const end_ns = self.until(holder);
        return if (now_ns >= end_ns) 0 else end_ns;
    }

    /// The same for the youngest asker, whatever the time.
    fn until(self: *const Gathers, holder: Holder) u64 {
        const r = self.record(holder);
        if (r.age == age_youngest) return 0;
        if (!self.isCurrent(holder)) return r.resident_until_ns;
        if (self.threads[holder.thread].waits_for != null) return never;
        return @max(r.live_until_ns, r.resident_until_ns);
    }

    /// Someone waits for pages of this gather, or no longer.
    pub fn count(self: *Gathers, holder: Holder, more: bool) void {
        const r = self.record(holder);
        if (more) r.deferred += 1 else r.deferred -= 1;
        const t = &self.threads[holder.thread];
        const bit = @as(u32, 1) << holder.index;
        if (r.deferred > 0) t.deferring |= bit else t.deferring &= ~bit;
        self.deferring.setValue(holder.thread, t.deferring != 0);
    }

    /// When the first gather that others wait for lets go; null when none does by itself.
    pub fn deadline(self: *const Gathers) ?u64 {
        var at: u64 = never;
        var threads = self.deferring.iterator(.{});
        while (threads.next()) |thread| {
            var left = self.threads[thread].deferring;
            while (left != 0) : (left &= left - 1) {
                const index: u5 = @intCast(@ctz(left));
                at = @min(at, self.until(.{ .thread = @intCast(thread), .index = index }));
            }
        }
        return if (at == never) null else at;
    }

    /// Longer for gathers that took long: they have more to lose by a late wake.
    fn gap(self: *const Gathers, r: *const Record) u64 {
        const wanted = self.cost.fault_ns + (r.last_wake_ns - r.start_ns) / 4;
        return std.math.clamp(wanted, self.options.gap_min_ns, self.options.gap_max_ns);
    }

    fn residency(self: *const Gathers, r: *const Record, multiple: u32) u64 {
        assert(r.last_wake_ns >= r.start_ns and r.pages > 0);
        const o = self.options;
        const faults = 2 + o.cap_faults * (r.pages - 1);
        const cap = @min(faults * self.cost.fault_ns, o.cap_max_ns);
        return @min((r.last_wake_ns - r.start_ns) * multiple, cap);
    }
};

/// What a fault that needs another node costs when nobody holds the page back: the least of the
/// last 64 to 128. An average would contain the residencies of others and make them feed
/// themselves.
pub const Cost = struct {
    fault_ns: u64 = 20_000,
    least_ns: u64 = never,
    before_ns: u64 = never,
    samples: u8 = 0,

    pub fn add(self: *Cost, measured_ns: u64) void {
        self.least_ns = @min(self.least_ns, @max(measured_ns, 1));
        self.fault_ns = @min(self.least_ns, self.before_ns);
        self.samples += 1;
        if (self.samples < 64) return;
        self.before_ns = self.least_ns;
        self.least_ns = never;
        self.samples = 0;
    }
};
