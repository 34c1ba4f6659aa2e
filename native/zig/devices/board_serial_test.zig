//! The serial port on its board: output that has no room, and the interrupts that follow.

const std = @import("std");
const board_room = @import("board.zig");
const map = @import("map.zig");
const pace = @import("pace.zig");
const rig = @import("board_rig.zig");
const Board = board_room.Board;
const Effects = board_room.Effects;
const testing = std.testing;
const in = rig.in;
const out = rig.out;

var wire: [32]u8 = undefined;

test "both printers wait for room, and go on when output was taken" {
    var board: Board = .init(0, 0, &wire);
    board.io_apic.entries[map.uart_irq] = 0x34;
    var effects: Effects = .{};
    out(&board, map.uart_port + 4, 8, 0, &effects);
    out(&board, map.uart_port + 1, 2, 0, &effects);
    const idle = 0x60;
    var printed: u8 = 0;
    while (in(&board, map.uart_port + 5, 0, &effects) & idle == idle) : (printed += 1) {
        effects = .{};
        try testing.expect(mayPrint(&board, &effects));
        out(&board, map.uart_port, printed, 0, &effects);
    }
    try testing.expect(!mayPrint(&board, &effects));
    try testing.expectEqual(1, in(&board, map.uart_port + 2, 0, &effects) & 0xf);
    effects = .{};
    var taken: [wire.len]u8 = undefined;
    try testing.expectEqual(printed, board.takeOutput(&taken, 0, &effects));
    for (taken[0..printed], 0..) |byte, i| try testing.expectEqual(i, byte);
    try testing.expectEqual(1, effects.requests().len);
    try testing.expectEqual(idle, in(&board, map.uart_port + 5, 0, &effects) & idle);
    try testing.expect(mayPrint(&board, &effects));
    // Who does not listen loses what has no room at all.
    var lost: usize = 0;
    for (0..wire.len + 3) |i| {
        effects = .{};
        out(&board, map.uart_port, @truncate(i), 0, &effects);
        lost += effects.lost;
    }
    try testing.expectEqual(3, lost);
    try testing.expectEqual(wire.len, board.takeOutput(&taken, 0, &effects));
    try testing.expectEqual(wire.len - 1, taken[wire.len - 1]);
}

test "who prints by interrupts pauses, and the ticker is told of it once" {
    var board: Board = .init(0, 0, &wire);
    board.io_apic.entries[map.uart_irq] = 0x34;
    var effects: Effects = .{};
    out(&board, map.uart_port + 2, 1, 0, &effects);
    out(&board, map.uart_port + 4, 8, 0, &effects);
    out(&board, map.uart_port + 1, 2, 0, &effects);
    try testing.expectEqual(2, in(&board, map.uart_port + 2, 0, &effects) & 0xf);
    effects = .{};
    const pause_ns = pace.pause_ns;
    const from_ns = 9 * pause_ns;
    for (0..3) |i| out(&board, map.uart_port, 'a', from_ns + i * (pause_ns - 1), &effects);
    try testing.expect(!effects.rearm);
    out(&board, map.uart_port, 'b', from_ns + 2 * pause_ns, &effects);
    try testing.expect(effects.rearm);
    effects = .{};
    out(&board, map.uart_port, 'c', from_ns + 2 * pause_ns + 9, &effects);
    try testing.expect(!effects.rearm);
    const due_ns = board.deadline().?;
    // Half as long as since the interrupt, which came at 0.
    try testing.expectEqual((from_ns + 2 * pause_ns + 9) / 2 * 3 + 1, due_ns);
    board.tick(due_ns - 1, &effects);
    try testing.expectEqual(0, effects.requests().len);
    board.tick(due_ns, &effects);
    try testing.expectEqual(1, effects.requests().len);
    try testing.expectEqual(null, board.deadline());
}

test "a byte that is written without a look at why is followed by an interrupt, too" {
    var board: Board = .init(0, 0, &wire);
    board.io_apic.entries[map.uart_irq] = 0x34;
    var effects: Effects = .{};
    out(&board, map.uart_port + 1, 2, 0, &effects);
    for (0..3) |_| {
        try testing.expectEqual(1, effects.requests().len);
        effects = .{};
        out(&board, map.uart_port, 'x', 0, &effects);
    }
}

test "without FIFOs each received byte is an interrupt, with them all that are there are one" {
    for ([_]u8{ 0, 1 }, [_]usize{ 1, 0 }) |fifos, next| {
        var board: Board = .init(0, 0, &wire);
        board.io_apic.entries[map.uart_irq] = 0x34;
        var effects: Effects = .{};
        out(&board, map.uart_port + 2, fifos, 0, &effects);
        out(&board, map.uart_port + 1, 1, 0, &effects);
        try testing.expectEqual(3, board.input("abc", &effects));
        try testing.expectEqual(1, effects.requests().len);
        for ("abc", [_]usize{ next, next, 0 }) |byte, interrupts| {
            effects = .{};
            try testing.expectEqual(byte, in(&board, map.uart_port, 0, &effects));
            try testing.expectEqual(interrupts, effects.requests().len);
        }
    }
}

test "the ticker is told of an interrupt that waits for a rest, whoever makes it due" {
    for (0..2) |slow_reader| {
        var board: Board = .init(0, 0, &wire);
        var effects: Effects = .{};
        var now_ns: u64 = pace.work_ns;
        out(&board, map.uart_port + 2, 1, now_ns, &effects);
        out(&board, map.uart_port + 4, 8, now_ns, &effects);
        // One handler that works for as long as many.
        out(&board, map.uart_port + 1, 2, now_ns, &effects);
        now_ns += pace.work_ns;
        try testing.expectEqual(2, in(&board, map.uart_port + 2, now_ns, &effects) & 0xf);
        out(&board, map.uart_port, 'a', now_ns, &effects);
        out(&board, map.uart_port + 1, 0, now_ns, &effects);
        try testing.expectEqual(1, in(&board, map.uart_port + 2, now_ns, &effects) & 0xf);
        effects = .{};
        if (slow_reader == 1) {
            while (board.uart.empty) out(&board, map.uart_port, 'b', now_ns, &effects);
            out(&board, map.uart_port + 1, 2, now_ns, &effects);
            try testing.expect(!effects.rearm);
            var taken: [wire.len]u8 = undefined;
            _ = board.takeOutput(&taken, now_ns, &effects);
        } else out(&board, map.uart_port + 1, 2, now_ns, &effects);
        try testing.expect(effects.rearm);
        try testing.expectEqual(now_ns + pace.rest_ns, board.deadline().?);
    }
}

fn mayPrint(board: *Board, effects: *Effects) bool {
    var byte: [1]u8 = undefined;
    board.access(.mmio, map.probe_gpa + 0x80, false, &byte, 0, effects);
    return byte[0] == 1;
}
