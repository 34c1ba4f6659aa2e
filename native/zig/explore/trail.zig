//! A path through a world, shown and replayed: the events as hexadecimal numbers in a row, the same
//! again as one line each with what they did.

const std = @import("std");
const Code = @import("graph.zig").Code;

/// Repeats the events on a fresh world, one line each; the failure at the end, if there is one.
pub fn replay(world: anytype, codes: []const Code) @TypeOf(world.*).Failure!void {
    world.trace = true;
    defer world.trace = false;
    for (codes, 1..) |code, step| {
        world.show(step, code);
        if (!try world.apply(code)) std.debug.print("     (no event in this state)\n", .{});
    }
    _ = try world.atRest();
}

pub fn print(codes: []const Code) void {
    for (codes, 0..) |code, i| std.debug.print("{s}{x}", .{ if (i > 0) "," else "", code });
    std.debug.print("\n", .{});
}

/// The events of a row written by print.
pub fn parse(allocator: std.mem.Allocator, text: []const u8) ![]Code {
    var codes: std.ArrayList(Code) = .empty;
    errdefer codes.deinit(allocator);
    var words = std.mem.splitScalar(u8, text, ',');
    while (words.next()) |word| {
        try codes.append(allocator, try std.fmt.parseInt(Code, word, 16));
    }
    return codes.toOwnedSlice(allocator);
}

test "a row of events is read" {
    const codes = try parse(std.testing.allocator, "1,ff,8000");
    defer std.testing.allocator.free(codes);
    try std.testing.expectEqualSlices(Code, &.{ 1, 0xff, 0x8000 }, codes);
    try std.testing.expectError(error.InvalidCharacter, parse(std.testing.allocator, "1,x"));
}
