//! PCI as a guest meets it: who is on the bus, where their memory is, how they interrupt.

const std = @import("std");
const map = @import("../map.zig");
const Effects = @import("function.zig").Effects;
const Host = @import("host.zig").Host;
const sample = @import("sample.zig");
const Sample = sample.Sample;
const testing = std.testing;

const number = 3;
const none = 0xffff_ffff;

/// A host with the sample on it, and what its accesses asked for.
const Rig = struct {
    host: Host = .{},
    device: Sample = .{},
    effects: Effects = .{},

    fn attach(self: *Rig) void {
        self.host.attach(number, &self.device.function);
    }

    fn in(self: *Rig, comptime T: type, port: u16) T {
        var data: [@sizeOf(T)]u8 = undefined;
        self.host.port(port, false, &data, &self.effects);
        return std.mem.readInt(T, &data, .little);
    }

    fn out(self: *Rig, comptime T: type, port: u16, value: T) void {
        var data = std.mem.toBytes(value);
        self.host.port(port, true, &data, &self.effects);
    }

    fn config(self: *Rig, comptime T: type, device: u64, offset: u64) T {
        var data: [@sizeOf(T)]u8 = undefined;
        self.host.ecam(device << 15 | offset, false, &data, &self.effects);
        return std.mem.readInt(T, &data, .little);
    }

    fn setConfig(self: *Rig, comptime T: type, offset: u64, value: T) void {
        var data = std.mem.toBytes(value);
        self.host.ecam(number << 15 | offset, true, &data, &self.effects);
    }

    fn load(self: *Rig, address: u64) u32 {
        var data: [4]u8 = undefined;
        self.host.memory(address, false, &data, &self.effects);
        return std.mem.readInt(u32, &data, .little);
    }

    fn store(self: *Rig, address: u64, value: u32) void {
        var data = std.mem.toBytes(value);
        self.host.memory(address, true, &data, &self.effects);
    }

    /// Offset of the capability with this id; the test fails where there is none.
    fn capability(self: *Rig, id: u8) !u64 {
        var at: u64 = self.config(u8, number, 0x34);
        while (at != 0) : (at = self.config(u8, number, at + 1)) {
            if (self.config(u8, number, at) == id) return at;
        }
        return error.NoCapability;
    }
};

test "the bridge answers by ports and by ECAM, absent functions read as ones" {
    var rig: Rig = .{};
    rig.out(u32, 0xcf8, 0x8000_0000);
    try testing.expectEqual(0x0d57_8086, rig.in(u32, 0xcfc));
    try testing.expectEqual(0x0d57, rig.in(u16, 0xcfe));
    rig.out(u32, 0xcf8, 0x8000_0008);
    try testing.expectEqual(0x06, rig.in(u8, 0xcff));
    try testing.expectEqual(0x0600, rig.config(u16, 0, 0x0a));
    try testing.expectEqual(0x0d57_8086, rig.config(u32, 0, 0));
    try testing.expectEqual(0, rig.config(u32, 0, 0x100));
    // No other device, no other function, no other bus, and nothing while the address is off.
    for ([_]u32{ 0x8000_0800, 0x8000_0100, 0x8001_0000, 0 }) |address| {
        rig.out(u32, 0xcf8, address);
        try testing.expectEqual(none, rig.in(u32, 0xcfc));
    }
    for ([_]u64{ 1 << 15, 1 << 12, 31 << 15 }) |offset| {
        try testing.expectEqual(none, rig.config(u32, 0, offset));
    }
    try testing.expectEqual(none, rig.config(u32, 0, 0xffe));
}

test "the address register takes whole words and keeps what exists of them" {
    var rig: Rig = .{};
    rig.out(u32, 0xcf8, none);
    try testing.expectEqual(0x80ff_fffc, rig.in(u32, 0xcf8));
    rig.out(u32, 0xcf8, 0x8000_0000);
    rig.out(u8, 0xcfb, 1);
    rig.out(u16, 0xcf8, 0x1234);
    try testing.expectEqual(0x8000_0000, rig.in(u32, 0xcf8));
    try testing.expectEqual(0xff, rig.in(u8, 0xcfb));
    // Beyond the data register is nobody's.
    try testing.expectEqual(none, rig.in(u32, 0xcfe));
}

test "an attached device has addresses, tells its sizes, and can be moved" {
    var rig: Rig = .{};
    rig.attach();
    try testing.expectEqual(0x5678_1234, rig.config(u32, number, 0));
    const wide = map.pci_window_gpa;
    try testing.expectEqual(wide | 0xc, rig.config(u32, number, 0x18));
    const narrow = rig.config(u32, number, 0x10);
    try testing.expectEqual(wide + 0x4000, narrow);
    rig.store(narrow, 0x1122_3344);
    try testing.expectEqual(0x1122_3344, rig.load(narrow));
    try testing.expectEqual(1 << number, rig.effects.wakes);
    for ([_][2]u32{ .{ 0x10, 0xffff_f000 }, .{ 0x14, 0 }, .{ 0x18, 0xffff_c00c } }) |pair| {
        rig.setConfig(u32, pair[0], none);
        try testing.expectEqual(pair[1], rig.config(u32, number, pair[0]));
    }
    rig.setConfig(u32, 0x10, narrow + 0x10_0000);
    try testing.expectEqual(none, rig.load(narrow));
    try testing.expectEqual(0x1122_3344, rig.load(narrow + 0x10_0000));
    rig.setConfig(u16, 4, 0);
    try testing.expectEqual(none, rig.load(narrow + 0x10_0000));
}

test "an access across the end of a range is nobody's" {
    var rig: Rig = .{};
    rig.attach();
    const narrow = rig.config(u32, number, 0x10);
    try testing.expectEqual(0, rig.load(narrow + 0xffc));
    try testing.expectEqual(none, rig.load(narrow + 0xffd));
    try testing.expectEqual(none, rig.load(map.pci_window_gpa + map.pci_window_bytes - 4));
}

/// Vector 1 goes to APIC 2 as 0x41, and MSI-X is on; returns where its control word is.
fn programMessages(rig: *Rig) !u64 {
    const table = map.pci_window_gpa;
    for ([_]u32{ 0xfee0_2000, 0, 0x41, 0 }, 0..) |word, i| rig.store(table + 16 + 4 * i, word);
    const control = try rig.capability(0x11) + 2;
    rig.setConfig(u16, control, 0x8000);
    rig.setConfig(u16, 4, 6);
    return control;
}

test "MSI-X sends to the programmed processor, and keeps what is masked as a whole" {
    var rig: Rig = .{};
    rig.attach();
    const f = &rig.device.function;
    f.raise(1, &rig.effects);
    const control = try programMessages(&rig);
    try testing.expectEqual(0x8003, rig.config(u16, number, control));
    try testing.expectEqual(0, rig.effects.count);
    f.raise(1, &rig.effects);
    try testing.expectEqual(1, rig.effects.count);
    const sent = rig.effects.requests()[0];
    try testing.expectEqual(0x41, sent.vector);
    try testing.expectEqual(2, sent.destination);
    rig.effects = .{};
    rig.setConfig(u16, control, 0xc000);
    f.raise(1, &rig.effects);
    try testing.expectEqual(0, rig.effects.count);
    try testing.expectEqual(2, rig.load(map.pci_window_gpa + 0x800));
    rig.setConfig(u16, control, 0x8000);
    try testing.expectEqual(1, rig.effects.count);
    try testing.expectEqual(0, rig.load(map.pci_window_gpa + 0x800));
}

test "no message leaves a function that is no bus master, and none is lost" {
    var rig: Rig = .{};
    rig.attach();
    _ = try programMessages(&rig);
    rig.setConfig(u16, 4, 2);
    rig.device.function.raise(1, &rig.effects);
    try testing.expectEqual(0, rig.effects.count);
    rig.setConfig(u16, 4, 6);
    try testing.expectEqual(1, rig.effects.count);
}

test "INTA# shows in the status and on its pin until it is disabled or MSI-X is on" {
    var rig: Rig = .{};
    rig.attach();
    try testing.expectEqual(0x0113, rig.config(u16, number, 0x3c));
    const narrow = rig.config(u32, number, 0x10);
    rig.store(narrow + 4, 1);
    try testing.expectEqual(1 << number, rig.host.lines());
    try testing.expectEqual(8, rig.config(u16, number, 6) & 8);
    rig.setConfig(u16, 4, 0x402);
    try testing.expectEqual(0, rig.host.lines());
    rig.setConfig(u16, 4, 2);
    try testing.expectEqual(1 << number, rig.host.lines());
    rig.setConfig(u16, try rig.capability(0x11) + 2, 0x8000);
    try testing.expectEqual(0, rig.host.lines());
    rig.setConfig(u16, try rig.capability(0x11) + 2, 0);
    rig.store(narrow + 4, 0);
    try testing.expectEqual(0, rig.host.lines());
}

test "a function level reset leaves nothing of what the guest has set" {
    var rig: Rig = .{};
    rig.attach();
    const control = try programMessages(&rig);
    const narrow = rig.config(u32, number, 0x10);
    rig.store(narrow, 7);
    rig.store(narrow + 4, 1);
    const express = try rig.capability(0x10);
    try testing.expectEqual(0x0092, rig.config(u16, number, express + 2));
    rig.setConfig(u16, express + 8, 0x8010);
    try testing.expectEqual(1, rig.device.resets);
    try testing.expectEqual(0, rig.config(u16, number, express + 8));
    try testing.expectEqual(0, rig.config(u16, number, 4));
    try testing.expectEqual(0, rig.config(u32, number, 0x10));
    try testing.expectEqual(3, rig.config(u16, number, control));
    try testing.expectEqual(0, rig.host.lines());
    rig.setConfig(u32, 0x10, narrow);
    rig.setConfig(u32, 0x18, map.pci_window_gpa);
    rig.setConfig(u16, 4, 2);
    try testing.expectEqual(0, rig.load(narrow));
    try testing.expectEqual(1, rig.load(map.pci_window_gpa + 16 + 12));
    rig.setConfig(u16, express + 8, 0x0010);
    try testing.expectEqual(0x0010, rig.config(u16, number, express + 8));
    try testing.expectEqual(1, rig.device.resets);
}

test "the device's own capability shows what the device says" {
    var rig: Rig = .{};
    rig.attach();
    const own = try rig.capability(9);
    rig.device.register = 0x0102_0304;
    try testing.expectEqual(0x0102_0304, rig.config(u32, number, own + sample.shown_at));
    rig.setConfig(u32, own + sample.shown_at, 0x5060_7080);
    try testing.expectEqual(0x5060_7080, rig.device.register);
    rig.setConfig(u16, own + 2, none & 0xffff);
    try testing.expectEqual(8, rig.config(u16, number, own + 2));
}
