//! How much of a processor its timer's interrupts may take. Where an access to a register of the
//! APIC or a page of another node takes milliseconds, a kernel's tick (250 a second for Linux) is
//! half of all it does. So a processor that is busy gets the next interrupt of its timer only when
//! it had seven times as long for other work as the handler of the last one took; one that halts
//! gets it at once. That a handler is done is told by its arming the timer anew, where that is
//! periodic by its EOI, which says little of a kernel that acknowledges first. A handler of 20 us,
//! as on real hosts, delays nothing that is more than 160 us apart (KVM holds periodic timers to
//! 200 us, min_timer_period_us).

const std = @import("std");
const limits = @import("../limits.zig");

const others_share = 7;
/// Linux makes up for ticks that are this late; what sleeps for less on a busy CPU sleeps longer.
const pause_max_ns = 10 * limits.ns_per_ms;

pub const Pace = struct {
    /// When the processor was given the interrupt that it has not handled yet.
    given_ns: ?u64 = null,
    /// Until then a busy processor gets no other.
    until_ns: u64 = 0,

    pub fn given(self: *Pace, now_ns: u64) void {
        self.given_ns = now_ns;
    }

    /// The handler has armed the timer anew or, where that is periodic, said that it is done.
    pub fn handled(self: *Pace, now_ns: u64) void {
        const given_ns = self.given_ns orelse return;
        self.given_ns = null;
        self.until_ns = now_ns + @min(others_share * (now_ns -| given_ns), pause_max_ns);
    }
};

test "what a handler took is waited for seven times, once, up to a bound" {
    var pace: Pace = .{};
    pace.handled(500);
    try std.testing.expectEqual(0, pace.until_ns);
    pace.given(1000);
    pace.handled(21_000);
    try std.testing.expectEqual(21_000 + 140_000, pace.until_ns);
    // Somebody else's timer, armed later.
    pace.handled(90_000_000);
    try std.testing.expectEqual(21_000 + 140_000, pace.until_ns);
    pace.given(100_000_000);
    pace.handled(190_000_000);
    try std.testing.expectEqual(200_000_000, pace.until_ns);
}
