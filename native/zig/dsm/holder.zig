//! The side of a node that holds a page others want: it gives the page up at once, or keeps it while
//! its own thread still needs it (gather.zig) and gives it up later. Also eviction, where the holder
//! hands a page back unasked and keeps the bytes until the home has acknowledged.

const std = @import("std");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const gather = @import("gather.zig");
const assert = std.debug.assert;

/// An Inv or Fwd that waits for this node's own threads. A page has one at most, as its home is busy.
pub const Deferred = struct {
    page: m.Page,
    age: u64,
    order: union(enum) { inv: m.Inv, fwd: m.Fwd },
};

/// A page on its way home; `waiting` is a local thread that faulted meanwhile.
pub const Evicting = struct {
    page: m.Page,
    tx: m.Tx,
    waiting: ?struct { thread: u8, access: m.Access } = null,
};

pub fn onInv(d: *Dsm, host: anytype, inv: m.Inv, now_ns: u64) void {
    d.gathers.observe(inv.age);
    const local = &d.local[inv.page];
    switch (local.state) {
        .invalid => {},
        .modified => return d.fail(host, "Inv for a page this node may write"),
        .shared => {
            if (local.version != inv.version and d.guards.version_check) {
                return d.fail(host, "Inv for another version than the copy held");
            }
            if (keepUntil(d, inv.page, inv.age, now_ns) != 0) {
                _ = d.deferred.put(.{ .page = inv.page, .age = inv.age, .order = .{ .inv = inv } });
                return;
            }
        },
    }
    answerInv(d, host, inv);
}

pub fn onFwd(d: *Dsm, host: anytype, fwd: m.Fwd, now_ns: u64) void {
    d.gathers.observe(fwd.age);
    const held = d.local[fwd.page].state == .modified or d.evicting.get(fwd.page) != null;
    if (!held) return d.fail(host, "Fwd for a page this node does not own");
    if (d.evicting.get(fwd.page) == null and keepUntil(d, fwd.page, fwd.age, now_ns) != 0) {
        _ = d.deferred.put(.{ .page = fwd.page, .age = fwd.age, .order = .{ .fwd = fwd } });
        return;
    }
    answerFwd(d, host, fwd);
}

/// An older request waits behind the one this node has deferred.
pub fn onHurry(d: *Dsm, host: anytype, h: m.Hurry, now_ns: u64) void {
    d.gathers.observe(h.age);
    const waiting = d.deferred.get(h.page) orelse return;
    const tx = switch (waiting.order) {
        inline else => |order| order.tx,
    };
    if (tx != h.tx) return;
    waiting.age = @min(waiting.age, h.age);
    if (keepUntil(d, h.page, waiting.age, now_ns) == 0) release(d, host, h.page);
}

/// 0 = give it up now; else when to look again (maxInt = when something happens).
fn keepUntil(d: *const Dsm, page: m.Page, age: u64, now_ns: u64) u64 {
    if (d.quiet or !d.guards.residency) return 0;
    // Our own request is queued at the home behind this very transaction.
    if (d.guards.answer_before_request and d.pending.find(page)) return 0;
    return d.gathers.holdUntil(d.local[page].holder, age, now_ns);
}

/// Answers what was deferred for the page, if anything.
pub fn release(d: *Dsm, host: anytype, page: m.Page) void {
    const waiting = d.deferred.get(page) orelse return;
    const order = waiting.order;
    d.deferred.remove(page);
    switch (order) {
        .inv => |inv| answerInv(d, host, inv),
        .fwd => |fwd| answerFwd(d, host, fwd),
    }
}

/// Releases every deferred page whose time has come.
pub fn tick(d: *Dsm, host: anytype, now_ns: u64) void {
    var i: usize = 0;
    while (i < d.deferred.length) {
        const item = d.deferred.items[i];
        if (keepUntil(d, item.page, item.age, now_ns) == 0) {
            release(d, host, item.page);
        } else {
            i += 1;
        }
    }
}

pub fn deadline(d: *const Dsm, now_ns: u64) ?u64 {
    var at: u64 = std.math.maxInt(u64);
    for (d.deferred.items[0..d.deferred.length]) |*item| {
        at = @min(at, keepUntil(d, item.page, item.age, now_ns));
    }
    return if (at == std.math.maxInt(u64)) null else at;
}

fn answerInv(d: *Dsm, host: anytype, inv: m.Inv) void {
    const local = &d.local[inv.page];
    assert(local.state != .modified);
    if (local.state == .shared) {
        host.drop(inv.page);
        local.state = .invalid;
        local.lost = true;
    }
    d.dispatch(host, inv.requester, .{ .inv_ack = .{ .page = inv.page, .tx = inv.tx } });
}

/// The mapping is made safe before a byte is read: no store can land behind the copy that leaves.
fn answerFwd(d: *Dsm, host: anytype, fwd: m.Fwd) void {
    const local = &d.local[fwd.page];
    const evicting = d.evicting.get(fwd.page) != null;
    if (!evicting) switch (fwd.access) {
        .read => {
            if (d.guards.protect_before_read) host.protect(fwd.page);
            local.state = .shared;
        },
        .write => {
            host.drop(fwd.page);
            local.state = .invalid;
            local.lost = true;
        },
    };
    const home = d.homeOf(fwd.page);
    const at_home = fwd.requester == d.node;
    assert(!at_home);
    // To the home itself as a requester the bytes go as to any other node.
    const bytes = host.bytes(fwd.page);
    const version = if (fwd.access == .write) fwd.next else @as(u64, local.version);
    d.dispatch(host, fwd.requester, .{ .data = .{
        .page = fwd.page,
        .tx = fwd.tx,
        .access = fwd.access,
        .version = version,
        .acks = 0,
        .content = .bytes,
        .bytes = bytes,
    } });
    if (fwd.access == .read and home != d.node and home != fwd.requester) {
        d.dispatch(host, home, .{ .write_back = .{
            .page = fwd.page,
            .tx = fwd.tx,
            .version = local.version,
            .content = .bytes,
            .bytes = bytes,
        } });
    }
}

/// Gives a page back: S silently, M with its bytes. False when the page cannot be evicted now: it is
/// not held, awaited, asked for, or needed by a live gather.
pub fn evict(d: *Dsm, host: anytype, page: m.Page, now_ns: u64) bool {
    const local = &d.local[page];
    if (local.state == .invalid or d.homeOf(page) == d.node) return false;
    if (d.pending.find(page) or d.deferred.get(page) != null) return false;
    if (d.gathers.holdUntil(local.holder, gather.age_youngest, now_ns) != 0) return false;
    if (local.state == .shared) {
        host.drop(page);
        local.state = .invalid;
        return true;
    }
    if (d.evicting.length == d.evicting.items.len) return false;
    host.drop(page);
    local.state = .invalid;
    const tx = d.newTx();
    _ = d.evicting.put(.{ .page = page, .tx = tx });
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
    const item = d.evicting.get(ack.page) orelse return d.fail(host, "PutAck without a Put");
    if (item.tx != ack.tx) return d.fail(host, "PutAck of another Put");
    const waiting = item.waiting;
    d.evicting.remove(ack.page);
    if (waiting) |w| d.faultLocked(host, ack.page, w.access, w.thread, now_ns);
}
