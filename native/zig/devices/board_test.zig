//! The board as a guest's accesses see it: which port is whose, and which interrupt follows.

const std = @import("std");
const board_room = @import("board.zig");
const map = @import("map.zig");
const rig = @import("board_rig.zig");
const Board = board_room.Board;
const Effects = board_room.Effects;
const Sample = @import("pci/sample.zig").Sample;
const testing = std.testing;
const in = rig.in;
const out = rig.out;

var wire: [32]u8 = undefined;

test "ports reach their devices, nothing reads as all ones" {
    var board: Board = .init(0, 0, &wire);
    var effects: Effects = .{};
    var byte: [1]u8 = .{'h'};
    board.access(.port, map.uart_port, true, &byte, 0, &effects);
    try testing.expect(effects.printed);
    var out_bytes: [2]u8 = undefined;
    try testing.expectEqual(1, board.takeOutput(&out_bytes, 0, &effects));
    try testing.expectEqual('h', out_bytes[0]);
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
    var board: Board = .init(0, 0, &wire);
    board.io_apic.entries[map.uart_irq] = 0x34;
    board.uart.mcr = 8;
    board.uart.ier = 1;
    var effects: Effects = .{};
    try testing.expectEqual(16, board.input("0123456789abcdefgh", &effects));
    try testing.expectEqual(1, effects.requests().len);
    try testing.expectEqual(0x34, effects.requests()[0].vector);
}

test "the timer interrupts through its pin, and only while that is open" {
    var board: Board = .init(0, 0, &wire);
    var effects: Effects = .{};
    out(&board, 0x43, 0x34, 0, &effects);
    out(&board, 0x40, 0x9c, 0, &effects);
    out(&board, 0x40, 0x2e, 0, &effects);
    try testing.expect(!effects.rearm);
    try testing.expectEqual(null, board.deadline());
    // The kernel opens the pin long after: what the line did before is not told.
    openPin(&board, map.pit_gsi, 0x30, 1_000_000_000, &effects);
    try testing.expect(effects.rearm);
    try testing.expect(board.deadline().? > 1_000_000_000);
    effects = .{};
    board.tick(board.deadline().?, &effects);
    board.tick(board.deadline().?, &effects);
    try testing.expectEqual(2, effects.requests().len);
    try testing.expectEqual(0x30, effects.requests()[0].vector);
}

test "the clock interrupts through pin 8 once for each time that register C was read" {
    var board: Board = .init(0, 0, &wire);
    var effects: Effects = .{};
    openPin(&board, map.rtc_irq, 0x38, 0, &effects);
    try testing.expectEqual(null, board.deadline());
    // Every second: register B, with updates that interrupt.
    out(&board, 0x70, 0x0b, 0, &effects);
    out(&board, 0x71, 0x12, 0, &effects);
    try testing.expect(effects.rearm);
    for (1..4) |second| {
        effects = .{};
        const due_ns = board.deadline().?;
        try testing.expectEqual(second * std.time.ns_per_s, due_ns);
        board.tick(due_ns - 1, &effects);
        try testing.expectEqual(0, effects.requests().len);
        board.tick(due_ns, &effects);
        board.tick(due_ns + 1, &effects);
        try testing.expectEqual(1, effects.requests().len);
        try testing.expectEqual(0x38, effects.requests()[0].vector);
        try testing.expect(!effects.requests()[0].level);
        // Nobody is woken while the handler is not there.
        try testing.expectEqual(null, board.deadline());
        out(&board, 0x70, 0x0c, due_ns + 2, &effects);
        try testing.expectEqual(0x90, in(&board, 0x71, due_ns + 2, &effects) & 0xb0);
        try testing.expect(effects.rearm);
    }
}

test "the power button is an interrupt of level 9 until its status is cleared" {
    var board: Board = .init(0, 0, &wire);
    var effects: Effects = .{};
    openPin(&board, map.sci_irq, 0x8039, 0, &effects);
    var word: [2]u8 = .{ 0, 1 };
    board.access(.port, map.pm1a_event + 2, true, &word, 0, &effects);
    board.pressPower(&effects);
    try testing.expectEqual(1, effects.requests().len);
    try testing.expect(effects.requests()[0].level);
    word = .{ 0, 1 };
    board.access(.port, map.pm1a_event, true, &word, 0, &effects);
    board.eoi(0x39, &effects);
    try testing.expectEqual(1, effects.requests().len);
}

test "the 8259s, the cursor and the reset register read back" {
    var board: Board = .init(0, 0, &wire);
    var effects: Effects = .{};
    for ([_][2]u16{ .{ 0x21, 0xfb }, .{ 0xa1, 0xff }, .{ map.crtc_port, 14 } }) |pair| {
        out(&board, pair[0], @truncate(pair[1]), 0, &effects);
        var byte: [1]u8 = undefined;
        board.access(.port, pair[0], false, &byte, 0, &effects);
        try testing.expectEqual(pair[1], byte[0]);
    }
    out(&board, map.reset_port, 2, 0, &effects);
    try testing.expect(!effects.reset);
    out(&board, 0x92, 1, 0, &effects);
    try testing.expect(effects.reset);
}

test "the keyboard controller resets by its pulse and by its output port" {
    for ([_][]const [2]u16{
        &.{.{ 0x64, 0xfe }},
        &.{ .{ 0x64, 0xd1 }, .{ 0x60, 0xfe } },
    }) |writes| {
        var board: Board = .init(0, 0, &wire);
        var effects: Effects = .{};
        for (writes) |pair| {
            try testing.expect(!effects.reset);
            out(&board, pair[0], @truncate(pair[1]), 0, &effects);
        }
        try testing.expect(effects.reset);
    }
}

test "the interval timer's read-back and the clock's date come through their ports" {
    // 1998-03-09.
    var board: Board = .init(889_401_600, 0, &wire);
    var effects: Effects = .{};
    const program = [_][2]u16{ .{ 0x43, 0x34 }, .{ 0x40, 0x34 }, .{ 0x40, 0x12 } };
    for (program) |pair| out(&board, pair[0], @truncate(pair[1]), 0, &effects);
    // Status and count of channel 0; the command's port reads as nothing.
    out(&board, 0x43, 0xc2, 0, &effects);
    for ([_]u8{ 0xb4, 0x34, 0x12 }) |expected| {
        try testing.expectEqual(expected, in(&board, 0x40, 0, &effects));
    }
    try testing.expectEqual(0xff, in(&board, 0x43, 0, &effects));
    for ([_][2]u8{ .{ 0x07, 0x09 }, .{ 0x08, 0x03 }, .{ 0x09, 0x98 }, .{ 0x32, 0x19 } }) |pair| {
        out(&board, 0x70, pair[0], 0, &effects);
        try testing.expectEqual(pair[1], in(&board, 0x71, 0, &effects));
    }
}

test "PCI's address does not reset, its line is a level on the device's pin" {
    var board: Board = .init(0, 0, &wire);
    var device: Sample = .{};
    board.pci.attach(1, &device.function);
    var effects: Effects = .{};
    openPin(&board, map.pci_first_gsi + 1, 0xa051, 0, &effects);
    var word = std.mem.toBytes(@as(u32, 0x8000_0010 | 1 << 11));
    board.access(.port, map.pci_address_port, true, &word, 0, &effects);
    board.access(.port, map.pci_data_port, false, &word, 0, &effects);
    const register = std.mem.readInt(u32, &word, .little) + 4;
    try testing.expect(register >= map.pci_window_gpa);
    board.access(.mmio, map.ecam_gpa + (1 << 15), false, &word, 0, &effects);
    try testing.expectEqual(0x5678_1234, std.mem.readInt(u32, &word, .little));
    word = .{ 1, 0, 0, 0 };
    board.access(.mmio, register, true, &word, 0, &effects);
    try testing.expectEqual(1, effects.requests().len);
    try testing.expect(effects.requests()[0].level);
    board.eoi(0x51, &effects);
    try testing.expectEqual(2, effects.requests().len);
    word = .{ 0, 0, 0, 0 };
    board.access(.mmio, register, true, &word, 0, &effects);
    board.eoi(0x51, &effects);
    try testing.expectEqual(2, effects.requests().len);
    try testing.expect(!effects.reset);
}

fn openPin(board: *Board, pin: u32, entry: u32, now_ns: u64, effects: *Effects) void {
    for ([_][2]u32{ .{ 0, 0x10 + 2 * pin }, .{ 0x10, entry } }) |pair| {
        var word = std.mem.toBytes(pair[1]);
        board.access(.mmio, map.io_apic_gpa + pair[0], true, &word, now_ns, effects);
    }
}
