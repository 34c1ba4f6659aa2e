//! Any bytes as a message: refused, or exactly what encode would have written.

const std = @import("std");
const codec = @import("../wire/codec.zig");

pub fn run(_: std.mem.Allocator, input: []const u8) anyerror!void {
    const message = codec.decode(input) catch return;
    // An Ipi's targets and an access's data have no bound of their own in the profile; the
    // transport delivers nothing longer than this.
    if (input.len > codec.message_bytes_max) return;
    var buffer: [codec.message_bytes_max]u8 = undefined;
    try std.testing.expectEqualSlices(u8, input, codec.encode(&message, &buffer));
    // What traces print of it must not depend on what it says.
    var text: [1024]u8 = undefined;
    _ = try std.fmt.bufPrint(&text, "{f}", .{message});
    _ = message.classOf();
    _ = message.orderKey();
}
