//! What must hold in every state of the small world: one writer or many readers, equal copies, the
//! last completed store in every load, mappings as the nodes believe (or less where a page is on
//! trial), counts as they are. And at rest: every home knows who holds what.

const std = @import("std");
const home = @import("../dsm/home.zig");
const Need = @import("ops.zig").Need;
const World = @import("pages.zig").World;

pub fn check(w: *World) World.Failure!void {
    for (0..w.pages) |page| {
        var writers: u32 = 0;
        var readers: u32 = 0;
        for (w.nodes, 0..) |*node, i| {
            const state = node.dsm.state(@intCast(page));
            const mapped = w.shared.mapped[i][page];
            const weaker = w.options.gang_requests > 0 and
                @intFromEnum(mapped) < @intFromEnum(state);
            if (mapped != state and !weaker) return error.StateDiffers;
            switch (state) {
                .invalid => continue,
                .shared => readers += 1,
                .modified => writers += 1,
            }
            if (w.shared.values[i][page] != w.shared.last[page]) return error.StaleCopy;
        }
        if (writers > 1) return error.SecondWriter;
        if (writers == 1 and readers > 0) return error.ReaderBesideWriter;
    }
    for (w.nodes) |*node| try counts(&node.dsm, w.options.threads);
}

/// Each gather knows how many wait for it: deadlines come from these counts.
fn counts(dsm: anytype, threads: u8) World.Failure!void {
    var sum: u32 = 0;
    for (dsm.gathers.threads[0..threads], 0..) |*thread, t| {
        for (&thread.records, 0..) |*record, i| {
            sum += record.deferred;
            const noted = thread.deferring >> @intCast(i) & 1 == 1;
            if (noted != (record.deferred > 0)) return error.WrongCount;
        }
        const any = dsm.gathers.deferring.isSet(t);
        if (any != (thread.deferring != 0)) return error.WrongCount;
    }
    if (sum != dsm.deferred.length) return error.WrongCount;
}

/// One access of an instruction in the moment it retires.
pub fn use(w: *World, node: u8, need: Need) World.Failure!void {
    const value = &w.shared.values[node][need.page];
    const last = &w.shared.last[need.page];
    if (value.* != last.*) return error.StaleCopy;
    if (!need.write) return;
    if (w.shared.mapped[node][need.page] != .modified) return error.StoreWithoutRight;
    last.* += 1;
    value.* = last.*;
}

/// Nothing is under way, operations that were not begun aside.
pub fn atRest(w: *World) World.Failure!bool {
    if (w.lanes.count > 0) return false;
    for (w.nodes, 0..) |*node, i| {
        if (!node.dsm.idle()) return false;
        for (w.shared.threads[i][0..w.options.threads]) |*thread| {
            if (thread.op != null) return false;
        }
    }
    try audit(w);
    return true;
}

fn audit(w: *World) World.Failure!void {
    for (0..w.pages) |p| {
        const page: u32 = @intCast(p);
        const keeper = w.nodes[0].dsm.homeOf(page);
        const entry = w.nodes[keeper].dsm.entryOf(page);
        for (w.nodes, 0..) |*node, i| {
            const state = node.dsm.state(page);
            if ((state == .modified) != (entry.owner == i)) return error.DirectoryWrong;
            const listed = entry.sharers >> @intCast(i) & 1 == 1;
            if (state == .shared and !listed) return error.DirectoryWrong;
        }
        const valid = entry.owner == home.nobody;
        if (valid and w.shared.values[keeper][page] != w.shared.last[page]) {
            return error.DirectoryWrong;
        }
    }
}
