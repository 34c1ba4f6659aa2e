//! The home's side: one 16-byte entry per page of this node's memory, and a bounded table of pages
//! that are busy with a transaction. While a page is busy later requests wait here, oldest first;
//! that alone closes the race between a new copy and its invalidation: no Inv for the new copy
//! exists before its Done. A Put never waits here.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const queue = @import("queue.zig");
const Request = queue.Request;
const assert = std.debug.assert;

pub const nobody: u8 = 0xff;
/// Never written by anyone: all zero.
pub const version_untouched = 1;

pub const Entry = packed struct(u128) {
    /// Nodes with a read copy, this one included; one that dropped it silently is still listed.
    sharers: u64 = 0,
    /// Changes with every grant of the right to write; in requests 0 means "no bytes held".
    version: u48 = version_untouched,
    /// The node that may write; nobody = the bytes at home are valid.
    owner: u8 = nobody,
    /// The owner says whether the page is owned or shared, the busy table whether it is busy.
    reserved: u8 = 0,
};

pub const Busy = struct {
    page: m.Page,
    current: Request,
    /// Smallest age of the current request and of all that wait behind it.
    age: u64,
    /// Nodes that were sent Inv or Fwd: a Hurry goes to them.
    holders: u64 = 0,
    wait_done: bool = true,
    wait_write_back: bool = false,
    queue: u32 = queue.none,
};

/// The tables hold what the credits of all nodes allow.
const too_many = "more requests than a node may have";

fn bit(node: m.NodeId) u64 {
    return @as(u64, 1) << @intCast(node);
}

/// A request for a page of this home.
pub fn onGet(d: *Dsm, host: anytype, from: m.NodeId, get: m.Get) void {
    accept(d, host, .{
        .page = get.page,
        .tx = get.tx,
        .requester = from,
        .access = get.access,
        .version = get.version,
        .age = get.age,
    });
}

/// A request that is done holds its place until the owner's WriteBack is here, which may be long
/// after its requester went on to others; so the table may be full although no node has more
/// requests than it may. Then at least one page waits for its WriteBack alone, which needs nobody's
/// gather, and the request waits for that place.
fn accept(d: *Dsm, host: anytype, request: Request) void {
    if (d.busy.get(request.page)) |busy| {
        // Without the rule the owner of before still waits: nobody could answer its request.
        if (d.guards.defer_while_busy or d.entryOf(request.page).owner == request.requester) {
            if (d.queue.full()) return d.fail(host, too_many);
            d.queue.push(&busy.queue, request);
            if (request.age < busy.age) hurry(d, host, busy, request.age);
            return;
        }
        busy.current = request;
        return start(d, host, busy);
    }
    if (d.entryOf(request.page).owner == request.requester) {
        return d.refuse(host, "a request from the owner");
    }
    if (d.busy.full()) {
        if (d.queue.full()) return d.fail(host, too_many);
        return d.queue.push(&d.unplaced, request);
    }
    const busy: Busy = .{ .page = request.page, .current = request, .age = request.age };
    start(d, host, d.busy.put(busy));
}

/// Tells everyone who may still owe an answer that somebody older waits.
fn hurry(d: *Dsm, host: anytype, busy: *Busy, age: u64) void {
    assert(age < busy.age);
    busy.age = age;
    if (!d.guards.hurry) return;
    const message: m.Message = .{
        .hurry = .{ .page = busy.page, .tx = busy.current.tx, .age = age },
    };
    var left = busy.holders;
    while (left != 0) : (left &= left - 1) d.dispatch(host, @intCast(@ctz(left)), message);
}

/// A requester whose own older thread joined its request.
pub fn onHurry(d: *Dsm, host: anytype, h: m.Hurry) void {
    if (d.queue.find(d.unplaced, h.tx)) |waiting| {
        waiting.age = @min(waiting.age, h.age);
        return;
    }
    const busy = d.busy.get(h.page) orelse return;
    if (busy.current.tx != h.tx) {
        const waiting = d.queue.find(busy.queue, h.tx) orelse return;
        waiting.age = @min(waiting.age, h.age);
    }
    if (h.age < busy.age) hurry(d, host, busy, h.age);
}

fn start(d: *Dsm, host: anytype, busy: *Busy) void {
    const r = busy.current;
    const entry = d.entryOf(busy.page);
    busy.age = @min(r.age, d.queue.oldestAge(busy.queue));
    busy.wait_done = true;
    busy.holders = 0;
    // It asked twice, and became the owner by the first.
    if (entry.owner == r.requester and d.guards.allOn()) {
        return d.fail(host, "a request from the owner");
    }
    if (entry.owner != nobody) return forward(d, host, busy, entry);
    switch (r.access) {
        .read => sendData(d, host, busy, entry, 0, entry.version),
        .write => {
            var others = entry.sharers & ~bit(r.requester);
            if (!d.guards.invalidate_sharers) others &= bit(d.node);
            busy.holders = others;
            // Data first: it is the longer way, and the invalidations overtake it anyway.
            sendData(d, host, busy, entry, others, @as(u64, entry.version) + 1);
            var left = others;
            while (left != 0) : (left &= left - 1) {
                d.dispatch(host, @intCast(@ctz(left)), .{ .inv = .{
                    .page = busy.page,
                    .tx = r.tx,
                    .requester = r.requester,
                    .version = entry.version,
                    .age = busy.age,
                } });
            }
        },
    }
}

fn forward(d: *Dsm, host: anytype, busy: *Busy, entry: *Entry) void {
    const r = busy.current;
    busy.holders = bit(entry.owner);
    const keeps_home_stale = entry.owner != d.node and r.requester != d.node;
    busy.wait_write_back = r.access == .read and keeps_home_stale;
    d.dispatch(host, entry.owner, .{ .fwd = .{
        .page = busy.page,
        .tx = r.tx,
        .access = r.access,
        .requester = r.requester,
        .version = r.version,
        .next = @as(u64, entry.version) + @intFromBool(r.access == .write),
        .age = busy.age,
    } });
}

fn sendData(d: *Dsm, host: anytype, busy: *Busy, entry: *Entry, acks: u64, version: u64) void {
    const r = busy.current;
    const content = contentFor(d, entry, &r);
    d.dispatch(host, r.requester, .{ .data = .{
        .page = busy.page,
        .tx = r.tx,
        .access = r.access,
        .version = version,
        .acks = acks,
        .content = content,
        .bytes = if (content == .bytes) host.bytes(busy.page) else &.{},
    } });
}

fn contentFor(d: *const Dsm, entry: *const Entry, r: *const Request) m.Content {
    const mapped = entry.sharers & bit(r.requester) != 0 and r.version == entry.version;
    if (r.requester == d.node or mapped) return .same;
    const equal = r.version == entry.version or (!d.guards.version_check and r.version != 0);
    if (equal and d.elide.same) return .same;
    return if (entry.version == version_untouched and d.elide.zero) .zero else .bytes;
}

pub fn onDone(d: *Dsm, host: anytype, from: m.NodeId, done: m.Done) void {
    const busy = d.busy.get(done.page) orelse return d.refuse(host, "Done for an idle page");
    if (busy.current.tx != done.tx or busy.current.requester != from or !busy.wait_done) {
        return d.refuse(host, "Done of another transaction");
    }
    busy.wait_done = false;
    finish(d, host, busy);
}

/// After a forwarded read the owner's bytes come home, off the requester's path.
pub fn onWriteBack(d: *Dsm, host: anytype, from: m.NodeId, w: m.WriteBack) void {
    const busy = d.busy.get(w.page) orelse return d.refuse(host, "WriteBack for an idle page");
    if (busy.current.tx != w.tx or !busy.wait_write_back or d.entryOf(w.page).owner != from) {
        return d.refuse(host, "WriteBack of another transaction");
    }
    d.takeContent(host, w.page, w.content, w.bytes);
    if (d.failed) return;
    d.local[w.page].version = @intCast(w.version);
    busy.wait_write_back = false;
    finish(d, host, busy);
}

fn finish(d: *Dsm, host: anytype, busy: *Busy) void {
    if (busy.wait_done) return;
    if (busy.wait_write_back and d.guards.write_back_before_done_complete) return;
    const entry = d.entryOf(busy.page);
    const r = busy.current;
    switch (r.access) {
        .read => {
            if (entry.owner != nobody) entry.sharers = bit(entry.owner);
            entry.owner = nobody;
            entry.sharers |= bit(r.requester);
        },
        .write => {
            entry.owner = r.requester;
            entry.sharers = 0;
            if (d.guards.version_bump) entry.version += 1;
        },
    }
    next(d, host, busy);
}

/// The page is free for the oldest request that waits.
fn next(d: *Dsm, host: anytype, busy: *Busy) void {
    const waiting = if (d.guards.oldest_first)
        d.queue.popOldest(&busy.queue)
    else
        d.queue.popNewest(&busy.queue);
    if (waiting) |request| {
        busy.current = request;
        return start(d, host, busy);
    }
    d.busy.remove(busy.page);
    while (!d.busy.full()) {
        accept(d, host, d.queue.popOldest(&d.unplaced) orelse return);
    }
}

/// An owner hands its page back. Anyone else has lost it meanwhile and is only acknowledged.
///
/// So is everyone whose Put meets a busy page, at once: the transaction was forwarded to the owner,
/// who answers it from the bytes it keeps, so at its end the home or another owner has them. The
/// PutAck follows that Fwd in page order, so the bytes are kept until it has come. A Put that
/// waited for the page would let a fault behind it wait for a younger gather that nothing hurries.
pub fn onPut(d: *Dsm, host: anytype, from: m.NodeId, put: m.Put) void {
    const entry = d.entryOf(put.page);
    const ignored = d.guards.busy_put_ignored and d.busy.has(put.page);
    if (entry.owner == from and !ignored) {
        d.takeContent(host, put.page, put.content, put.bytes);
        if (d.failed) return;
        d.local[put.page].version = @intCast(put.version);
        entry.owner = nobody;
        entry.sharers = 0;
    }
    d.dispatch(host, from, .{ .put_ack = .{ .page = put.page, .tx = put.tx } });
}
