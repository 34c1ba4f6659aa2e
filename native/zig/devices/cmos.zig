//! CMOS memory and real-time clock (Motorola MC146818A): the date in BCD, 24-hour mode, never in
//! the middle of an update. The clock is the host's at start plus the time since.

const std = @import("std");

pub const Cmos = struct {
    index: u8 = 0,
    /// Seconds since 1970 at `start_ns`.
    unix_seconds: u64,
    start_ns: u64,
    memory: [128]u8 = @splat(0),

    pub fn init(unix_seconds: u64, now_ns: u64) Cmos {
        return .{ .unix_seconds = unix_seconds, .start_ns = now_ns };
    }

    pub fn select(self: *Cmos, value: u8) void {
        // Bit 7 masks NMIs on a PC.
        self.index = value & 0x7f;
    }

    pub fn write(self: *Cmos, value: u8) void {
        if (self.index > 0x0d) self.memory[self.index] = value;
    }

    pub fn read(self: *const Cmos, now_ns: u64) u8 {
        const seconds = self.unix_seconds + (now_ns -| self.start_ns) / std.time.ns_per_s;
        const epoch: std.time.epoch.EpochSeconds = .{ .secs = seconds };
        const day = epoch.getEpochDay();
        const year = day.calculateYearDay();
        const month = year.calculateMonthDay();
        const time = epoch.getDaySeconds();
        return switch (self.index) {
            0x00 => bcd(time.getSecondsIntoMinute()),
            0x02 => bcd(time.getMinutesIntoHour()),
            0x04 => bcd(time.getHoursIntoDay()),
            // 1 = Sunday; 1970-01-01 was a Thursday.
            0x06 => @intCast((day.day + 4) % 7 + 1),
            0x07 => bcd(month.day_index + 1),
            0x08 => bcd(month.month.numeric()),
            0x09 => bcd(year.year % 100),
            0x32 => bcd(year.year / 100),
            // Divider of 32 kHz running, no update in progress.
            0x0a => 0x26,
            0x0b => 0x02,
            0x0c => 0,
            0x0d => 0x80,
            else => self.memory[self.index],
        };
    }
};

fn bcd(value: u16) u8 {
    return @intCast(value / 10 << 4 | value % 10);
}

test "the date reads as Linux expects it" {
    // 2026-11-24 13:05:59 UTC, a Tuesday.
    var cmos: Cmos = .init(1_795_525_559, 0);
    const expected = [_][2]u8{
        .{ 0x00, 0x59 }, .{ 0x02, 0x05 }, .{ 0x04, 0x13 }, .{ 0x06, 3 },
        .{ 0x07, 0x24 }, .{ 0x08, 0x11 }, .{ 0x09, 0x26 }, .{ 0x32, 0x20 },
    };
    for (expected) |pair| {
        cmos.select(pair[0]);
        try std.testing.expectEqual(pair[1], cmos.read(0));
    }
    cmos.select(0);
    try std.testing.expectEqual(0x00, cmos.read(1_000_000_000));
    cmos.select(0x8a);
    try std.testing.expectEqual(0, cmos.read(0) & 0x80);
}
