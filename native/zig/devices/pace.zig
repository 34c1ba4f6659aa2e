//! When the transmit interrupts of a serial port come, so that who prints without end leaves its
//! processor to others, too.
//!
//! Linux's handler stays as long as it finds a further interrupt due (drivers/tty/serial/8250,
//! PASS_LIMIT), and where an access takes as long as a character does on a real line, no thread
//! would run on that processor until all is printed. So after a burst of writing comes a pause, in
//! which the handler leaves.
//!
//! A thread that waits for a page of another node is interrupted as soon as that has come, and the
//! page may be gone when the handler leaves; the pauses may be shorter than pages take. So who has
//! spent a second in handlers is given a rest.

const std = @import("std");
const limits = @import("../limits.zig");

/// Who has written for so long is given a pause before the next interrupt, half as long as has
/// passed since the one came that is served.
pub const burst_ns = 10 * limits.ns_per_ms;
pub const pause_ns = burst_ns / 2;
/// Longer than an access takes whose pages come from other nodes: else no handler would leave.
pub const pause_max_ns = 100 * pause_ns;
/// After handlers that took so long in all, with no time as long as a rest between them, a rest
/// begins.
pub const work_ns = 1000 * limits.ns_per_ms;
pub const rest_ns = work_ns / 4;

pub const Pace = struct {
    /// When the interrupt came that is served, or will be; null when the guest has looked and found
    /// none due since.
    came_ns: ?u64 = null,
    /// When its handler began to write.
    began_ns: ?u64 = null,
    /// When a pause ended before it had looked.
    renewed_ns: ?u64 = null,
    /// When the last handler left.
    left_ns: u64 = 0,
    worked_ns: u64 = 0,
    /// A pause or a rest: no interrupt comes before.
    quiet_until_ns: u64 = 0,

    /// When the interrupt of what was written may come.
    pub fn next(self: *const Pace, now_ns: u64) u64 {
        const began_ns = self.began_ns orelse now_ns;
        const at_ns = if (now_ns -| began_ns < burst_ns) now_ns else self.afterPause(now_ns);
        return @max(at_ns, self.quiet_until_ns);
    }

    fn afterPause(self: *const Pace, now_ns: u64) u64 {
        const worked_ns = now_ns -| (self.came_ns orelse now_ns);
        return now_ns + std.math.clamp(worked_ns / 2, pause_ns, pause_max_ns);
    }

    /// The interrupt has come, perhaps while its last handler is at work still.
    pub fn came(self: *Pace, now_ns: u64) void {
        if (self.came_ns != null) return;
        if (now_ns -| self.left_ns >= rest_ns) self.worked_ns = 0;
        self.came_ns = now_ns;
    }

    /// A handler has written; one that came for a received byte writes as well.
    pub fn wrote(self: *Pace, now_ns: u64) void {
        self.came(now_ns);
        if (self.began_ns == null) self.began_ns = now_ns;
    }

    /// A pause is over, and the interrupt comes.
    pub fn paused(self: *Pace, now_ns: u64) void {
        if (self.came_ns != null) self.renewed_ns = now_ns;
        self.came(now_ns);
    }

    /// The guest has looked and found the interrupt due. After a pause it serves a new one: not all
    /// guests look until they find none.
    pub fn looked(self: *Pace) void {
        const renewed_ns = self.renewed_ns orelse return;
        self.* = .{
            .came_ns = renewed_ns,
            .left_ns = self.left_ns,
            .worked_ns = self.worked_ns,
            .quiet_until_ns = self.quiet_until_ns,
        };
    }

    /// The guest has looked and found no interrupt due. `waits`: one is to come.
    pub fn left(self: *Pace, waits: bool, now_ns: u64) void {
        const came_ns = self.came_ns orelse return;
        const wrote_ns = now_ns -| (self.began_ns orelse now_ns);
        if (waits and wrote_ns >= burst_ns) {
            self.quiet_until_ns = @max(self.quiet_until_ns, self.afterPause(now_ns));
        }
        self.worked_ns += now_ns -| came_ns;
        if (self.worked_ns >= work_ns) {
            self.worked_ns = 0;
            self.quiet_until_ns = @max(self.quiet_until_ns, now_ns + rest_ns);
        }
        self.left_ns = now_ns;
        self.came_ns = null;
        self.began_ns = null;
        self.renewed_ns = null;
    }
};
