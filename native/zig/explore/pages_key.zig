//! When two states of the small world behave alike: their keys are equal. A key holds everything
//! the production code will look at again, with numbers named by what they can be compared with:
//!
//! - ages: the counter's place among those in use, and whether one fits between (names.zig);
//! - transactions: the rank among those of their node (only ever compared for equality);
//! - versions: how far above the home's present one; older ones are all `stale`, as they can never
//!   be equal again;
//! - bytes: whether they are the last store's;
//! - times: what is left of them, nothing below zero; only of gathers that can still decide.
//!
//! Pages of one home may change places: the least key counts. Nodes may not, also where no page
//! tells them apart: of two gathers with equal counters that of the lower node is older, so the
//! mirror image of a state does not behave as its mirror image.
//!
//! Long because a key is read beside all it leaves out.

const std = @import("std");
const gather = @import("../dsm/gather.zig");
const home = @import("../dsm/home.zig");
const host = @import("pages_host.zig");
const m = @import("../wire/message.zig");
const lanes_room = @import("lanes.zig");
const names_room = @import("names.zig");
const pages = @import("pages.zig");
const queue = @import("../dsm/queue.zig");
const Dsm = @import("../dsm/dsm.zig").Dsm;
const Names = names_room.Names;
const World = pages.World;
const assert = std.debug.assert;

/// What is left of each node's last limit in time: after it more time changes nothing.
pub fn horizons(w: *const World) [pages.nodes_max]u8 {
    var names: Names = .{ .guarded = w.options.guards.allOn() };
    describe(w, &names, .{ 0, 1 });
    return names.horizons;
}

pub fn fingerprint(w: *World) u64 {
    var names: Names = .{ .guarded = w.options.guards.allOn() };
    describe(w, &names, .{ 0, 1 });
    names.ready();
    var print = keyed(w, &names, .{ 0, 1 });
    if (w.pages == 2 and w.nodes[0].dsm.homeOf(0) == w.nodes[0].dsm.homeOf(1)) {
        print = @min(print, keyed(w, &names, .{ 1, 0 }));
    }
    return print;
}

fn keyed(w: *World, names: *const Names, order: [2]u8) u64 {
    var writer: names_room.Writer = .{ .names = names, .order = order, .buffer = &w.scratch };
    describe(w, &writer, order);
    return std.hash.Wyhash.hash(0, writer.buffer[0..writer.end]);
}

/// Told twice: to one who gathers the numbers, then to one who writes the key.
fn describe(w: *const World, out: anytype, order: [2]u8) void {
    out.byte(w.shared.early);
    for (w.nodes, 0..) |*node, i| {
        const n: u8 = @intCast(i);
        var busy_threads = false;
        for (w.shared.threads[i][0..w.options.threads]) |*thread| {
            out.byte(thread.left);
            if (w.options.programs == null or thread.op != null) operation(out, thread.op);
            out.page(thread.waits_for);
            if (thread.left > 0 or thread.op != null) busy_threads = true;
        }
        for (order[0..w.pages]) |page| ofPage(w, out, n, page);
        ofNode(w, out, n, &node.dsm, busy_threads);
    }
    for (w.lanes.slice(), 0..) |_, i| {
        // Within a pair the pages come in the order of the key.
        const letter = inOrder(&w.lanes, i, order);
        out.byte(letter.from << 4 | letter.to);
        out.page(letter.page);
        message(w, out, &letter.message);
    }
}

fn inOrder(lanes: *const lanes_room.Lanes, index: usize, order: [2]u8) *const lanes_room.Letter {
    const letters = lanes.slice();
    const here = &letters[index];
    if (order[0] == 0) return here;
    var first = index;
    while (first > 0 and samePair(&letters[first - 1], here)) first -= 1;
    var end = index + 1;
    while (end < letters.len and samePair(&letters[end], here)) end += 1;
    var zeros: usize = 0;
    while (first + zeros < end and letters[first + zeros].page == 0) zeros += 1;
    const ones = end - first - zeros;
    const place = index - first;
    return &letters[first + if (place < ones) zeros + place else place - ones];
}

fn samePair(a: *const lanes_room.Letter, b: *const lanes_room.Letter) bool {
    return a.from == b.from and a.to == b.to;
}

fn operation(out: anytype, op: anytype) void {
    const o = op orelse return out.byte(0xff);
    out.byte(@intFromEnum(o.kind));
    for (0..@max(1, o.count())) |i| {
        const need = o.need(@intCast(i));
        out.page(need.page);
        out.flag(need.write);
    }
}

fn ofPage(w: *const World, out: anytype, n: u8, page: u8) void {
    const node = &w.nodes[n];
    const d = &node.dsm;
    const local = d.local[page];
    out.byte(@intFromEnum(local.state));
    version(w, out, page, local.version);
    out.flag(local.lost);
    if (w.options.gang_requests > 0) {
        out.byte(@intFromEnum(w.shared.mapped[n][page]));
    }
    if (local.state != .invalid) holderOf(out, d, n, w.shared.now[n], local.holder);
    const used = local.state != .invalid or local.version >= current(w, page) or
        d.evicting.has(page) or d.homeOf(page) == n or !w.options.guards.allOn();
    if (used) out.flag(w.shared.values[n][page] == w.shared.last[page]);
    if (d.homeOf(page) == n) directory(w, out, d, page);
    const pending = d.pending.items[0..d.pending.length];
    for (pending) |*p| if (p.page == page) {
        out.tx(p.tx);
        out.byte(@intFromEnum(p.access));
        out.age(p.age);
        out.byte(p.asker orelse 0xff);
        out.byte(p.thread);
        out.word(p.threads.masks[0]);
        out.flag(p.trial);
        out.flag(p.fresh);
        out.flag(p.have_data);
        if (p.have_data) version(w, out, page, p.version);
        out.word(p.acks_wanted);
        out.word(p.acks);
    };
    out.flag(d.evicting.has(page));
    for (d.evicting.items[0..d.evicting.length]) |item| if (item.page == page) out.tx(item.tx);
}

fn current(w: *const World, page: u8) u64 {
    const keeper = &w.nodes[w.nodes[0].dsm.homeOf(page)].dsm;
    return keeper.entries[page - keeper.shares.starts[keeper.node]].version;
}

fn version(w: *const World, out: anytype, page: u8, value: u64) void {
    out.version(value, current(w, page));
}

fn directory(w: *const World, out: anytype, d: *const Dsm, page: u8) void {
    const entry = &d.entries[page - d.shares.starts[d.node]];
    out.word(entry.sharers);
    out.byte(entry.owner);
    out.flag(entry.version == home.version_untouched);
    for (d.busy.items[0..d.busy.length]) |*busy| if (busy.page == page) {
        const r = &busy.current;
        out.tx(r.tx);
        out.byte(r.requester);
        out.byte(@intFromEnum(r.access));
        out.age(busy.age);
        out.word(busy.holders);
        out.flag(busy.wait_done);
        out.flag(busy.wait_write_back);
        waiting(w, out, d, page, busy.queue);
    };
}

/// A list whose order nobody looks at, so by node.
fn waiting(w: *const World, out: anytype, d: *const Dsm, page: u8, head: u32) void {
    // The tables are as large as in production.
    assert(d.unplaced == queue.none);
    for (0..w.nodes.len) |n| {
        var index = head;
        while (index != queue.none) : (index = d.queue.pool[index].next) {
            const r = &d.queue.pool[index];
            if (r.requester != n) continue;
            out.byte(r.requester);
            out.tx(r.tx);
            out.byte(@intFromEnum(r.access));
            version(w, out, page, r.version);
            out.age(r.age);
        }
    }
    out.byte(0xfe);
}

/// What a page asks its gather: gather.zig, holdUntil and older.
fn holderOf(out: anytype, d: *const Dsm, n: u8, now: u64, holder: gather.Holder) void {
    const record = d.gathers.record(holder);
    out.byte(holder.thread);
    out.flag(holder == d.gathers.current(holder.thread));
    const begun = record.age != gather.age_youngest;
    out.time(n, if (begun) record.resident_until_ns -| now else 0);
}

fn ofNode(w: *const World, out: anytype, n: u8, d: *const Dsm, busy: bool) void {
    const now = w.shared.now[n];
    // In the order of the tables: they are walked.
    for (d.deferred.items[0..d.deferred.length]) |*item| {
        out.page(@intCast(item.page));
        out.age(item.age);
        holderOf(out, d, n, now, item.holder);
        switch (item.order) {
            .inv => |inv| {
                out.byte(1);
                out.tx(inv.tx);
                out.byte(inv.requester);
            },
            .fwd => |fwd| {
                out.byte(2);
                out.tx(fwd.tx);
                out.byte(fwd.requester);
                out.byte(@intFromEnum(fwd.access));
                version(w, out, @intCast(item.page), fwd.next);
            },
        }
    }
    out.byte(0xfd);
    for (d.parked.items[0..d.parked.length]) |*item| {
        out.page(@intCast(item.page));
        out.byte(@intFromEnum(item.access));
        out.word(item.threads.masks[0]);
    }
    out.byte(0xfc);
    out.byte(@intCast(d.credit.extra));
    out.byte(@intCast(d.credit.gang));
    if (busy) out.counter(d.gathers.counter);
    for (d.gathers.threads[0..w.options.threads], 0..) |*thread, t| {
        out.byte(@intCast(d.credit.out[t]));
        const record = &thread.records[thread.current];
        const begun = record.age != gather.age_youngest;
        const left = if (begun) record.live_until_ns -| now else 0;
        const alive = thread.waits_for != null or left > 0;
        const held = holds(w, d, @intCast(t));
        const again = w.shared.threads[n][t].left > 0 or w.shared.threads[n][t].op != null;
        out.flag(alive);
        if (!alive or !(held or again)) continue;
        out.age(record.age);
        out.time(n, left);
        // How long it has lasted; two units are as many as more.
        out.time(n, (record.start_ns + 2) -| now);
        out.page(if (thread.waits_for) |page| @intCast(page) else null);
        out.flag(thread.resting);
    }
    if (w.options.gang_requests > 0) gangs(w, out, d);
}

/// Whether a page or a deferred order still asks this thread's gather.
fn holds(w: *const World, d: *const Dsm, thread: u8) bool {
    for (d.local[0..w.pages]) |local| {
        if (local.state != .invalid and local.holder.thread == thread) return true;
    }
    return d.deferred.length > 0 or d.pending.length > 0;
}

fn gangs(w: *const World, out: anytype, d: *const Dsm) void {
    for (d.gangs[0..w.options.threads]) |*gang| {
        for (gang.members[0..gang.length]) |*member| {
            out.page(@intCast(member.page));
            out.byte(@intFromEnum(member.access));
            out.byte(member.trust);
            out.byte(member.level);
            out.flag(member.trial);
        }
    }
}

fn message(w: *const World, out: anytype, text: *const m.Message) void {
    out.byte(@intFromEnum(text.*));
    switch (text.*) {
        .ipi, .apic_state, .apic_ack, .eoi, .io_request, .io_reply => unreachable,
        inline else => |*body| {
            const page: u8 = @intCast(body.page);
            out.tx(body.tx);
            inline for (@typeInfo(@TypeOf(body.*)).@"struct".fields) |field| {
                const value = @field(body, field.name);
                if (comptime std.mem.eql(u8, field.name, "age")) {
                    out.age(value);
                } else if (comptime std.mem.eql(u8, field.name, "version") or
                    std.mem.eql(u8, field.name, "next"))
                {
                    version(w, out, page, value);
                } else if (comptime std.mem.eql(u8, field.name, "requester")) {
                    out.byte(value);
                } else if (comptime std.mem.eql(u8, field.name, "acks")) {
                    out.word(value);
                } else if (field.type == m.Access or field.type == m.Content) {
                    out.byte(@intFromEnum(value));
                } else if (field.type == []const u8) {
                    if (value.len > 0) out.flag(fresh(w, page, value));
                } else comptime {
                    const known = std.mem.eql(u8, field.name, "page") or
                        std.mem.eql(u8, field.name, "tx");
                    if (!known) @compileError("a field no key knows: " ++ field.name);
                }
            }
        },
    }
}

fn fresh(w: *const World, page: u8, bytes: []const u8) bool {
    const value = host.valueOf(w, @ptrCast(bytes.ptr));
    return value == w.shared.last[page];
}
