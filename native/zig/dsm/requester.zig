//! The side of a node that wants a page: one outstanding request per page, whichever threads wait.
//! A page is used only when its bytes and all acknowledgements of the old copies are in; the Done that
//! frees the page at its home leaves after the mapping stands.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const State = @import("dsm.zig").State;
const holder = @import("holder.zig");
const home = @import("home.zig");
const PageMap = @import("page_map.zig").PageMap;
const assert = std.debug.assert;

pub const Pending = struct {
    page: m.Page,
    tx: m.Tx,
    access: m.Access,
    age: u64,
    /// The thread with the oldest gather: the page is counted to it.
    thread: u8,
    /// Every local thread that waits.
    threads: Threads,
    start_ns: u64,
    have_data: bool = false,
    version: u64 = 0,
    /// Acknowledgements to wait for, known with the data; and those that came, maybe before it.
    acks_wanted: u64 = 0,
    acks: u64 = 0,
};

const Threads = std.StaticBitSet(limits.threads_max);

pub const Table = struct {
    map: PageMap(Pending),

    pub fn find(self: *const Table, page: m.Page) bool {
        return @constCast(self).map.get(page) != null;
    }
};

/// A local thread touched a page it may not use that way.
pub fn fault(d: *Dsm, host: anytype, page: m.Page, access: m.Access, thread: u8, now_ns: u64) void {
    const local = &d.local[page];
    const enough = local.state == .modified or (local.state == .shared and access == .read);
    if (enough) {
        // The kernel repeats events: reclaim, a withdrawn event, two threads at once.
        host.map(page, mapping(local.state));
        return;
    }
    if (d.evicting.get(page)) |item| {
        if (item.waiting == null) item.waiting = .{ .thread = thread, .access = access };
        if (access == .write) item.waiting.?.access = .write;
        return;
    }
    if (local.lost) {
        local.lost = false;
        d.gathers.stolen(thread);
    }
    const age = d.gathers.fault(thread, now_ns);
    if (d.pending.map.get(page)) |pending| {
        pending.threads.set(thread);
        if (age < pending.age) older(d, host, pending, age, thread);
        return;
    }
    if (d.homeOf(page) == d.node and alone(d, host, page, access, thread, now_ns)) return;
    if (d.guards.answer_before_request) holder.release(d, host, page);
    var threads: Threads = .initEmpty();
    threads.set(thread);
    const pending = d.pending.map.put(.{
        .page = page,
        .tx = d.newTx(),
        .access = access,
        .age = age,
        .thread = thread,
        .threads = threads,
        .start_ns = now_ns,
    });
    d.stats.requests += 1;
    d.dispatch(host, d.homeOf(page), .{ .get = .{
        .page = page,
        .tx = pending.tx,
        .access = access,
        .version = local.version,
        .age = age,
    } });
}

/// Home memory nobody else uses costs no message.
fn alone(
    d: *Dsm,
    host: anytype,
    page: m.Page,
    access: m.Access,
    thread: u8,
    now_ns: u64,
) bool {
    const entry = d.entryOf(page);
    const self = @as(u64, 1) << @intCast(d.node);
    if (entry.owner != home.nobody or d.busy.get(page) != null) return false;
    if (access == .write and entry.sharers & ~self != 0) return false;
    const local = &d.local[page];
    if (access == .write) {
        entry.owner = d.node;
        entry.sharers = 0;
        if (d.guards.version_bump) entry.version += 1;
        local.state = .modified;
    } else {
        entry.sharers |= self;
        local.state = .shared;
    }
    local.version = entry.version;
    local.holder = d.gathers.granted(thread, now_ns);
    d.stats.local += 1;
    host.map(page, mapping(local.state));
    return true;
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
    const pending = d.pending.map.get(data.page) orelse
        return d.fail(host, "Data without a request");
    if (pending.tx != data.tx or pending.have_data or pending.access != data.access) {
        return d.fail(host, "Data of another request");
    }
    const local = &d.local[data.page];
    if (data.content != .same) {
        if (local.state != .invalid) return d.fail(host, "bytes for a page that is mapped");
        d.takeContent(host, data.page, data.content, data.bytes);
        d.stats.pages_received += @intFromBool(data.content == .bytes);
    }
    pending.have_data = true;
    pending.version = data.version;
    pending.acks_wanted = if (d.guards.wait_all_acks) data.acks else 0;
    complete(d, host, pending, now_ns);
}

pub fn onInvAck(d: *Dsm, host: anytype, from: m.NodeId, ack: m.InvAck, now_ns: u64) void {
    const pending = d.pending.map.get(ack.page) orelse {
        if (!d.guards.wait_all_acks or !d.guards.defer_while_busy) return;
        return d.fail(host, "InvAck without a request");
    };
    if (pending.tx != ack.tx) {
        if (!d.guards.wait_all_acks or !d.guards.defer_while_busy) return;
        return d.fail(host, "InvAck of another request");
    }
    pending.acks |= @as(u64, 1) << @intCast(from);
    complete(d, host, pending, now_ns);
}

fn complete(d: *Dsm, host: anytype, pending: *Pending, now_ns: u64) void {
    if (!pending.have_data or pending.acks & pending.acks_wanted != pending.acks_wanted) return;
    const done = pending.*;
    d.pending.map.remove(done.page);
    const local = &d.local[done.page];
    local.state = if (done.access == .write) .modified else .shared;
    local.version = @intCast(done.version);
    var threads = done.threads.iterator(.{});
    while (threads.next()) |thread| {
        const granted = d.gathers.granted(@intCast(thread), now_ns);
        if (thread == done.thread) local.holder = granted;
    }
    local.lost = false;
    d.gathers.cost(now_ns -| done.start_ns);
    d.stats.completed += 1;
    d.stats.completed_ns += now_ns -| done.start_ns;
    host.map(done.page, mapping(local.state));
    d.dispatch(host, d.homeOf(done.page), .{ .done = .{ .page = done.page, .tx = done.tx } });
}

fn mapping(state: State) State {
    assert(state != .invalid);
    return state;
}
