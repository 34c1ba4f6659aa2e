//! The three ways by which a PC's software resets it: the keyboard controller's output port (the
//! 8042 pulses the line), port 0x92 and the chipset's register 0xCF9. No keyboard is attached.

const std = @import("std");

const status_idle = 0x1c;
const status_output = 0x01;
const pulse_reset = 0xfe;
const read_output_port = 0xd0;
const write_output_port = 0xd1;
const self_test = 0xaa;
const self_test_passed = 0x55;
const output_a20 = 2;
const output_not_reset = 1;

pub const Resets = struct {
    /// Byte the controller has for the processor.
    output: ?u8 = null,
    writes_port: bool = false,
    /// Bit 1: the A20 gate, which is always open here; it only reads back.
    system: u8 = output_a20,
    control: u8 = 0,

    /// Ports 0x60 and 0x64.
    pub fn readKeyboard(self: *Resets, port: u16) u8 {
        if (port == 0x64) return status_idle | @as(u8, @intFromBool(self.output != null));
        defer self.output = null;
        return self.output orelse 0;
    }

    /// True: reset the machine.
    pub fn writeKeyboard(self: *Resets, port: u16, value: u8) bool {
        if (port == 0x60) {
            defer self.writes_port = false;
            return self.writes_port and value & output_not_reset == 0;
        }
        switch (value) {
            pulse_reset => return true,
            read_output_port => self.output = output_not_reset | self.system,
            write_output_port => self.writes_port = true,
            self_test => self.output = self_test_passed,
            else => {},
        }
        return false;
    }

    /// Port 0x92: bit 0 rising resets.
    pub fn writeSystem(self: *Resets, value: u8) bool {
        const before = self.system;
        self.system = value & 3;
        return value & 1 != 0 and before & 1 == 0;
    }

    /// Port 0xCF9: bit 2 rising resets; bits 1 and 3 say how hard and read back.
    pub fn writeControl(self: *Resets, value: u8) bool {
        const before = self.control;
        self.control = value & 0x0e;
        return value & 4 != 0 and before & 4 == 0;
    }
};

test "each way resets, and what only looks like it does not" {
    var r: Resets = .{};
    try std.testing.expect(!r.writeKeyboard(0x64, 0xad));
    try std.testing.expect(r.writeKeyboard(0x64, 0xfe));
    try std.testing.expect(!r.writeKeyboard(0x60, 0));
    _ = r.writeKeyboard(0x64, write_output_port);
    try std.testing.expect(r.writeKeyboard(0x60, 0xfe));
    try std.testing.expect(!r.writeSystem(2));
    try std.testing.expect(r.writeSystem(3));
    // As Linux does it: how, then when.
    try std.testing.expect(!r.writeControl(2));
    try std.testing.expect(r.writeControl(6));
}

test "the controller answers its self-test and is empty afterwards" {
    var r: Resets = .{};
    try std.testing.expectEqual(0, r.readKeyboard(0x64) & status_output);
    _ = r.writeKeyboard(0x64, self_test);
    try std.testing.expectEqual(1, r.readKeyboard(0x64) & status_output);
    try std.testing.expectEqual(0x55, r.readKeyboard(0x60));
    try std.testing.expectEqual(0, r.readKeyboard(0x64) & status_output);
}
