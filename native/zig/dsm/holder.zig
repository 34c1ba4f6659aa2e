//! The side of a node that holds a page others want: it gives the page up at once, or keeps it
//! while its own thread still needs it (gather.zig) and gives it up later. Also eviction, where the
//! holder hands a page back unasked and keeps the bytes until the home has acknowledged.

const std = @import("std");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const gang = @import("gang.zig");
const gather = @import("gather.zig");
const requester = @import("requester.zig");
const Local = @import("local.zig").Local;
const assert = std.debug.assert;

/// An Inv or Fwd that waits for this node's own threads. A page has one at most, as its home is
/// busy.
pub const Deferred = struct {
    page: m.Page,
    age: u64,
    /// The gather it waits for.
    holder: gather.Holder,
    order: Order,
    since_ns: u64,
};

const Order = union(enum) { inv: m.Inv, fwd: m.Fwd };

/// A page on its way home: state E. Its bytes answer Fwd until the PutAck.
pub const Evicting = struct { page: m.Page, tx: m.Tx };

pub fn onInv(d: *Dsm, host: anytype, inv: m.Inv, now_ns: u64) void {
    d.gathers.observe(inv.age);
    const local = &d.local[inv.page];
    switch (local.state) {
        .invalid => {},
        .modified => return d.fail(host, "Inv for a page this node may write"),
        .shared => {
            if (local.version != inv.version) {
                d.refuse(host, "Inv for another version than the copy held");
                if (d.failed) return;
            }
            if (keeps(d, inv.page, inv.age, now_ns)) {
                return postpone(d, host, inv.page, inv.age, .{ .inv = inv });
            }
        },
    }
    answerInv(d, host, inv);
}

pub fn onFwd(d: *Dsm, host: anytype, fwd: m.Fwd, now_ns: u64) void {
    d.gathers.observe(fwd.age);
    if (fwd.requester == d.node) return d.fail(host, "Fwd to its own requester");
    if (!d.evicting.has(fwd.page)) {
        if (d.local[fwd.page].state != .modified) {
            return d.refuse(host, "Fwd for a page this node does not own");
        }
        if (keeps(d, fwd.page, fwd.age, now_ns)) {
            return postpone(d, host, fwd.page, fwd.age, .{ .fwd = fwd });
        }
    }
    answerFwd(d, host, fwd);
}

fn postpone(d: *Dsm, host: anytype, page: m.Page, age: u64, order: Order) void {
    if (d.deferred.has(page)) return d.refuse(host, "two transactions for one page");
    if (d.deferred.full()) return d.fail(host, "more orders than a home may give");
    const holder = d.local[page].holder;
    _ = d.deferred.put(.{
        .page = page,
        .age = if (d.guards.gather_age) age else gather.age_youngest,
        .holder = holder,
        .order = order,
        .since_ns = d.now_ns,
    });
    d.gathers.count(holder, true);
    d.stats.deferred += 1;
}

/// An older request waits behind the one this node has deferred.
pub fn onHurry(d: *Dsm, host: anytype, h: m.Hurry, now_ns: u64) void {
    const waiting = d.deferred.get(h.page) orelse return;
    const tx = switch (waiting.order) {
        inline else => |order| order.tx,
    };
    if (tx != h.tx) return;
    if (!d.guards.gather_age) return;
    waiting.age = @min(waiting.age, h.age);
    if (d.gathers.holdUntil(waiting.holder, waiting.age, now_ns) == 0) release(d, host, h.page);
}

fn keeps(d: *const Dsm, page: m.Page, age: u64, now_ns: u64) bool {
    if (d.quiet or !d.guards.residency or d.local[page].ahead) return false;
    // Our own request is queued at the home behind this very transaction.
    if (d.guards.answer_before_request and d.pending.has(page)) return false;
    const asker = if (d.guards.gather_age) age else gather.age_youngest;
    return d.gathers.holdUntil(d.local[page].holder, asker, now_ns) != 0;
}

/// Answers what was deferred for the page, if anything.
pub fn release(d: *Dsm, host: anytype, page: m.Page) void {
    const waiting = d.deferred.get(page) orelse return;
    const order = waiting.order;
    d.stats.deferred_ns += d.now_ns -| waiting.since_ns;
    d.gathers.count(waiting.holder, false);
    d.deferred.remove(page);
    switch (order) {
        .inv => |inv| answerInv(d, host, inv),
        .fwd => |fwd| answerFwd(d, host, fwd),
    }
}

/// The thread begins to wait: what it holds yields to older ones (gather.zig, holdUntil).
pub fn yieldOf(d: *Dsm, host: anytype, thread: u8, now_ns: u64) void {
    if (!d.gathers.deferring.isSet(thread)) return;
    var i: usize = 0;
    while (i < d.deferred.length) {
        const item = &d.deferred.items[i];
        if (item.holder.thread == thread and
            d.gathers.holdUntil(item.holder, item.age, now_ns) == 0)
        {
            release(d, host, item.page);
        } else i += 1;
    }
}

/// Answers all that waits for one gather, whose record is needed for a new one.
pub fn releaseGather(d: *Dsm, host: anytype, holder: gather.Holder) void {
    var i: usize = 0;
    while (i < d.deferred.length) {
        const item = &d.deferred.items[i];
        if (item.holder == holder) release(d, host, item.page) else i += 1;
    }
}

/// Releases every deferred page whose gather has let go.
pub fn tick(d: *Dsm, host: anytype, now_ns: u64) void {
    if (!d.quiet and (d.gathers.deadline() orelse return) > now_ns) return;
    var i: usize = 0;
    while (i < d.deferred.length) {
        const item = &d.deferred.items[i];
        if (d.quiet or d.gathers.holdUntil(item.holder, item.age, now_ns) == 0) {
            release(d, host, item.page);
        } else {
            i += 1;
        }
    }
}

fn answerInv(d: *Dsm, host: anytype, inv: m.Inv) void {
    const local = &d.local[inv.page];
    if (local.state == .modified) return d.refuse(host, "Inv for a page written meanwhile");
    const held = local.state == .shared;
    if (held) {
        if (d.guards.drop_before_answer) host.drop(inv.page);
        local.state = .invalid;
        leaves(local);
    }
    d.dispatch(host, inv.requester, .{ .inv_ack = .{ .page = inv.page, .tx = inv.tx } });
    if (held) gang.left(d, host, inv.page, d.now_ns);
}

fn leaves(local: *Local) void {
    local.lost = !local.ahead;
    local.ahead = false;
}

/// The mapping is made safe before a byte is read: no store can land behind the copy that leaves.
fn answerFwd(d: *Dsm, host: anytype, fwd: m.Fwd) void {
    const local = &d.local[fwd.page];
    assert(fwd.requester != d.node);
    const held = d.evicting.has(fwd.page) or local.state == .modified;
    if (!held) return d.refuse(host, "Fwd for a page lost meanwhile");
    if (!d.evicting.has(fwd.page)) switch (fwd.access) {
        .read => {
            if (d.guards.protect_before_read) host.protect(fwd.page);
            local.state = .shared;
        },
        .write => {
            if (d.guards.drop_before_answer) host.drop(fwd.page);
            local.state = .invalid;
            leaves(local);
        },
    };
    const bytes = host.bytes(fwd.page);
    d.dispatch(host, fwd.requester, .{ .data = .{
        .page = fwd.page,
        .tx = fwd.tx,
        .access = fwd.access,
        .version = if (fwd.access == .write) fwd.next else local.version,
        .acks = 0,
        .content = .bytes,
        .bytes = bytes,
    } });
    // The home has the bytes already when they are its own, or when it asked for them.
    const home = d.homeOf(fwd.page);
    if (fwd.access == .write) return gang.left(d, host, fwd.page, d.now_ns);
    if (home == d.node or home == fwd.requester) return;
    d.dispatch(host, home, .{ .write_back = .{
        .page = fwd.page,
        .tx = fwd.tx,
        .version = local.version,
        .content = .bytes,
        .bytes = bytes,
    } });
}

/// Gives a page back: S silently, M with its bytes. False when the page cannot be evicted now: it
/// is not held, awaited, asked for, or needed by a gather.
pub fn evict(d: *Dsm, host: anytype, page: m.Page, now_ns: u64) bool {
    const local = &d.local[page];
    if (local.state == .invalid or d.homeOf(page) == d.node) return false;
    if (d.pending.has(page) or d.deferred.has(page)) return false;
    if (d.gathers.holdUntil(local.holder, gather.age_youngest, now_ns) != 0) return false;
    const owned = local.state == .modified;
    if (owned and d.evicting.full()) return false;
    host.drop(page);
    local.state = .invalid;
    if (!owned) return true;
    const tx = d.newTx();
    if (d.evicting.get(page)) |item| {
        assert(!d.guards.put_ack);
        item.tx = tx;
    } else if (d.guards.put_kept) _ = d.evicting.put(.{ .page = page, .tx = tx });
    d.dispatch(host, d.homeOf(page), .{ .put = .{
        .page = page,
        .tx = tx,
        .version = local.version,
        .content = .bytes,
        .bytes = host.bytes(page),
    } });
    return true;
}

pub fn onPutAck(d: *Dsm, host: anytype, ack: m.PutAck, now_ns: u64) void {
    const item = d.evicting.get(ack.page) orelse return d.refuse(host, "PutAck without a Put");
    if (item.tx != ack.tx) return d.fail(host, "PutAck of another Put");
    d.evicting.remove(ack.page);
    if (d.parked.length > 0) requester.unpark(d, host, now_ns);
}
