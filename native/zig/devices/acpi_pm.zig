//! ACPI fixed hardware (ACPI 6.5 section 4.8): PM1 event and control blocks, the PM timer.

const std = @import("std");
const map = @import("map.zig");

const timer_hz = 3_579_545;
const sci_enable = 1;
const sleep_enable = 1 << 13;

pub const AcpiPm = struct {
    enable: u16 = 0,
    control: u16 = sci_enable,
    start_ns: u64 = 0,

    /// Ports from pm1a_event on. Offsets 0-1 status, 2-3 enable, 4-5 control, 8-11 timer.
    pub fn read(self: *const AcpiPm, offset: u8, now_ns: u64) u8 {
        return switch (offset) {
            2, 3 => byteOf(self.enable, offset - 2),
            4, 5 => byteOf(self.control, offset - 4),
            8...11 => {
                const ticks = @as(u128, now_ns -| self.start_ns) * timer_hz / std.time.ns_per_s;
                return byteOf(@as(u32, @truncate(ticks)), offset - 8);
            },
            else => 0,
        };
    }

    /// True when the guest asked for power-off. `value`: the whole access, little-endian.
    pub fn write(self: *AcpiPm, offset: u8, value: u32, size: usize) bool {
        switch (offset) {
            2 => self.enable = @truncate(value),
            4 => {
                if (size < 2) return false;
                const word: u16 = @truncate(value);
                // SCI_EN belongs to the hardware: there is no SMI to hand over from.
                self.control = (word & ~@as(u16, sleep_enable)) | sci_enable;
                return word & sleep_enable != 0 and word >> 10 & 7 == map.s5_sleep_type;
            },
            else => {},
        }
        return false;
    }
};

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
