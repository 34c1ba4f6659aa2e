//! The index and data ports of a VGA's CRT controller: registers that read back what was written,
//! because small kernels keep the cursor in registers 14 and 15. The text memory at 0xB8000 needs
//! no device: it is guest RAM that the memory map does not offer (src/machine/e820.ts), so it
//! reads back too, and nobody draws it.

const std = @import("std");

const registers = 25;

pub const Crtc = struct {
    index: u8 = 0,
    values: [registers]u8 = @splat(0),

    /// Port 0x3D4 or 0x3D5.
    pub fn read(self: *const Crtc, port: u1) u8 {
        if (port == 0) return self.index;
        return if (self.index < registers) self.values[self.index] else 0;
    }

    pub fn write(self: *Crtc, port: u1, value: u8) void {
        if (port == 0) {
            self.index = value & 0x3f;
        } else if (self.index < registers) {
            self.values[self.index] = value;
        }
    }
};

test "the cursor reads back" {
    var crtc: Crtc = .{};
    for ([_][2]u8{ .{ 14, 0x07 }, .{ 15, 0xcf } }) |register| {
        crtc.write(0, register[0]);
        crtc.write(1, register[1]);
    }
    try std.testing.expectEqual(15, crtc.read(0));
    try std.testing.expectEqual(0xcf, crtc.read(1));
    crtc.write(0, 14);
    try std.testing.expectEqual(0x07, crtc.read(1));
    crtc.write(0, 0x3f);
    crtc.write(1, 1);
    try std.testing.expectEqual(0, crtc.read(1));
}
