//! Gangs: pages that a thread keeps gathering together, first of all the upper page-table pages of
//! a guest kernel, which nested paging writes at every walk. Two nodes take such sets from each
//! other, so a fault on one page of the set asks for the rest too: one round trip, not twenty.
//!
//! Intuition: a page joins when its thread faults on it, lost, in two gathers that lie close
//! together. From then on it is fetched on trust a few times; then it must be faulted on again, or
//! it stays away. So pages that are needed once never join, and those no longer used leave.
//!
//! The requests are ordinary ones, each with its own transaction, queue place and Done; nobody
//! waits for them, and they have credits of their own (requester.zig).

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const requester = @import("requester.zig");

pub const Member = struct {
    page: m.Page,
    /// The right that the thread wanted last.
    access: m.Access,
    /// Fetches left before the thread must fault on it again.
    trust: u8,
    /// The gather in which the thread faulted on it last.
    gather: u32,
};

const trust_per_fault = 3;
/// Gathers between two faults that show a habit; more than the fetches that may lie between.
const habit_gathers = 8;

pub const Gang = struct {
    members: [limits.gang_members_max]Member = undefined,
    length: u16 = 0,
    /// Where the search for a member to replace goes on.
    hand: u16 = 0,

    pub fn slice(self: *Gang) []Member {
        return self.members[0..self.length];
    }

    /// The thread faulted on a page it had lost, in this gather of its own.
    pub fn noteFault(self: *Gang, page: m.Page, access: m.Access, gather: u32) void {
        for (self.slice()) |*member| if (member.page == page) {
            const habit = gather -% member.gather <= habit_gathers;
            member.* = .{
                .page = page,
                .access = access,
                .trust = if (habit) trust_per_fault else 0,
                .gather = gather,
            };
            return;
        };
        const free = if (self.length < self.members.len) self.grow() else self.replace();
        free.* = .{ .page = page, .access = access, .trust = 0, .gather = gather };
    }

    fn grow(self: *Gang) *Member {
        self.length += 1;
        return &self.members[self.length - 1];
    }

    /// The clock algorithm: what is trusted loses a little, the first without trust goes.
    fn replace(self: *Gang) *Member {
        while (true) {
            const member = &self.members[self.hand];
            self.hand = (self.hand + 1) % limits.gang_members_max;
            if (member.trust == 0) return member;
            member.trust -= 1;
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

/// The thread faulted on a page it had lost.
pub fn noteFault(d: *Dsm, page: m.Page, access: m.Access, thread: u8) void {
    d.gangs[thread].noteFault(page, access, d.gathers.sequence(thread));
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
        if (d.credit.gang == d.credit.gang_max) return;
        if (member.page == page or member.trust == 0 or !absent(d, member)) continue;
        member.trust -= 1;
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
            .start_ns = now_ns,
        });
    }
}

/// Taken from this node, not on its way back, and not owed to anyone.
fn absent(d: *const Dsm, member: *const Member) bool {
    const local = &d.local[member.page];
    const upgrade = local.state == .shared and member.access == .write;
    if (!upgrade and (local.state != .invalid or !local.lost)) return false;
    return !d.pending.has(member.page) and !d.evicting.has(member.page) and
        !d.parked.has(member.page) and !d.deferred.has(member.page);
}

test "a page faulted on twice is trusted for some fetches, and what is not trusted makes room" {
    var gang: Gang = .{};
    gang.noteFault(7, .read, 1);
    try std.testing.expectEqual(0, gang.members[0].trust);
    gang.noteFault(7, .write, 2);
    try std.testing.expectEqual(1, gang.length);
    const trusted: Member = .{ .page = 7, .access = .write, .trust = 3, .gather = 2 };
    try std.testing.expectEqual(trusted, gang.members[0]);
    for (1..limits.gang_members_max) |i| gang.noteFault(@intCast(1000 + i), .read, 3);
    gang.noteFault(1, .read, 4);
    try std.testing.expectEqual(limits.gang_members_max, gang.length);
    try std.testing.expectEqual(7, gang.members[0].page);
    try std.testing.expectEqual(1, gang.members[1].page);
    gang.noteFault(7, .write, 40);
    try std.testing.expectEqual(0, gang.members[0].trust);
}
