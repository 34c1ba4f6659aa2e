//! ACPI fixed hardware (ACPI 6.5 section 4.8): PM1 event and control blocks with the power button,
//! the PM timer. Status bits are set by events and cleared by writing ones; the system control
//! interrupt is high while an enabled one is set.

const std = @import("std");
const map = @import("map.zig");

const timer_hz = 3_579_545;
const sci_enable = 1;
const sleep_enable = 1 << 13;
const power_button = 1 << 8;
const wake = 1 << 15;
/// What of PM1 exists: timer, global lock, power button, sleep button, RTC.
const events = 0x0721;

pub const AcpiPm = struct {
    status: u16 = 0,
    enable: u16 = 0,
    control: u16 = sci_enable,
    start_ns: u64 = 0,

    /// Ports from pm1a_event on. Offsets 0-1 status, 2-3 enable, 4-5 control, 8-11 timer.
    pub fn read(self: *const AcpiPm, offset: u8, now_ns: u64) u8 {
        return switch (offset) {
            0, 1 => byteOf(self.status, offset),
            2, 3 => byteOf(self.enable, offset - 2),
            4, 5 => byteOf(self.control, offset - 4),
            8...11 => {
                const ticks = @as(u128, now_ns -| self.start_ns) * timer_hz / std.time.ns_per_s;
                return byteOf(@as(u32, @truncate(ticks)), offset - 8);
            },
            else => 0,
        };
    }

    /// True when the guest asked for power-off. `value`: the whole access, little-endian; one of
    /// bytes may start in the middle of a register, one of four spans status and enable.
    pub fn write(self: *AcpiPm, offset: u8, value: u32, size: usize) bool {
        switch (offset) {
            0, 1 => {
                const cleared: u32 = if (offset == 1) (value & 0xff) << 8 else value;
                self.status &= ~@as(u16, @truncate(cleared));
                if (offset == 0 and size == 4) self.setEnable(@truncate(value >> 16));
            },
            2 => self.setEnable(if (size == 1) part(self.enable, value, 0) else @truncate(value)),
            3 => self.setEnable(part(self.enable, value, 8)),
            4 => return self.setControl(if (size == 1)
                part(self.control, value, 0)
            else
                @as(u16, @truncate(value))),
            5 => return self.setControl(part(self.control, value, 8)),
            else => {},
        }
        return false;
    }

    fn setEnable(self: *AcpiPm, word: u16) void {
        self.enable = word & events;
    }

    fn setControl(self: *AcpiPm, word: u16) bool {
        // SCI_EN belongs to the hardware: there is no SMI to hand over from.
        self.control = (word & ~@as(u16, sleep_enable)) | sci_enable;
        return word & sleep_enable != 0 and word >> 10 & 7 == map.s5_sleep_type;
    }

    /// The user presses the power button.
    pub fn pressPower(self: *AcpiPm) void {
        self.status |= power_button;
    }

    /// Level of the system control interrupt.
    pub fn line(self: *const AcpiPm) bool {
        return self.status & self.enable & ~@as(u16, wake) != 0;
    }
};

fn part(word: u16, value: u32, shift: u4) u16 {
    const mask = @as(u16, 0xff) << shift;
    return (word & ~mask) | (@as(u16, @truncate(value & 0xff)) << shift);
}

fn byteOf(value: u32, index: u8) u8 {
    return @truncate(value >> @intCast(8 * index));
}

test "the timer runs at its rate and S5 is seen" {
    var pm: AcpiPm = .{};
    var value: u32 = 0;
    for (0..4) |i| value |= @as(u32, pm.read(@intCast(8 + i), 1_000_000_000)) << @intCast(8 * i);
    try std.testing.expectEqual(timer_hz, value);
    try std.testing.expect(!pm.write(4, 5 << 10, 2));
    try std.testing.expect(pm.write(4, 5 << 10 | sleep_enable, 2));
    try std.testing.expectEqual(sci_enable, pm.read(4, 0) & 1);
    _ = pm.write(2, 0x120, 2);
    try std.testing.expectEqual(0x01, pm.read(3, 0));
}

test "the power button raises the line once enabled, a one clears it" {
    var pm: AcpiPm = .{};
    pm.pressPower();
    try std.testing.expect(!pm.line());
    _ = pm.write(2, power_button, 2);
    try std.testing.expect(pm.line());
    try std.testing.expectEqual(1, pm.read(1, 0));
    // Another bit, then the button's own, by a byte of its own as by a word.
    _ = pm.write(0, 1, 2);
    try std.testing.expect(pm.line());
    _ = pm.write(1, 1, 1);
    try std.testing.expect(!pm.line());
    pm.pressPower();
    _ = pm.write(0, power_button, 2);
    try std.testing.expect(!pm.line());
}

test "bytes of a register keep the rest of it" {
    var pm: AcpiPm = .{};
    _ = pm.write(2, 0x21, 1);
    _ = pm.write(3, 0x01, 1);
    try std.testing.expectEqual(0x121, pm.enable);
    // A byte into the high half may power off: SLP_EN and SLP_TYP lie there.
    try std.testing.expect(pm.write(5, 5 << 2 | 0x20, 1));
    try std.testing.expectEqual(5 << 10 | sci_enable, pm.control);
}
