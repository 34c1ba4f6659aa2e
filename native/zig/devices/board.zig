//! The fast devices of the device node behind one door. Pure: the caller holds the board's lock,
//! passes the time, and carries out the effects afterwards.

const std = @import("std");
const map = @import("map.zig");
const m = @import("../wire/message.zig");
const probe_room = @import("probe.zig");
const AcpiPm = @import("acpi_pm.zig").AcpiPm;
const Cmos = @import("cmos.zig").Cmos;
const IoApic = @import("../apic/ioapic.zig").IoApic;
const Pit = @import("pit.zig").Pit;
const Probe = probe_room.Probe;
const Request = @import("../apic/destination.zig").Request;
const Uart = @import("uart.zig").Uart;
const assert = std.debug.assert;

/// What an access asks of the world.
pub const Effects = struct {
    interrupts: IoApic.Requests = .{},
    output: [8]u8 = undefined,
    output_length: usize = 0,
    poweroff: bool = false,
    reset: bool = false,
    exit_code: ?u32 = null,

    pub fn requests(self: *const Effects) []const Request {
        return self.interrupts.slice();
    }

    pub fn console(self: *const Effects) []const u8 {
        return self.output[0..self.output_length];
    }

    fn print(self: *Effects, byte: u8) void {
        self.output[self.output_length] = byte;
        self.output_length += 1;
    }
};

pub const Board = struct {
    uart: Uart = .{},
    pit: Pit = .{},
    cmos: Cmos,
    pm: AcpiPm = .{},
    probe: Probe = .{},
    io_apic: IoApic = .{},

    pub fn init(unix_seconds: u64, now_ns: u64) Board {
        return .{ .cmos = .init(unix_seconds, now_ns), .pm = .{ .start_ns = now_ns } };
    }

    /// One access of data.len bytes, 1 to 8. A read of nothing gives all ones.
    pub fn access(
        self: *Board,
        space: m.Space,
        address: u64,
        write: bool,
        data: []u8,
        now_ns: u64,
        effects: *Effects,
    ) void {
        assert(data.len >= 1 and data.len <= 8);
        switch (space) {
            .mmio => self.memory(address, write, data, effects),
            .port => self.port(@truncate(address), write, data, now_ns, effects),
        }
        self.io_apic.line(map.uart_irq, self.uart.line(), &effects.interrupts);
    }

    fn memory(self: *Board, address: u64, write: bool, data: []u8, effects: *Effects) void {
        if (address >= map.probe_gpa and address < map.probe_gpa + probe_room.bytes) {
            return self.probeAccess(address - map.probe_gpa, write, data, effects);
        }
        if (address >= map.io_apic_gpa and address < map.io_apic_gpa + 0x1000) {
            const offset = address - map.io_apic_gpa;
            if (write) {
                self.io_apic.write(offset, @truncate(valueOf(data)), &effects.interrupts);
            } else {
                fill(data, self.io_apic.read(offset));
            }
            return;
        }
        if (!write) @memset(data, 0xff);
    }

    fn probeAccess(self: *Board, offset: u64, write: bool, data: []u8, effects: *Effects) void {
        if (!write) return fill(data, self.probe.read(offset));
        const outcome = self.probe.write(offset, valueOf(data), data.len);
        if (outcome.byte) |byte| effects.print(byte);
        if (outcome.exit_code) |code| effects.exit_code = code;
    }

    fn port(
        self: *Board,
        number: u16,
        write: bool,
        data: []u8,
        now_ns: u64,
        effects: *Effects,
    ) void {
        switch (number) {
            map.pm1a_event...map.pm1a_event + 11 => {
                const offset: u8 = @intCast(number - map.pm1a_event);
                if (write) {
                    const value: u32 = @truncate(valueOf(data));
                    if (self.pm.write(offset, value, data.len)) effects.poweroff = true;
                } else for (data, 0..) |*byte, i| {
                    byte.* = self.pm.read(offset +% @as(u8, @intCast(i)), now_ns);
                }
            },
            map.probe_port...map.probe_port + 7 => {
                self.probeAccess(number - map.probe_port, write, data, effects);
            },
            map.debug_exit_port => if (write) {
                effects.exit_code = @truncate(valueOf(data));
            } else @memset(data, 0xff),
            else => for (data, 0..) |*byte, i| {
                const at = number +% @as(u16, @intCast(i));
                // Four bytes at 0xCF8 are PCI's configuration address, which is not there; the
                // reset register within answers only to an access of its own.
                if (write and at == map.reset_port and at != number) continue;
                if (write) self.out(at, byte.*, now_ns, effects) else byte.* = self.in(at, now_ns);
            },
        }
    }

    fn in(self: *Board, number: u16, now_ns: u64) u8 {
        return switch (number) {
            map.uart_port...map.uart_port + 7 => self.uart.read(@intCast(number - map.uart_port)),
            0x40...0x43 => self.pit.read(@intCast(number - 0x40), now_ns),
            0x61 => self.pit.readControl(now_ns),
            0x71 => self.cmos.read(now_ns),
            // Keyboard controller: input buffer empty, nothing to read.
            0x64 => 0x1c,
            else => 0xff,
        };
    }

    fn out(self: *Board, number: u16, value: u8, now_ns: u64, effects: *Effects) void {
        switch (number) {
            map.uart_port...map.uart_port + 7 => {
                const sent = self.uart.write(@intCast(number - map.uart_port), value);
                if (sent) |byte| effects.print(byte);
            },
            0x40...0x43 => self.pit.write(@intCast(number - 0x40), value, now_ns),
            0x61 => self.pit.writeControl(value, now_ns),
            0x70 => self.cmos.select(value),
            0x71 => self.cmos.write(value),
            // Pulse of the reset line, the oldest way to reboot a PC.
            0x64 => if (value == 0xfe) {
                effects.reset = true;
            },
            map.reset_port => if (value & 4 != 0) {
                effects.reset = true;
            },
            else => {},
        }
    }

    /// Bytes for the serial port; returns how many it took.
    pub fn input(self: *Board, bytes: []const u8, effects: *Effects) usize {
        var taken: usize = 0;
        while (taken < bytes.len and self.uart.push(bytes[taken])) taken += 1;
        self.io_apic.line(map.uart_irq, self.uart.line(), &effects.interrupts);
        return taken;
    }

    pub fn line(self: *Board, gsi: u8, level: bool, effects: *Effects) void {
        if (gsi < map.io_apic_pins) self.io_apic.line(gsi, level, &effects.interrupts);
    }

    pub fn eoi(self: *Board, vector: u8, effects: *Effects) void {
        self.io_apic.eoi(vector, &effects.interrupts);
    }
};

fn valueOf(data: []const u8) u64 {
    var bytes: [8]u8 = @splat(0);
    @memcpy(bytes[0..data.len], data);
    return std.mem.readInt(u64, &bytes, .little);
}

fn fill(data: []u8, value: u64) void {
    var bytes: [8]u8 = undefined;
    std.mem.writeInt(u64, &bytes, value, .little);
    @memcpy(data, bytes[0..data.len]);
}

const testing = std.testing;

test "ports reach their devices, nothing reads as all ones" {
    var board: Board = .init(0, 0);
    var effects: Effects = .{};
    var byte: [1]u8 = .{'h'};
    board.access(.port, map.uart_port, true, &byte, 0, &effects);
    try testing.expectEqualStrings("h", effects.console());
    board.access(.port, 0x2f8 + 5, false, &byte, 0, &effects);
    try testing.expectEqual(0xff, byte[0]);
    var word: [2]u8 = .{ 0, (5 << 2 | 0x20) };
    board.access(.port, map.pm1a_control, true, &word, 0, &effects);
    try testing.expect(effects.poweroff);
    byte = .{6};
    board.access(.port, map.reset_port, true, &byte, 0, &effects);
    try testing.expect(effects.reset);
    effects = .{};
    var address: [4]u8 = @splat(0xff);
    board.access(.port, 0xcf8, true, &address, 0, &effects);
    try testing.expect(!effects.reset);
}

test "a received byte raises the programmed interrupt" {
    var board: Board = .init(0, 0);
    board.io_apic.entries[map.uart_irq] = 0x34;
    board.uart.mcr = 8;
    board.uart.ier = 1;
    var effects: Effects = .{};
    try testing.expectEqual(16, board.input("0123456789abcdefgh", &effects));
    try testing.expectEqual(1, effects.requests().len);
    try testing.expectEqual(0x34, effects.requests()[0].vector);
}
