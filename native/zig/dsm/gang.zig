//! Gangs: pages that a thread keeps gathering together, first of all the upper page-table pages of
//! a guest kernel, which nested paging writes at every walk. Two nodes take such sets from each
//! other, so a fault on one page of the set asks for the rest too: one round trip, not twenty.
//!
//! Intuition: a page joins when its thread faults on it, lost. From then on it is fetched on trust;
//! the last of these fetches is a trial: the page comes and is not mapped, and whether the thread
//! faults on it, which costs no message, tells whether it is still of use, and for what. If so, it
//! is trusted twice as long, else it stays away until it is faulted on. A page that is written each
//! time is asked for to be written, also when it is read first.
//!
//! The requests are ordinary ones, each with its own transaction, queue place and Done; nobody
//! waits for them, and they have credits of their own (requester.zig).

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const requester = @import("requester.zig");
const State = @import("local.zig").State;

pub const Member = struct {
    page: m.Page,
    /// The right that the thread wants in the end.
    access: m.Access,
    /// Fetches left, the trial included.
    trust: u8,
    /// How often a trial has shown that it is used, up to level_max.
    level: u8 = 0,
    /// Fetched to see whether it is used; not seen yet.
    trial: bool = false,

    pub fn used(self: *Member) void {
        self.trial = false;
        self.level = @min(self.level + 1, level_max);
        self.trust = @as(u8, 1) << @intCast(self.level);
    }

    fn unused(self: *Member) void {
        self.trial = false;
        self.level = 0;
        self.trust = 0;
    }
};

const level_max = 4;

pub const Gang = struct {
    members: [limits.gang_members_max]Member = undefined,
    length: u16 = 0,
    /// Where the search for a member to replace goes on.
    hand: u16 = 0,

    pub fn slice(self: *Gang) []Member {
        return self.members[0..self.length];
    }

    fn find(self: *Gang, page: m.Page) ?*Member {
        for (self.slice()) |*member| if (member.page == page) return member;
        return null;
    }

    /// The thread faulted on a page it had lost. Returns the right to ask for.
    pub fn noteFault(self: *Gang, page: m.Page, access: m.Access) m.Access {
        if (self.find(page)) |member| {
            if (access == .write) member.access = .write;
            member.trial = false;
            member.trust = @max(member.trust, 1);
            return member.access;
        }
        const free = if (self.length < self.members.len) self.grow() else self.replace();
        free.* = .{ .page = page, .access = access, .trust = 1 };
        return access;
    }

    fn grow(self: *Gang) *Member {
        self.length += 1;
        return &self.members[self.length - 1];
    }

    /// The clock algorithm: what is trusted loses half of it, the first without trust goes.
    fn replace(self: *Gang) *Member {
        while (true) {
            const member = &self.members[self.hand];
            self.hand = (self.hand + 1) % limits.gang_members_max;
            if (member.trust == 0) return member;
            member.trust /= 2;
        }
    }
};

/// One for each thread. Not the members: they stay untouched memory until used.
pub fn alloc(allocator: std.mem.Allocator, threads: u16) ![]Gang {
    const gangs = try allocator.alloc(Gang, threads);
    for (gangs) |*gang| {
        gang.length = 0;
        gang.hand = 0;
    }
    return gangs;
}

/// The thread faulted on a page it had lost, or may only read. Returns the right to ask for.
pub fn noteFault(d: *Dsm, page: m.Page, access: m.Access, thread: u8) m.Access {
    return d.gangs[thread].noteFault(page, access);
}

/// The thread faulted on a page this node holds, or which is on its way for it. Returns the mapping
/// to make: one that is owned but was only read is mapped to be read, so that a store shows.
pub fn used(d: *Dsm, page: m.Page, access: m.Access, thread: u8) State {
    const held = d.local[page].state;
    const member = d.gangs[thread].find(page) orelse return held;
    if (access == .write) member.access = .write;
    if (!member.trial) return held;
    member.used();
    member.access = access;
    return if (held == .invalid or access == .write) held else .shared;
}

/// Asks for the pages that the thread lost and will want next.
pub fn fetch(
    d: *Dsm,
    host: anytype,
    page: m.Page,
    thread: u8,
    age: u64,
    now_ns: u64,
) void {
    for (d.gangs[thread].slice()) |*member| {
        if (member.page != page) ask(d, host, member, thread, age, now_ns);
    }
}

/// A page has just left for another node. Where its thread waits for a part of its gang, which goes
/// page by page as their gathers end there, this one is asked for with them: else the thread would
/// fault on it as soon as the others are here.
pub fn left(d: *Dsm, host: anytype, page: m.Page, now_ns: u64) void {
    const thread = d.local[page].holder.thread;
    const age = d.gathers.waitsWith(thread) orelse return;
    if (d.quiet) return;
    const member = d.gangs[thread].find(page) orelse return;
    ask(d, host, member, thread, age, now_ns);
}

fn ask(d: *Dsm, host: anytype, member: *Member, thread: u8, age: u64, now_ns: u64) void {
    if (d.credit.gang == d.credit.gang_max or !absent(d, member)) return;
    if (member.trial) member.unused();
    if (member.trust == 0) return;
    member.trust -= 1;
    member.trial = member.trust == 0;
    d.credit.gang += 1;
    d.stats.ganged += 1;
    requester.request(d, host, .{
        .page = member.page,
        .tx = d.newTx(),
        .access = member.access,
        .age = age,
        .asker = null,
        .thread = thread,
        .threads = .initEmpty(),
        .trial = member.trial,
        .start_ns = now_ns,
    });
}

/// Taken from this node, not on its way back, and not owed to anyone.
fn absent(d: *const Dsm, member: *const Member) bool {
    const local = &d.local[member.page];
    const upgrade = local.state == .shared and member.access == .write;
    if (!upgrade and (local.state != .invalid or !local.lost)) return false;
    return !d.pending.has(member.page) and !d.evicting.has(member.page) and
        !d.parked.has(member.page) and !d.deferred.has(member.page);
}

const testing = std.testing;

test "trust doubles with each trial that shows use, and ends with one that does not" {
    var gang: Gang = .{};
    try testing.expectEqual(.read, gang.noteFault(7, .read));
    const member = &gang.members[0];
    for ([_]u8{ 2, 4, 8, 16, 16 }) |trust| {
        member.used();
        try testing.expectEqual(trust, member.trust);
    }
    member.unused();
    try testing.expectEqual(0, member.trust);
    try testing.expectEqual(.read, gang.noteFault(7, .read));
    try testing.expectEqual(1, member.trust);
}

test "a page that was written is asked for to be written" {
    var gang: Gang = .{};
    try testing.expectEqual(.read, gang.noteFault(7, .read));
    try testing.expectEqual(.write, gang.noteFault(7, .write));
    try testing.expectEqual(.write, gang.noteFault(7, .read));
    try testing.expectEqual(1, gang.length);
}

test "what is not trusted makes room" {
    var gang: Gang = .{};
    for (0..limits.gang_members_max) |i| _ = gang.noteFault(@intCast(i), .read);
    for (gang.slice()) |*member| member.used();
    gang.members[3].trust = 0;
    _ = gang.noteFault(1000, .read);
    try testing.expectEqual(limits.gang_members_max, gang.length);
    try testing.expectEqual(1000, gang.members[3].page);
    _ = gang.noteFault(1001, .read);
    try testing.expectEqual(limits.gang_members_max, gang.length);
    try testing.expect(gang.find(1001) != null);
}
