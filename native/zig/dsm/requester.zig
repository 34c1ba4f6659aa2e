//! The side of a node that wants a page: one outstanding request per page, whichever threads wait.
//! A page is used only when its bytes and all acknowledgements of the old copies are in; the Done
//! that frees the page at its home leaves after the mapping stands.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const ahead = @import("ahead.zig");
const gang = @import("gang.zig");
const gather = @import("gather.zig");
const holder = @import("holder.zig");
const silent = @import("silent.zig");
const assert = std.debug.assert;

const Threads = std.StaticBitSet(limits.threads_max);

pub const Pending = struct {
    page: m.Page,
    tx: m.Tx,
    access: m.Access,
    age: u64,
    /// The thread whose credit it uses; null for a page of a gang or one fetched ahead.
    asker: ?u8,
    /// The thread with the oldest gather: the page is counted to it.
    thread: u8,
    /// Every local thread that waits.
    threads: Threads,
    /// To see whether it is used (gang.zig, ahead.zig): not mapped, or left mapped to be read,
    /// unless a thread waits.
    trial: bool = false,
    /// This node had not lost the page nor held it to read, or it is fetched ahead.
    fresh: bool = false,
    start_ns: u64,
    /// Since when a thread waits.
    waited_ns: u64 = 0,
    have_data: bool = false,
    /// Another node had a part in it.
    elsewhere: bool = false,
    version: u64 = 0,
    /// Acknowledgements to wait for, known with the data; and those that came, maybe before it.
    acks_wanted: u64 = 0,
    acks: u64 = 0,
};

/// A fault that may not become a request yet: its page is on its way home, or its thread has no
/// credit. One item per page, whichever threads wait.
pub const Parked = struct { page: m.Page, access: m.Access, threads: Threads };

/// A local thread touched a page it may not use that way.
pub fn fault(d: *Dsm, host: anytype, page: m.Page, access: m.Access, thread: u8, now_ns: u64) void {
    const local = &d.local[page];
    const held = local.state == .modified or (local.state == .shared and access == .read);
    if (!held and silent.grant(d, host, page, access, thread)) return;
    if (d.parked.length > 0) leave(d, page, thread);
    const unused = held and ahead.marks(d, page, thread);
    const upgrade = !held and local.state == .shared;
    const taken = !unused and (held or local.lost or upgrade);
    if (d.gathers.crowded(thread, !taken, now_ns)) |crowd| {
        holder.releaseGather(d, host, crowd);
        // This very page may have gone with it.
        return fault(d, host, page, access, thread, now_ns);
    }
    defer if (!taken or upgrade) ahead.fetch(d, host, page, access, thread, upgrade, now_ns);
    const age = d.gathers.fault(thread, page, !taken, now_ns);
    if (held) {
        // The kernel repeats events: reclaim, a withdrawn event, two threads at once. Or the page
        // was granted ahead behind this event, and is used now.
        local.ahead = false;
        const granted = d.gathers.granted(thread, page, !taken, now_ns);
        local.holder = d.gathers.older(local.holder, granted, now_ns);
        return host.map(page, gang.used(d, page, access, thread));
    }
    if (local.lost) {
        local.lost = false;
        d.gathers.stolen(thread, now_ns);
    }
    defer holder.yieldOf(d, host, thread, now_ns);
    // The home serves our request only after the transaction we hold up here: else two sharers
    // that both upgrade wait for each other.
    if (d.guards.answer_before_request) holder.release(d, host, page);
    if (d.pending.get(page)) |pending| return join(d, host, pending, access, age, thread, now_ns);
    if (leaving(d, page)) return park(d, host, page, access, thread);
    if (!d.credit.allows(thread)) return park(d, host, page, access, thread);
    d.credit.take(thread);
    var wanted = access;
    if (taken) {
        wanted = gang.noteFault(d, page, access, thread);
        // Before the page itself: when that one wakes the thread, the others are there.
        gang.fetch(d, host, page, thread, age, now_ns);
    }
    var threads: Threads = .initEmpty();
    threads.set(thread);
    request(d, host, .{
        .page = page,
        .tx = d.newTx(),
        .access = wanted,
        .age = age,
        .asker = thread,
        .thread = thread,
        .threads = threads,
        .fresh = !taken,
        .start_ns = now_ns,
        .waited_ns = now_ns,
    });
}

fn join(
    d: *Dsm,
    host: anytype,
    pending: *Pending,
    access: m.Access,
    age: u64,
    thread: u8,
    now_ns: u64,
) void {
    // A page of a gang, or one fetched ahead, that is on its way.
    if (pending.threads.count() == 0) {
        _ = gang.used(d, pending.page, access, thread);
        pending.waited_ns = now_ns;
    }
    pending.threads.set(thread);
    if (age < pending.age) older(d, host, pending, age, thread);
}

/// Its credit is taken already.
pub fn request(d: *Dsm, host: anytype, pending: Pending) void {
    _ = d.pending.put(pending);
    d.stats.requests += 1;
    d.dispatch(host, d.homeOf(pending.page), .{ .get = .{
        .page = pending.page,
        .tx = pending.tx,
        .access = pending.access,
        .version = d.local[pending.page].version,
        .age = pending.age,
    } });
}

/// On its way home: the PutAck comes before a new request leaves.
fn leaving(d: *const Dsm, page: m.Page) bool {
    return d.guards.put_ack and d.evicting.has(page);
}

/// A thread that faults here waits nowhere else: a signal took it out of the fault it had parked.
/// Without this a thread could leave a parked fault behind with every signal.
fn leave(d: *Dsm, page: m.Page, thread: u8) void {
    if (thread == limits.unknown_thread) return;
    for (d.parked.slice()) |*item| {
        if (item.page == page or !item.threads.isSet(thread)) continue;
        item.threads.unset(thread);
        if (item.threads.count() == 0) d.parked.remove(item.page);
        return;
    }
}

fn park(d: *Dsm, host: anytype, page: m.Page, access: m.Access, thread: u8) void {
    if (d.parked.get(page)) |item| {
        item.threads.set(thread);
        if (access == .write) item.access = .write;
        return;
    }
    if (d.parked.full()) return d.fail(host, "more faults at once than threads can have");
    var threads: Threads = .initEmpty();
    threads.set(thread);
    _ = d.parked.put(.{ .page = page, .access = access, .threads = threads });
}

/// A request or Put has ended: parked faults that may go now, go.
pub fn unpark(d: *Dsm, host: anytype, now_ns: u64) void {
    var i: u32 = 0;
    while (i < d.parked.length) {
        const item = d.parked.items[i];
        const first = if (leaving(d, item.page)) null else ready(d, &item);
        if (first) |thread| {
            d.parked.remove(item.page);
            // It takes the credit, or needs none; the others join.
            fault(d, host, item.page, item.access, thread, now_ns);
            var threads = item.threads.iterator(.{});
            while (threads.next()) |other| {
                if (other == thread) continue;
                fault(d, host, item.page, item.access, @intCast(other), now_ns);
            }
        } else i += 1;
    }
}

fn ready(d: *const Dsm, item: *const Parked) ?u8 {
    var threads = item.threads.iterator(.{});
    while (threads.next()) |thread| if (d.credit.allows(@intCast(thread))) return @intCast(thread);
    return null;
}

/// An older thread of this node waits for the same page now.
fn older(d: *Dsm, host: anytype, pending: *Pending, age: u64, thread: u8) void {
    pending.age = age;
    pending.thread = thread;
    if (!d.guards.hurry) return;
    d.dispatch(host, d.homeOf(pending.page), .{ .hurry = .{
        .page = pending.page,
        .tx = pending.tx,
        .age = age,
    } });
}

pub fn onData(d: *Dsm, host: anytype, data: m.Data, now_ns: u64) void {
    const pending = d.pending.get(data.page) orelse
        return d.refuse(host, "Data without a request");
    if (pending.tx != data.tx or pending.have_data or pending.access != data.access) {
        return d.refuse(host, "Data of another request");
    }
    const local = &d.local[data.page];
    if (data.content != .same) {
        if (local.state != .invalid) {
            d.refuse(host, "bytes for a page that is mapped");
            if (d.failed) return;
            // A rule is off, and with it a copy was left behind: it gives way, as an Inv would
            // have had it.
            host.drop(data.page);
            local.state = .invalid;
        }
        // What is behind the mapping is no version at all until the last byte is in.
        if (local.state == .invalid) local.version = 0;
        d.takeContent(host, data.page, data.content, data.bytes);
        if (d.failed) return;
        d.stats.pages_received += @intFromBool(data.content == .bytes);
    }
    pending.have_data = true;
    pending.version = data.version;
    pending.acks_wanted = if (d.guards.wait_all_acks) data.acks else 0;
    pending.elsewhere = d.homeOf(data.page) != d.node or data.content != .same or data.acks != 0;
    complete(d, host, pending, now_ns);
}

pub fn onInvAck(d: *Dsm, host: anytype, from: m.NodeId, ack: m.InvAck, now_ns: u64) void {
    const pending = d.pending.get(ack.page) orelse
        return d.refuse(host, "InvAck without a request");
    if (pending.tx != ack.tx) return d.refuse(host, "InvAck of another request");
    pending.acks |= @as(u64, 1) << @intCast(from);
    complete(d, host, pending, now_ns);
}

fn complete(d: *Dsm, host: anytype, pending: *Pending, now_ns: u64) void {
    if (!pending.have_data or pending.acks & pending.acks_wanted != pending.acks_wanted) return;
    const done = pending.*;
    d.pending.remove(done.page);
    d.credit.give(done.asker);
    const local = &d.local[done.page];
    // Of the page and its threads' gathers, the oldest.
    var held: ?gather.Holder = if (local.state != .invalid) local.holder else null;
    var threads = done.threads.iterator(.{});
    while (threads.next()) |thread| {
        const granted = d.gathers.granted(@intCast(thread), done.page, done.fresh, now_ns);
        held = if (held) |before| d.gathers.older(before, granted, now_ns) else granted;
    }
    if (done.threads.count() == 0) {
        const brought = if (done.fresh)
            d.gathers.alone(done.thread, done.page)
        else
            d.gathers.brought(done.thread, now_ns);
        held = if (held) |before| d.gathers.older(before, brought, now_ns) else brought;
    }
    local.holder = held.?;
    local.state = if (done.access == .write) .modified else .shared;
    local.version = @intCast(done.version);
    local.lost = false;
    local.ahead = false;
    // Pages of a gang and those fetched ahead tell nothing: many share one round trip. Nor does one
    // that this node's own home had to keep busy for a while.
    if (done.asker != null and done.elsewhere) d.gathers.cost.add(now_ns -| done.start_ns);
    d.stats.completed += 1;
    d.stats.completed_ns += now_ns -| done.start_ns;
    if (done.threads.count() > 0) countStall(d, &done, now_ns);
    host.arrived(done.page, local.state);
    if (!done.trial or done.threads.count() > 0) host.map(done.page, local.state);
    d.dispatch(host, d.homeOf(done.page), .{ .done = .{ .page = done.page, .tx = done.tx } });
    if (d.parked.length > 0) unpark(d, host, now_ns);
}

fn countStall(d: *Dsm, done: *const Pending, now_ns: u64) void {
    const count, const ns = if (done.asker == null)
        .{ &d.stats.stalls_ganged, &d.stats.stalls_ganged_ns }
    else if (done.fresh)
        .{ &d.stats.stalls_fresh, &d.stats.stalls_fresh_ns }
    else
        .{ &d.stats.stalls_again, &d.stats.stalls_again_ns };
    count.* += 1;
    ns.* += now_ns -| done.waited_ns;
}
