//! The local APIC's timer (SDM 11.5.4): counts down from `initial` at the bus rate over the
//! divisor. Nothing runs: the count is computed from the time of the start. Missed periods count as
//! one.

const std = @import("std");

/// One tick of the undivided timer, 1 GHz.
const tick_ns = 1;

pub const Timer = struct {
    initial: u32 = 0,
    divide: u32 = 0,
    periodic: bool = false,
    /// When the running count reached, or reaches, `initial` again.
    start_ns: u64 = 0,
    running: bool = false,

    pub fn start(self: *Timer, count: u32, now_ns: u64) void {
        self.initial = count;
        self.start_ns = now_ns;
        self.running = count != 0;
    }

    pub fn setPeriodic(self: *Timer, periodic: bool) void {
        self.periodic = periodic;
    }

    /// A change of the divisor goes on from the current count.
    pub fn setDivide(self: *Timer, value: u32, now_ns: u64) void {
        const elapsed = (now_ns - self.start_ns) / self.unit();
        self.divide = value & 0xb;
        if (self.running) self.start_ns = now_ns -| elapsed * self.unit();
    }

    pub fn current(self: *const Timer, now_ns: u64) u32 {
        if (!self.running) return 0;
        const elapsed = (now_ns -| self.start_ns) / self.unit();
        if (self.periodic) return self.initial - @as(u32, @intCast(elapsed % self.initial));
        return if (elapsed >= self.initial) 0 else self.initial - @as(u32, @intCast(elapsed));
    }

    pub fn deadline(self: *const Timer) ?u64 {
        return if (self.running) self.start_ns + self.period() else null;
    }

    /// True when it fired since the last call.
    pub fn expired(self: *Timer, now_ns: u64) bool {
        if (!self.running or now_ns < self.start_ns + self.period()) return false;
        if (self.periodic) {
            const periods = (now_ns - self.start_ns) / self.period();
            self.start_ns += periods * self.period();
        } else {
            self.running = false;
        }
        return true;
    }

    fn period(self: *const Timer) u64 {
        return self.initial * self.unit();
    }

    /// Nanoseconds per count: bits 0, 1 and 3 hold log2(divisor) - 1, all ones = 1.
    fn unit(self: *const Timer) u64 {
        const code = self.divide & 3 | (self.divide & 8) >> 1;
        return @as(u64, tick_ns) << @intCast((code + 1) & 7);
    }
};

test "divisors after the manual's table" {
    var t: Timer = .{};
    const table = [_][2]u32{
        .{ 0, 2 },
        .{ 1, 4 },
        .{ 2, 8 },
        .{ 3, 16 },
        .{ 8, 32 },
        .{ 9, 64 },
        .{ 10, 128 },
        .{ 11, 1 },
    };
    for (table) |row| {
        t.setDivide(row[0], 0);
        try std.testing.expectEqual(row[1], t.unit());
    }
}

test "a periodic timer that was late fires once and keeps its phase" {
    var t: Timer = .{};
    t.setDivide(11, 0);
    t.setPeriodic(true);
    t.start(100, 0);
    try std.testing.expect(t.expired(350));
    try std.testing.expect(!t.expired(399));
    try std.testing.expectEqual(400, t.deadline().?);
}
