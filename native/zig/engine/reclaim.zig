//! Brings what guest memory takes of this host back to a limit. Over it, a hand goes round all
//! pages: bytes of pages this node has lost are forgotten, pages of other nodes go home first. What
//! a node's own threads need is kept by their gathers (dsm/gather.zig); nothing else tells how
//! recently a page was used, so they go in the order of their numbers, and come back if missed.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const discard = @import("../dsm/discard.zig").discard;
const Engine = @import("engine.zig").Engine;
const assert = std.debug.assert;

/// Between two looks at what memory is taken: at most some thousand pages come in it.
const period_ns = 10 * limits.ns_per_ms;
/// Of the table of pages, and of pages given up, in one turn of the engine, which has faults to
/// serve as well.
const looks_per_turn = 4096;
const pause_max_ns = std.time.ns_per_s;
const pages_per_turn = 64;

pub const Reclaim = struct {
    /// Pages of this host's memory; 0 = no limit.
    limit: u64,
    /// When to look next.
    next_ns: u64 = 0,
    /// Since memory was over the limit, until it is a little below.
    active: bool = false,
    hand: m.Page = 0,
    /// How many pages the hand has passed since it gave one up, and since when.
    passed: usize = 0,
    began_ns: u64 = 0,
    /// Pages on their way home, whose bytes are kept until they are there.
    leaving: [limits.puts_max]m.Page = undefined,
    leaving_count: usize = 0,
    /// The last look ended as enough are on their way, or as many as may be at once.
    waiting: bool = false,
    /// In all: pages of other nodes that were given up, and pages whose memory was given back.
    evicted: u64 = 0,
    forgotten: u64 = 0,

    /// When there is something to do that no event tells of; null = never.
    pub fn deadline(self: *const Reclaim) ?u64 {
        return if (self.active) self.next_ns else null;
    }

    /// True when the next turn should come at once.
    pub fn turn(self: *Reclaim, engine: *Engine) bool {
        if (self.limit == 0) return false;
        if (engine.now_ns < self.next_ns and !self.haveArrived(engine)) return false;
        self.next_ns = engine.now_ns + period_ns;
        self.waiting = false;
        if (engine.dsm.failed) {
            // Nothing leaves any more.
            self.active = false;
            return false;
        }
        const taken = engine.memory.takenPages();
        const aim = self.limit - slack(self.limit);
        if (!self.active and taken > self.limit) {
            self.active = true;
            self.startRound(engine);
        } else if (taken <= aim) self.active = false;
        if (!self.active) return false;
        const again = self.give(engine, @min(taken - aim, pages_per_turn));
        if (again) self.next_ns = engine.now_ns;
        return again;
    }

    /// Gives up so many pages, 64 at most, as far as one look goes; false when another would find
    /// nothing new.
    fn give(self: *Reclaim, engine: *Engine, wanted: u64) bool {
        const before = self.forgotten;
        self.arrived(engine);
        for (0..looks_per_turn) |_| {
            // What is on its way will be memory, too.
            if (self.forgotten - before + self.leaving_count >= wanted) {
                self.waiting = self.leaving_count > 0;
                return !self.waiting;
            }
            const page = self.hand;
            self.hand = @intCast((page + 1) % engine.dsm.local.len);
            self.passed += 1;
            if (self.giveUp(engine, page)) self.startRound(engine);
        }
        if (self.passed < engine.dsm.local.len) return true;
        // Nothing may go: rounds of a large table are not to take more than a little of the time.
        const pause_ns = @min(16 * (engine.now_ns - self.began_ns), pause_max_ns);
        self.next_ns = @max(self.next_ns, engine.now_ns + pause_ns);
        self.startRound(engine);
        return false;
    }

    fn startRound(self: *Reclaim, engine: *const Engine) void {
        self.passed = 0;
        self.began_ns = engine.now_ns;
    }

    /// Half of those on their way: their acknowledgements wake the engine.
    fn haveArrived(self: *const Reclaim, engine: *const Engine) bool {
        return self.waiting and engine.dsm.evicting.length <= self.leaving_count / 2;
    }

    fn giveUp(self: *Reclaim, engine: *Engine, page: m.Page) bool {
        if (self.forget(engine, page)) return true;
        if (!engine.dsm.evict(engine, page, engine.now_ns)) return false;
        self.evicted += 1;
        if (!self.forget(engine, page)) {
            self.leaving[self.leaving_count] = page;
            self.leaving_count += 1;
        }
        return true;
    }

    /// Those that have arrived meanwhile, or are wanted here again.
    fn arrived(self: *Reclaim, engine: *Engine) void {
        var i: usize = 0;
        while (i < self.leaving_count) {
            const page = self.leaving[i];
            if (engine.dsm.evicting.has(page)) {
                i += 1;
                continue;
            }
            _ = self.forget(engine, page);
            self.leaving_count -= 1;
            self.leaving[i] = self.leaving[self.leaving_count];
        }
    }

    fn forget(self: *Reclaim, engine: *Engine, page: m.Page) bool {
        const done = discard(&engine.dsm, engine, page);
        self.forgotten += @intFromBool(done);
        return done;
    }
};

/// As much is given back below the limit, so that not each page that comes begins it anew.
fn slack(limit: u64) u64 {
    return @min(limit / 16, 1024);
}

comptime {
    // `leaving` has room for all that one look may send home.
    assert(pages_per_turn <= limits.puts_max);
}
