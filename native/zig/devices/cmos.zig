//! CMOS memory and real-time clock (Motorola MC146818A data sheet; the century in 0x32): a date
//! that steps once a second, and three reasons to interrupt. No update ever takes time.
//!
//! Intuition: as in the chip, the bytes are the clock. Nothing happens between two looks at it, so
//! each look first makes up for the seconds and the flags since the last one.

const std = @import("std");
const second_ns = std.time.ns_per_s;
const cycles_hz = 32_768;
const day_seconds = 24 * 60 * 60;

/// Those of the clock; all others are memory.
pub const register = struct {
    pub const second = 0x00;
    pub const second_alarm = 0x01;
    pub const minute = 0x02;
    pub const minute_alarm = 0x03;
    pub const hour = 0x04;
    pub const hour_alarm = 0x05;
    pub const weekday = 0x06;
    pub const day = 0x07;
    pub const month = 0x08;
    pub const year = 0x09;
    pub const a = 0x0a;
    pub const b = 0x0b;
    pub const c = 0x0c;
    pub const d = 0x0d;
    pub const century = 0x32;
};

/// Register B; the three reasons have the same bits in B and C.
pub const set = 0x80;
pub const periodic = 0x40;
pub const alarm = 0x20;
pub const update = 0x10;
pub const binary = 0x04;
pub const hours_24 = 0x02;
/// Register C: the line is high.
pub const requested = 0x80;

pub const Cmos = struct {
    index: u8 = 0,
    memory: [128]u8 = @splat(0),
    /// When the second under way ends.
    next_ns: u64,
    /// Up to when all has been made up for.
    seen_ns: u64,

    /// What the battery keeps over a restart of the machine.
    pub const Kept = extern struct { memory: [128]u8, next_ns: u64, seen_ns: u64 };

    pub fn init(unix_seconds: u64, now_ns: u64) Cmos {
        var self: Cmos = .{ .next_ns = now_ns + second_ns, .seen_ns = now_ns };
        self.start(unix_seconds + unix_epoch_day * day_seconds);
        return self;
    }

    /// After a restart: time and memory went on. As a PC's firmware leaves the chip, nothing of it
    /// interrupts, and it counts in decimal and to 24.
    pub fn restart(kept: *align(1) const Kept, now_ns: u64) Cmos {
        var self: Cmos = .{
            .memory = kept.memory,
            .next_ns = kept.next_ns,
            .seen_ns = kept.seen_ns,
        };
        self.tick(now_ns);
        self.start(self.time());
        return self;
    }

    pub fn keep(self: *const Cmos) Kept {
        return .{ .memory = self.memory, .next_ns = self.next_ns, .seen_ns = self.seen_ns };
    }

    /// From these seconds since day 0 on.
    fn start(self: *Cmos, seconds: u64) void {
        // The divider runs at 32 kHz; 1,024 Hz is what a PC's firmware leaves as periodic rate.
        self.memory[register.a] = 0x26;
        self.memory[register.b] = hours_24;
        self.memory[register.c] = 0;
        // The battery is well.
        self.memory[register.d] = 0x80;
        self.setTime(seconds);
    }

    pub fn select(self: *Cmos, value: u8) void {
        // Bit 7 masks NMIs on a PC.
        self.index = value & 0x7f;
    }

    pub fn read(self: *Cmos, now_ns: u64) u8 {
        self.tick(now_ns);
        const value = self.memory[self.index];
        if (self.index != register.c) return value;
        defer self.memory[register.c] = 0;
        return if (self.line()) value | requested else value;
    }

    pub fn write(self: *Cmos, value: u8, now_ns: u64) void {
        self.tick(now_ns);
        switch (self.index) {
            register.a => {
                const stood = !self.divides();
                self.memory[register.a] = value & 0x7f;
                // The first update comes half a second after the divider's reset.
                if (stood and self.divides()) self.next_ns = now_ns + second_ns / 2;
            },
            register.b => {
                self.memory[register.b] = if (value & set != 0) value & ~@as(u8, update) else value;
            },
            register.c, register.d => {},
            else => self.memory[self.index] = value,
        }
    }

    /// Level of the interrupt line: from a flag that is enabled until register C is read.
    pub fn line(self: *const Cmos) bool {
        const reasons = periodic | alarm | update;
        return self.memory[register.c] & self.memory[register.b] & reasons != 0;
    }

    /// When the line rises next; null while it is high.
    pub fn deadline(self: *const Cmos) ?u64 {
        if (self.line()) return null;
        var due_ns: ?u64 = null;
        for ([_]u8{ periodic, alarm, update }) |reason| {
            if (self.memory[register.b] & reason == 0) continue;
            const at_ns = self.next(reason) orelse continue;
            due_ns = @min(due_ns orelse at_ns, at_ns);
        }
        return due_ns;
    }

    fn next(self: *const Cmos, reason: u8) ?u64 {
        if (reason == periodic) {
            const per_flag = self.period() orelse return null;
            const cycle: u128 = (cycles(self.seen_ns) / per_flag + 1) * per_flag;
            return @intCast((cycle * second_ns + cycles_hz - 1) / cycles_hz);
        }
        if (!self.runs()) return null;
        if (reason == update) return self.next_ns;
        const seconds = self.untilAlarm() orelse return null;
        return self.next_ns + (seconds - 1) * second_ns;
    }

    /// Steps the clock and raises the flags of what has come due, enabled or not.
    pub fn tick(self: *Cmos, now_ns: u64) void {
        const flags = &self.memory[register.c];
        if (self.period()) |per_flag| {
            const before = cycles(self.seen_ns) / per_flag;
            if (cycles(now_ns) / per_flag > before) flags.* |= periodic;
        }
        self.seen_ns = now_ns;
        if (now_ns < self.next_ns) return;
        const passed = (now_ns - self.next_ns) / second_ns + 1;
        self.next_ns += passed * second_ns;
        if (!self.runs()) return;
        flags.* |= update;
        if (self.untilAlarm()) |seconds| if (passed >= seconds) {
            flags.* |= alarm;
        };
        self.setTime(self.time() + passed);
    }

    /// The divider is neither in reset nor in a test mode.
    fn divides(self: *const Cmos) bool {
        return self.memory[register.a] & 0x70 <= 0x20;
    }

    fn runs(self: *const Cmos) bool {
        return self.divides() and self.memory[register.b] & set == 0;
    }

    /// Cycles between two periodic flags, 4 to 16,384; null when there are none.
    fn period(self: *const Cmos) ?u64 {
        const rate: u6 = @intCast(self.memory[register.a] & 0xf);
        if (rate == 0 or !self.divides()) return null;
        return @as(u64, 1) << (if (rate < 3) rate + 6 else rate - 1);
    }

    /// Seconds until the alarm comes next, 1 to a day's; null when no time of day is like it.
    fn untilAlarm(self: *const Cmos) ?u64 {
        const Part = struct { seconds: u64, count: u64, wanted: ?u64 };
        const parts = [_]Part{
            .{ .seconds = 3600, .count = 24, .wanted = self.alarmAt(register.hour_alarm) },
            .{ .seconds = 60, .count = 60, .wanted = self.alarmAt(register.minute_alarm) },
            .{ .seconds = 1, .count = 60, .wanted = self.alarmAt(register.second_alarm) },
        };
        for (parts) |part| if ((part.wanted orelse 0) >= part.count) return null;
        const from = self.time();
        var at = from + 1;
        // Each turn sets one part right, from the largest on; none but the next larger can be
        // wrong by it, so there are few.
        search: while (true) {
            for (parts) |part| {
                const wanted = part.wanted orelse continue;
                const skipped = (wanted + part.count - at / part.seconds % part.count) % part.count;
                if (skipped == 0) continue;
                at = (at / part.seconds + skipped) * part.seconds;
                continue :search;
            }
            return at - from;
        }
    }

    /// One part of the alarm; null matches any.
    fn alarmAt(self: *const Cmos, index: u8) ?u64 {
        const byte = self.memory[index];
        if (byte & 0xc0 == 0xc0) return null;
        return if (index == register.hour_alarm) self.hourOf(byte) else self.numberOf(byte);
    }

    /// Seconds since day 0; bytes that are no date are taken for some date.
    fn time(self: *const Cmos) u64 {
        const days = dayOf(
            self.number(register.century) * 100 + self.number(register.year),
            self.number(register.month),
            self.number(register.day),
        );
        const hours = days * 24 + self.hourOf(self.memory[register.hour]);
        return (hours * 60 + self.number(register.minute)) * 60 + self.number(register.second);
    }

    fn setTime(self: *Cmos, seconds: u64) void {
        const days = seconds / day_seconds;
        const date = dateOf(days);
        const pairs = [_]struct { u8, u64 }{
            .{ register.second, seconds % 60 },
            .{ register.minute, seconds / 60 % 60 },
            // 1 = Sunday; day 0 was a Wednesday.
            .{ register.weekday, (days + 3) % 7 + 1 },
            .{ register.day, date.day },
            .{ register.month, date.month },
            .{ register.year, date.year % 100 },
            .{ register.century, date.year / 100 },
        };
        for (pairs) |pair| self.memory[pair[0]] = self.byteOf(pair[1]);
        self.memory[register.hour] = self.byteOfHour(seconds / 3600 % 24);
    }

    fn number(self: *const Cmos, index: u8) u64 {
        return self.numberOf(self.memory[index]);
    }

    fn numberOf(self: *const Cmos, byte: u8) u64 {
        if (self.memory[register.b] & binary != 0) return byte;
        return @as(u64, byte >> 4) * 10 + (byte & 0xf);
    }

    fn byteOf(self: *const Cmos, value: u64) u8 {
        const is_binary = self.memory[register.b] & binary != 0;
        return @intCast(if (is_binary) value else value / 10 << 4 | value % 10);
    }

    /// Of 12 hours bit 7 is the afternoon, and the first one is 12.
    fn hourOf(self: *const Cmos, byte: u8) u64 {
        if (self.memory[register.b] & hours_24 != 0) return self.numberOf(byte);
        const afternoon: u64 = if (byte & 0x80 != 0) 12 else 0;
        return self.numberOf(byte & 0x7f) % 12 + afternoon;
    }

    fn byteOfHour(self: *const Cmos, hour: u64) u8 {
        if (self.memory[register.b] & hours_24 != 0) return self.byteOf(hour);
        const afternoon: u8 = if (hour >= 12) 0x80 else 0;
        return self.byteOf((hour + 11) % 12 + 1) | afternoon;
    }
};

fn cycles(at_ns: u64) u64 {
    return @intCast(@as(u128, at_ns) * cycles_hz / second_ns);
}

/// Days are counted from the first of March 400 years before year 0, so that a leap day ends its
/// year and nothing is negative (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const unix_epoch_day = 719_468 + days_of_400_years;
const days_of_400_years = 146_097;

fn dayOf(year: u64, month: u64, day: u64) u64 {
    const from_march = (month + 9) % 12;
    const y = if (from_march < 10) year + 400 else year + 399;
    return y * 365 + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + day - 1;
}

/// The year has four digits.
fn dateOf(days: u64) struct { year: u64, month: u64, day: u64 } {
    const rest = days % days_of_400_years;
    const y = (rest - rest / 1460 + rest / 36_524 - rest / 146_096) / 365;
    const in_year = rest - (365 * y + y / 4 - y / 100);
    const from_march = (5 * in_year + 2) / 153;
    const shift: u64 = if (from_march < 10) 10_000 - 400 else 10_000 - 399;
    return .{
        .year = (days / days_of_400_years * 400 + y + shift) % 10_000,
        .month = (from_march + 2) % 12 + 1,
        .day = in_year - (153 * from_march + 2) / 5 + 1,
    };
}
