//! The vectors of vectors.json, which src/protocol/vectors.test.ts reads too: what one language
//! writes the other accepts, byte for byte, and both refuse the same malformed input.

const std = @import("std");
const codec = @import("codec.zig");
const testing = std.testing;

const Vector = struct { name: []const u8, hex: []const u8 };
const Vectors = struct { data: []const Vector, control: []const Vector, malformed: []const Vector };

fn bytesOf(vector: Vector, buffer: []u8) ![]u8 {
    return std.fmt.hexToBytes(buffer, vector.hex);
}

test "every data-plane vector decodes and comes back as it was" {
    const parsed = try std.json.parseFromSlice(
        Vectors,
        testing.allocator,
        @embedFile("vectors.json"),
        .{},
    );
    defer parsed.deinit();
    try testing.expect(parsed.value.data.len >= 16);
    var input: [8192]u8 = undefined;
    var output: [8192]u8 = undefined;
    for (parsed.value.data) |vector| {
        const bytes = try bytesOf(vector, &input);
        const message = codec.decode(bytes) catch |err| {
            std.debug.print("vector {s}: {t}\n", .{ vector.name, err });
            return err;
        };
        try testing.expectEqualSlices(u8, bytes, codec.encode(&message, &output));
    }
    for (parsed.value.malformed) |vector| {
        const bytes = try bytesOf(vector, &input);
        if (codec.decode(bytes)) |_| {
            std.debug.print("vector {s} was accepted\n", .{vector.name});
            return error.Accepted;
        } else |_| {}
    }
    // The control plane's messages are not for this side.
    for (parsed.value.control) |vector| {
        try testing.expectError(error.Malformed, codec.decode(try bytesOf(vector, &input)));
    }
}
