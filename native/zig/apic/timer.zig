//! The local APIC's timer (SDM 11.5.4): counts down from `initial` at the bus rate over the
//! divisor, or waits for a time stamp (11.5.4.1). Nothing runs: the count is computed from the time
//! of the start. Missed periods count as one.

const std = @import("std");

/// One tick of the undivided timer, 1 GHz.
const tick_ns = 1;

/// Bits 17 and 18 of its LVT entry; there is no fourth.
pub const Mode = enum { one_shot, periodic, tsc_deadline };

pub const Timer = struct {
    initial: u32 = 0,
    divide: u32 = 0,
    mode: Mode = .one_shot,
    /// When the running count reached, or reaches, `initial` again.
    start_ns: u64 = 0,
    running: bool = false,
    /// What the guest's TSC reads when it fires; 0 = never.
    tsc: u64 = 0,
    /// When that will be, by what is known of the TSC.
    tsc_ns: u64 = 0,
    /// The TSC was seen to read that or more: it need not be asked again.
    tsc_reached: bool = false,

    /// Does nothing while it waits for time stamps.
    pub fn start(self: *Timer, count: u32, now_ns: u64) void {
        if (self.mode == .tsc_deadline) return;
        self.initial = count;
        self.start_ns = now_ns;
        self.running = count != 0;
    }

    /// Fires when the TSC reads `tsc`, at `at_ns`; 0 disarms. Does nothing while it counts.
    pub fn arm(self: *Timer, tsc: u64, at_ns: u64) void {
        if (self.mode != .tsc_deadline) return;
        self.tsc = tsc;
        self.tsc_ns = at_ns;
        self.tsc_reached = false;
    }

    /// From counts to time stamps or back it is disarmed.
    pub fn setMode(self: *Timer, mode: Mode) void {
        if ((mode == .tsc_deadline) != (self.mode == .tsc_deadline)) {
            self.* = .{ .divide = self.divide };
        }
        self.mode = mode;
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
        if (self.mode == .periodic) {
            return self.initial - @as(u32, @intCast(elapsed % self.initial));
        }
        return if (elapsed >= self.initial) 0 else self.initial - @as(u32, @intCast(elapsed));
    }

    pub fn deadline(self: *const Timer) ?u64 {
        if (self.tsc != 0) return self.tsc_ns;
        return if (self.running) self.start_ns + self.period() else null;
    }

    /// True when it fired since the last call.
    pub fn expired(self: *Timer, now_ns: u64) bool {
        if (now_ns < self.deadline() orelse return false) return false;
        if (self.mode == .periodic) {
            const periods = (now_ns - self.start_ns) / self.period();
            self.start_ns += periods * self.period();
        } else {
            self.running = false;
            self.tsc = 0;
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
    t.setMode(.periodic);
    t.start(100, 0);
    try std.testing.expect(t.expired(350));
    try std.testing.expect(!t.expired(399));
    try std.testing.expectEqual(400, t.deadline().?);
}

test "one that waits for a time stamp counts nothing, fires once, and a change of mode disarms it" {
    var t: Timer = .{};
    t.setDivide(11, 0);
    t.arm(5000, 50);
    try std.testing.expectEqual(null, t.deadline());
    t.start(100, 0);
    t.setMode(.tsc_deadline);
    try std.testing.expectEqual(null, t.deadline());
    t.start(100, 0);
    try std.testing.expectEqual(0, t.current(10));
    try std.testing.expectEqual(null, t.deadline());
    t.arm(5000, 50);
    try std.testing.expectEqual(50, t.deadline().?);
    try std.testing.expect(!t.expired(49));
    try std.testing.expect(t.expired(50));
    try std.testing.expectEqual(0, t.tsc);
    try std.testing.expect(!t.expired(51));
    t.arm(6000, 60);
    t.arm(0, 0);
    try std.testing.expectEqual(null, t.deadline());
    t.arm(7000, 70);
    t.setMode(.tsc_deadline);
    try std.testing.expectEqual(70, t.deadline().?);
    t.setMode(.one_shot);
    try std.testing.expectEqual(null, t.deadline());
    t.start(100, 0);
    try std.testing.expectEqual(100, t.deadline().?);
}
