//! The fast devices of the device node behind one door. Pure: the caller holds the board's lock,
//! passes the time, and carries out the effects afterwards.

const std = @import("std");
const map = @import("map.zig");
const m = @import("../wire/message.zig");
const probe_room = @import("probe.zig");
const AcpiPm = @import("acpi_pm.zig").AcpiPm;
const Cmos = @import("cmos.zig").Cmos;
const Crtc = @import("crtc.zig").Crtc;
const Host = @import("pci/host.zig").Host;
const IoApic = @import("../apic/ioapic.zig").IoApic;
const Output = @import("output.zig").Output;
const Pic = @import("pic.zig").Pic;
const PciEffects = @import("pci/function.zig").Effects;
const Pit = @import("pit.zig").Pit;
const Probe = probe_room.Probe;
const Request = @import("../apic/destination.zig").Request;
const Resets = @import("resets.zig").Resets;
const Uart = @import("uart.zig").Uart;
const assert = std.debug.assert;

/// What an access asks of the world.
pub const Effects = struct {
    interrupts: IoApic.Requests = .{},
    pci: PciEffects = .{},
    /// There is output where there was none.
    printed: bool = false,
    /// Bytes of output that found no room.
    lost: usize = 0,
    poweroff: bool = false,
    reset: bool = false,
    exit_code: ?u32 = null,
    /// The board's deadline is earlier now.
    rearm: bool = false,

    pub fn requests(self: *const Effects) []const Request {
        return self.interrupts.slice();
    }
};

pub const Board = struct {
    output: Output,
    uart: Uart = .{},
    pit: Pit = .{},
    pic: Pic = .{},
    crtc: Crtc = .{},
    resets: Resets = .{},
    cmos: Cmos,
    pm: AcpiPm = .{},
    probe: Probe = .{},
    io_apic: IoApic = .{},
    pci: Host = .{},

    /// `output` holds what the guest prints until it is taken.
    pub fn init(unix_seconds: u64, now_ns: u64, output: []u8) Board {
        return .{
            .output = .{ .bytes = output },
            .cmos = .init(unix_seconds, now_ns),
            .pm = .{ .start_ns = now_ns },
        };
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
        const before = self.deadline();
        const unseen = self.pitDeadline() == null;
        self.uart.tick(now_ns);
        switch (space) {
            .mmio => self.memory(address, write, data, effects),
            .port => self.port(@truncate(address), write, data, now_ns, effects),
        }
        // Rises from when nobody could see them are not made up for.
        if (unseen and self.pitDeadline() != null) _ = self.pit.tick(now_ns);
        self.io_apic.line(map.uart_irq, self.uart.line(), &effects.interrupts);
        self.uart.settle(self.output.ready(), now_ns);
        self.rearmAfter(before, effects);
        self.updateLines(effects);
    }

    /// A ticker that sleeps until an earlier time wakes in vain once; to poke it at each byte that
    /// is printed would cost more.
    fn rearmAfter(self: *const Board, before: ?u64, effects: *Effects) void {
        const never = std.math.maxInt(u64);
        if ((self.deadline() orelse never) < (before orelse never)) effects.rearm = true;
    }

    /// After whatever may have changed a device's line, an access included.
    pub fn updateLines(self: *Board, effects: *Effects) void {
        self.io_apic.line(map.uart_irq, self.uart.line(), &effects.interrupts);
        self.io_apic.line(map.rtc_irq, self.cmos.line(), &effects.interrupts);
        self.io_apic.line(map.sci_irq, self.pm.line(), &effects.interrupts);
        const levels = self.pci.lines();
        for (0..map.pci_gsis) |i| {
            const level = levels >> @intCast(i) & 1 != 0;
            self.io_apic.line(@intCast(map.pci_first_gsi + i), level, &effects.interrupts);
        }
    }

    /// What has come due: interrupts of the serial port, the clock and the interval timer.
    pub fn tick(self: *Board, now_ns: u64, effects: *Effects) void {
        self.uart.tick(now_ns);
        self.cmos.tick(now_ns);
        self.updateLines(effects);
        if (!self.pit.tick(now_ns)) return;
        self.io_apic.line(map.pit_gsi, true, &effects.interrupts);
        self.io_apic.line(map.pit_gsi, false, &effects.interrupts);
    }

    /// When tick has to be called next.
    pub fn deadline(self: *const Board) ?u64 {
        var first_ns: ?u64 = null;
        for ([_]?u64{ self.uart.deadline(), self.cmos.deadline(), self.pitDeadline() }) |due| {
            const due_ns = due orelse continue;
            first_ns = @min(first_ns orelse due_ns, due_ns);
        }
        return first_ns;
    }

    /// Never while the timer's pin is masked: Linux leaves the timer running when it has found a
    /// better one.
    fn pitDeadline(self: *const Board) ?u64 {
        return if (self.io_apic.isMasked(map.pit_gsi)) null else self.pit.deadline();
    }

    /// The user presses the power button: the guest hears of it and may shut down.
    pub fn pressPower(self: *Board, effects: *Effects) void {
        self.pm.pressPower();
        self.updateLines(effects);
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
        if (address >= map.ecam_gpa and address < map.ecam_gpa + map.ecam_bytes) {
            return self.pci.ecam(address - map.ecam_gpa, write, data, &effects.pci);
        }
        self.pci.memory(address, write, data, &effects.pci);
    }

    fn probeAccess(self: *Board, offset: u64, write: bool, data: []u8, effects: *Effects) void {
        if (!write) {
            const may_print = offset == probe_room.print_offset;
            const value = if (may_print) @intFromBool(self.output.ready()) else null;
            return fill(data, value orelse self.probe.read(offset));
        }
        const outcome = self.probe.write(offset, valueOf(data), data.len);
        if (outcome.byte) |byte| self.print(byte, effects);
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
            map.pci_address_port,
            map.reset_port + 1...map.pci_data_port + 3,
            => self.pci.port(number, write, data, &effects.pci),
            else => for (data, 0..) |*byte, i| {
                const at = number +% @as(u16, @intCast(i));
                // Within PCI's configuration address: it answers only to an access of its own.
                if (write and at == map.reset_port and at != number) continue;
                if (write) {
                    self.outByte(at, byte.*, now_ns, effects);
                } else {
                    byte.* = self.inByte(at, now_ns);
                }
            },
        }
    }

    fn inByte(self: *Board, number: u16, now_ns: u64) u8 {
        return switch (number) {
            map.uart_port...map.uart_port + 7 => {
                return self.uart.read(@intCast(number - map.uart_port), now_ns);
            },
            0x40...0x43 => self.pit.read(@intCast(number - 0x40), now_ns),
            0x61 => self.pit.readControl(now_ns),
            0x71 => self.cmos.read(now_ns),
            0x20, 0x21 => self.pic.read(0, @truncate(number)),
            0xa0, 0xa1 => self.pic.read(1, @truncate(number)),
            0x4d0, 0x4d1 => self.pic.trigger[number & 1],
            0x60, 0x64 => self.resets.readKeyboard(number),
            0x92 => self.resets.system,
            map.reset_port => self.resets.control,
            map.crtc_port, map.crtc_port + 1 => self.crtc.read(@truncate(number)),
            else => 0xff,
        };
    }

    fn outByte(self: *Board, number: u16, value: u8, now_ns: u64, effects: *Effects) void {
        switch (number) {
            map.uart_port...map.uart_port + 7 => {
                const sent = self.uart.write(@intCast(number - map.uart_port), value, now_ns);
                if (sent) |byte| self.print(byte, effects);
            },
            0x40...0x43 => self.pit.write(@intCast(number - 0x40), value, now_ns),
            0x61 => self.pit.writeControl(value, now_ns),
            0x70 => self.cmos.select(value),
            0x71 => self.cmos.write(value, now_ns),
            0x20, 0x21 => self.pic.write(0, @truncate(number), value),
            0xa0, 0xa1 => self.pic.write(1, @truncate(number), value),
            0x4d0, 0x4d1 => self.pic.writeTrigger(@truncate(number), value),
            map.crtc_port, map.crtc_port + 1 => self.crtc.write(@truncate(number), value),
            0x60, 0x64 => if (self.resets.writeKeyboard(number, value)) {
                effects.reset = true;
            },
            0x92 => if (self.resets.writeSystem(value)) {
                effects.reset = true;
            },
            map.reset_port => if (self.resets.writeControl(value)) {
                effects.reset = true;
            },
            else => {},
        }
    }

    fn print(self: *Board, byte: u8, effects: *Effects) void {
        if (self.output.length == 0) effects.printed = true;
        if (!self.output.push(byte)) effects.lost += 1;
    }

    /// Takes what was printed, oldest first; a serial port that was told to wait goes on.
    pub fn takeOutput(self: *Board, out: []u8, now_ns: u64, effects: *Effects) usize {
        const count = self.output.take(out);
        const before = self.deadline();
        self.uart.settle(self.output.ready(), now_ns);
        self.rearmAfter(before, effects);
        self.io_apic.line(map.uart_irq, self.uart.line(), &effects.interrupts);
        return count;
    }

    /// Bytes for the serial port; returns how many it took.
    pub fn input(self: *Board, bytes: []const u8, effects: *Effects) usize {
        var taken: usize = 0;
        while (taken < bytes.len and self.uart.push(bytes[taken])) taken += 1;
        self.io_apic.line(map.uart_irq, self.uart.line(), &effects.interrupts);
        return taken;
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
