//! Any bytes as a datagram: head and frames are refused, or exactly what would be written again.

const std = @import("std");
const cbor = @import("../wire/cbor.zig");
const frame = @import("../transport/frame.zig");
const header = @import("../transport/header.zig");
const limits = @import("../limits.zig");
const Ranges = @import("../transport/ranges.zig").Ranges;

const expect = std.testing.expect;

pub fn run(allocator: std.mem.Allocator, input: []const u8) anyerror!void {
    const head = header.Header.read(input) catch return;
    var raw: [header.bytes]u8 = undefined;
    head.write(&raw);
    try std.testing.expectEqualSlices(u8, input[0..header.bytes], &raw);
    const buffer = try allocator.alloc(u8, input.len + frame.ack_bytes_max + 64);
    defer allocator.free(buffer);
    var reader: cbor.Reader = .init(input[header.bytes..]);
    var frames: usize = 0;
    while (true) : (frames += 1) {
        const start = reader.at;
        const item = (frame.next(&reader) catch return) orelse break;
        const taken = reader.input[start..reader.at];
        try expect(taken.len > 0);
        var writer: cbor.Writer = .init(buffer);
        switch (item) {
            .ping => frame.writePing(&writer),
            .part => |*part| {
                try expect(part.after < part.number and part.index < part.count);
                frame.writePart(&writer, part);
            },
            .ack => |*ack| try writeAgain(&writer, ack) orelse continue,
        }
        try std.testing.expectEqualSlices(u8, taken, writer.written());
    }
    try expect(frames <= input.len);
}

/// Null for ranges longer than any sender reports at once.
fn writeAgain(writer: *cbor.Writer, ack: *const frame.Ack) !?void {
    var seen: Ranges = .{};
    for (ack.slice(), 0..) |range, i| {
        try expect(range.first <= range.last);
        if (i > 0) try expect(range.last + 1 < ack.items[i - 1].first);
        if (range.last - range.first > frame.range_length_max) return null;
        seen.items[i] = range;
        seen.length += 1;
    }
    try expect(seen.length <= limits.ack_ranges);
    frame.writeAck(writer, &seen, ack.delay_us);
}
