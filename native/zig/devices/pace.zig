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
/// passed since the last one came.
pub const burst_ns = 10 * limits.ns_per_ms;
pub const pause_ns = burst_ns / 2;
/// Longer than an access takes whose pages come from other nodes: else no handler would leave.
pub const pause_max_ns = 100 * pause_ns;
/// After handlers that took so long in all a rest begins.
pub const work_ns = 1000 * limits.ns_per_ms;
pub const rest_ns = work_ns / 4;

pub const Pace = struct {
    /// When the handler at work began to write; null when none has since the last one left.
    began_ns: ?u64 = null,
    /// When the interrupt came that it serves.
    came_ns: u64 = 0,
    /// When the last one left.
    left_ns: u64 = 0,
    worked_ns: u64 = 0,
    /// No interrupt comes before.
    rests_until_ns: u64 = 0,
    /// Handlers of this guest look for a further interrupt before they leave.
    looks: bool = false,

    /// When the interrupt of what a handler has written may come; also when it is enabled, or the
    /// wire was not ready before.
    pub fn next(self: *const Pace, now_ns: u64) u64 {
        const began_ns = self.began_ns orelse now_ns;
        const at_ns = if (now_ns -| began_ns < burst_ns) now_ns else self.afterPause(now_ns);
        return @max(at_ns, self.rests_until_ns);
    }

    fn afterPause(self: *const Pace, now_ns: u64) u64 {
        // Of one that does not look nobody knows when it left.
        if (!self.looks) return now_ns + pause_ns;
        return now_ns + std.math.clamp((now_ns -| self.came_ns) / 2, pause_ns, pause_max_ns);
    }

    /// A handler has written; one that came for a received byte writes as well.
    pub fn wrote(self: *Pace, now_ns: u64) void {
        if (self.began_ns != null) return;
        self.began_ns = now_ns;
        if (self.came_ns < self.left_ns) self.came_ns = now_ns;
    }

    /// A pause is over.
    pub fn paused(self: *Pace) void {
        if (!self.looks) self.began_ns = null;
    }

    /// The interrupt has come, perhaps while the last one's handler is at work still.
    pub fn came(self: *Pace, now_ns: u64) void {
        if (self.began_ns == null) self.came_ns = now_ns;
    }

    /// The guest has looked and found no interrupt due. Returns when the next one may come, null if
    /// that stays as it is.
    pub fn left(self: *Pace, now_ns: u64) ?u64 {
        if (self.began_ns == null) return null;
        self.began_ns = null;
        self.looks = true;
        self.left_ns = now_ns;
        self.worked_ns += now_ns -| self.came_ns;
        if (self.worked_ns >= work_ns) {
            self.worked_ns = 0;
            self.rests_until_ns = now_ns + rest_ns;
        }
        return @max(self.afterPause(now_ns), self.rests_until_ns);
    }
};
