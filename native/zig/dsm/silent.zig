//! Grants without a message: home memory that nobody else uses. Nor do they prolong a gather, in
//! which a thread that walks through fresh memory would keep what others need for as long as it
//! walks. What lies ahead of such a walk and was never used by anyone is granted with it
//! (ahead.zig).

const std = @import("std");
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const ahead = @import("ahead.zig");
const home = @import("home.zig");
const assert = std.debug.assert;

/// Grants the page, if it is to be had so, and maps it.
pub fn grant(
    d: *Dsm,
    host: anytype,
    page: m.Page,
    access: m.Access,
    thread: u8,
) bool {
    if (!possible(d, page, access)) return false;
    take(d, page, access, thread);
    d.stats.local += 1;
    host.map(page, d.local[page].state);
    if (access == .write and !d.failed) ahead.touch(d, host, page, thread);
    return true;
}

/// The rights alone, without the mapping.
pub fn take(d: *Dsm, page: m.Page, access: m.Access, thread: u8) void {
    const entry = d.entryOf(page);
    const self = @as(u64, 1) << @intCast(d.node);
    const local = &d.local[page];
    assert(!d.deferred.has(page) or !d.guards.allOn());
    if (access == .write) {
        entry.owner = d.node;
        entry.sharers = 0;
        if (d.guards.version_bump and d.guards.version_bump_alone) entry.version += 1;
        local.state = .modified;
    } else {
        entry.sharers |= self;
        local.state = .shared;
    }
    local.version = @intCast(entry.version);
    local.holder = d.gathers.alone(thread, page);
    local.lost = false;
    local.ahead = false;
}

/// The same, of memory that nobody has ever used.
pub fn untouched(d: *Dsm, page: m.Page) bool {
    if (!possible(d, page, .write)) return false;
    const entry = d.entryOf(page);
    return entry.version == home.version_untouched and entry.sharers == 0;
}

/// Of this node's share, and to be had without a message.
pub fn possible(d: *Dsm, page: m.Page, access: m.Access) bool {
    if (d.homeOf(page) != d.node or d.pending.has(page)) return false;
    const entry = d.entryOf(page);
    const self = @as(u64, 1) << @intCast(d.node);
    if (entry.owner != home.nobody or d.busy.has(page)) return false;
    return access == .read or entry.sharers & ~self == 0;
}
