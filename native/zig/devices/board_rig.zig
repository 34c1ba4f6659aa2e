//! A board's ports, byte by byte, for tests.

const board_room = @import("board.zig");
const Board = board_room.Board;
const Effects = board_room.Effects;

pub fn out(board: *Board, port: u16, value: u8, now_ns: u64, effects: *Effects) void {
    var byte: [1]u8 = .{value};
    board.access(.port, port, true, &byte, now_ns, effects);
}

pub fn in(board: *Board, port: u16, now_ns: u64, effects: *Effects) u8 {
    var byte: [1]u8 = undefined;
    board.access(.port, port, false, &byte, now_ns, effects);
    return byte[0];
}
