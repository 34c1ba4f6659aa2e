//! The two 8259A interrupt controllers of a PC (Intel 8259A data sheet), as registers only: a
//! kernel programs, masks and probes them by reading the mask back, then uses the I/O APIC. They
//! never interrupt: nothing is wired to LINT0.

const std = @import("std");

const icw1 = 0x10;
const icw1_icw4 = 0x01;
const icw1_single = 0x02;
const ocw3 = 0x08;

const Step = enum { ready, icw2, icw3, icw4 };

const Chip = struct {
    mask: u8 = 0,
    base: u8 = 0,
    cascade: u8 = 0,
    mode: u8 = 0,
    step: Step = .ready,
    single: bool = false,
    with_icw4: bool = false,
    read_service: bool = false,

    fn command(self: *Chip, value: u8) void {
        if (value & icw1 != 0) {
            self.* = .{
                .step = .icw2,
                .single = value & icw1_single != 0,
                .with_icw4 = value & icw1_icw4 != 0,
            };
        } else if (value & ocw3 != 0) {
            if (value & 2 != 0) self.read_service = value & 1 != 0;
        }
        // OCW2 ends an interrupt: there is none.
    }

    fn data(self: *Chip, value: u8) void {
        switch (self.step) {
            .ready => self.mask = value,
            .icw2 => {
                self.base = value & 0xf8;
                self.step = if (!self.single) .icw3 else if (self.with_icw4) .icw4 else .ready;
            },
            .icw3 => {
                self.cascade = value;
                self.step = if (self.with_icw4) .icw4 else .ready;
            },
            .icw4 => {
                self.mode = value;
                self.step = .ready;
            },
        }
    }
};

pub const Pic = struct {
    chips: [2]Chip = @splat(.{}),
    /// Edge or level per line, ports 0x4D0 and 0x4D1; lines 0, 1, 2, 8 and 13 are always edge.
    trigger: [2]u8 = @splat(0),

    /// Ports 0x20, 0x21 (chip 0), 0xA0, 0xA1 (chip 1). Requests and services read as none.
    pub fn read(self: *const Pic, chip: u1, register: u1) u8 {
        return if (register == 1) self.chips[chip].mask else 0;
    }

    pub fn write(self: *Pic, chip: u1, register: u1, value: u8) void {
        if (register == 0) self.chips[chip].command(value) else self.chips[chip].data(value);
    }

    pub fn writeTrigger(self: *Pic, chip: u1, value: u8) void {
        self.trigger[chip] = value & @as(u8, if (chip == 0) 0xf8 else 0xde);
    }
};

test "Linux's probe and start: the mask reads back, before and after the four ICWs" {
    var pic: Pic = .{};
    pic.write(1, 1, 0xff);
    pic.write(0, 1, 0xfb);
    try std.testing.expectEqual(0xfb, pic.read(0, 1));
    for ([_][2]u8{ .{ 0, 0x11 }, .{ 1, 0x30 }, .{ 1, 0x04 }, .{ 1, 0x01 } }) |out| {
        pic.write(0, @intCast(out[0]), out[1]);
    }
    try std.testing.expectEqual(0x30, pic.chips[0].base);
    try std.testing.expectEqual(0, pic.read(0, 1));
    pic.write(0, 1, 0xff);
    try std.testing.expectEqual(0xff, pic.read(0, 1));
    try std.testing.expectEqual(0xff, pic.read(1, 1));
    // OCW3 asks for the service register, EOI is taken: nothing is in service.
    pic.write(0, 0, 0x0b);
    try std.testing.expectEqual(0, pic.read(0, 0));
    pic.write(0, 0, 0x20);
    pic.writeTrigger(0, 0xff);
    try std.testing.expectEqual(0xf8, pic.trigger[0]);
}

test "ICW1 without ICW3 and ICW4 ends after the base" {
    var pic: Pic = .{};
    pic.write(0, 0, 0x12);
    pic.write(0, 1, 0x08);
    pic.write(0, 1, 0xaa);
    try std.testing.expectEqual(0xaa, pic.read(0, 1));
}
