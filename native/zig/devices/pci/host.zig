//! The root of PCI: the host bridge with bus 0 below it, reached by two ways, ports 0xCF8 and 0xCFC
//! (PCI Local Bus 3.0, 3.2.2.3.2) and the memory window of PCI Express' ECAM (5.0, 7.2.2). It is
//! the firmware too: whatever is attached has its addresses before the guest looks.

const std = @import("std");
const config = @import("config.zig");
const map = @import("../map.zig");
const function = @import("function.zig");
const Effects = function.Effects;
const Function = function.Function;
const assert = std.debug.assert;

pub const devices_max = 32;
const enable = 1 << 31;
/// What of the address register exists: enable, bus, device, function, register.
const address_bits = 0x80ff_fffc;

/// The bridge itself, 00:00.0. Its identity is that of other virtual machines' bridge: drivers of
/// real chipsets must not look for these here.
const bridge: function.Description = .{
    .vendor = 0x8086,
    .device = 0x0d57,
    .class = 0x06_00_00,
    .express = false,
};

pub const Host = struct {
    bridge: Function = .init(&bridge, &without_bars),
    /// By device number; the first place is the bridge's.
    attached: [devices_max]?*Function = @splat(null),
    /// Port 0xCF8.
    address: u32 = 0,
    /// Where the next BAR may lie.
    free_gpa: u64 = map.pci_window_gpa,

    /// Puts a device onto the bus before the guest starts: addresses for its BARs, largest first,
    /// decoding on, and the I/O APIC's pin where old kernels look for an interrupt.
    pub fn attach(self: *Host, number: u5, device: *Function) void {
        assert(number != 0 and self.attached[number] == null);
        self.attached[number] = device;
        device.number = number;
        var bytes: u64 = map.pci_window_bytes;
        while (bytes >= 16) : (bytes /= 2) for (device.bars, 0..) |bar, i| {
            if (bar.bytes != bytes) continue;
            const at = std.mem.alignForward(u64, self.free_gpa, @max(bytes, page));
            assert(at + bytes <= map.pci_window_gpa + map.pci_window_bytes);
            device.setBar(i, at);
            self.free_gpa = at + bytes;
        };
        device.space.set(u16, config.command, config.command_memory);
        if (device.space.values[config.interrupt_pin] != 0) {
            device.space.values[config.interrupt_line] = pinOf(number);
        }
    }

    /// Levels of the I/O APIC's pins from `map.pci_first_gsi` on, as bits.
    pub fn lines(self: *const Host) u8 {
        var levels: u8 = 0;
        for (self.attached, 0..) |attached, number| {
            const device = attached orelse continue;
            const pin = pinOf(@intCast(number)) - map.pci_first_gsi;
            if (device.line()) levels |= @as(u8, 1) << @intCast(pin);
        }
        return levels;
    }

    /// Ports 0xCF8 to 0xCFF. The address register takes only whole words: bytes in its place
    /// belong to other registers or to nobody.
    pub fn port(self: *Host, number: u16, write: bool, data: []u8, effects: *Effects) void {
        if (number >= map.pci_data_port) return self.window(number, write, data, effects);
        const whole = number == map.pci_address_port and data.len == 4;
        if (write) {
            if (whole) self.address = std.mem.readInt(u32, data[0..4], .little) & address_bits;
        } else if (whole) {
            std.mem.writeInt(u32, data[0..4], self.address, .little);
        } else @memset(data, 0xff);
    }

    fn window(self: *Host, number: u16, write: bool, data: []u8, effects: *Effects) void {
        const shift = number - map.pci_data_port;
        const on = self.address & enable != 0 and shift + data.len <= 4;
        const bus: u8 = @truncate(self.address >> 16);
        if (!on or bus != 0) return nothing(write, data);
        const register: u12 = @as(u8, @truncate(self.address));
        const place: u8 = @truncate(self.address >> 8);
        self.configure(place, register + @as(u12, @intCast(shift)), write, data, effects);
    }

    /// An access to configuration space by ECAM, from the window's start.
    pub fn ecam(self: *Host, offset: u64, write: bool, data: []u8, effects: *Effects) void {
        const register: u12 = @truncate(offset);
        // What crosses into another function reaches neither.
        if (register + data.len > config.extended_bytes or offset >= map.ecam_bytes)
            return nothing(write, data);
        self.configure(@intCast(offset >> 12), register, write, data, effects);
    }

    /// `place`: device number and, in the three low bits, function.
    fn configure(
        self: *Host,
        place: u8,
        register: u12,
        write: bool,
        data: []u8,
        effects: *Effects,
    ) void {
        const device = self.find(place) orelse return nothing(write, data);
        if (write) {
            device.writeConfig(register, data, effects);
        } else {
            device.readConfig(register, data, effects);
        }
    }

    fn find(self: *Host, place: u8) ?*Function {
        if (place & 7 != 0) return null;
        const number = place >> 3;
        return if (number == 0) &self.bridge else self.attached[number];
    }

    /// An access to the window of the BARs.
    pub fn memory(self: *Host, address: u64, write: bool, data: []u8, effects: *Effects) void {
        for (self.attached) |attached| {
            const device = attached orelse continue;
            for (&device.bars, 0..) |*bar, i| {
                const first = device.barAddress(i) orelse continue;
                if (address < first or address - first > bar.bytes - data.len) continue;
                return device.access(@intCast(i), address - first, write, data, effects);
            }
        }
        nothing(write, data);
    }
};

/// A BAR has whole pages to itself: it may be handed to a program.
const page = 4096;

/// INTA# of a device is wired to one of the pins behind those of ISA.
pub fn pinOf(number: u5) u8 {
    return map.pci_first_gsi + @as(u8, number) % map.pci_gsis;
}

/// Nobody takes it: PCI's master abort.
fn nothing(write: bool, data: []u8) void {
    if (!write) @memset(data, 0xff);
}

const without_bars: function.Operations = .{
    .read = noRead,
    .write = noWrite,
    .reset = noReset,
};

fn noRead(_: *Function, _: u3, _: u64, _: []u8, _: *Effects) void {
    unreachable;
}

fn noWrite(_: *Function, _: u3, _: u64, _: []const u8, _: *Effects) void {
    unreachable;
}

fn noReset(_: *Function, _: *Effects) void {
    unreachable;
}
