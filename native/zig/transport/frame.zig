//! Frames inside a datagram: a CBOR sequence (RFC 8742) of acknowledgements, messages, fragments
//! and pings. Reading is an iterator over the bytes as received; nothing is copied.

const std = @import("std");
const cbor = @import("../wire/cbor.zig");
const limits = @import("../limits.zig");
const ranges = @import("ranges.zig");
const assert = std.debug.assert;

const Kind = enum(u8) { ack = 0, message = 1, fragment = 2, ping = 3 };

pub const Ack = struct {
    delay_us: u32,
    count: usize,
    /// Newest first, never touching each other.
    items: [limits.ack_ranges]ranges.Range,

    pub fn slice(self: *const Ack) []const ranges.Range {
        return self.items[0..self.count];
    }
};

/// One message, or part `index` of `count` of one.
pub const Part = struct {
    number: u64,
    /// The message that must be delivered before this one; 0 = none.
    after: u64,
    total: u32,
    index: u8 = 0,
    count: u8 = 1,
    bytes: []const u8,
};

pub const Frame = union(enum) { ack: Ack, part: Part, ping };

/// Longest head of a part: array, kind, number, distance, total, index, count, length.
pub const part_overhead = 1 + 1 + 9 + 5 + 3 + 1 + 1 + 3;
pub const ack_bytes_max = 2 + 1 + 9 + 5 + 3 + limits.ack_ranges * 10;

pub fn writeAck(writer: *cbor.Writer, seen: *const ranges.Ranges, delay_us: u32) void {
    const items = seen.slice();
    assert(items.len > 0);
    writer.array(4);
    writer.uint(@intFromEnum(Kind.ack));
    writer.uint64(items[0].last);
    writer.uint(delay_us);
    // Length of the newest range, then gap and length of each older one (as RFC 9000 section 19.3).
    var count: usize = 1;
    while (count < items.len and fits(items[count - 1], items[count])) count += 1;
    writer.array(2 * count - 1);
    writer.uint(length(items[0]));
    for (items[1..count], items[0 .. count - 1]) |older, newer| {
        writer.uint(@intCast(newer.first - older.last - 2));
        writer.uint(length(older));
    }
}

/// A single range never reports more than this; older packets of it were reported long ago.
pub const range_length_max = 1 << 16;

fn length(range: ranges.Range) u32 {
    return @intCast(@min(range.last - range.first, range_length_max));
}

fn fits(newer: ranges.Range, older: ranges.Range) bool {
    // A clipped range would shift all that follow it.
    return newer.last - newer.first <= range_length_max and
        newer.first - older.last - 2 <= std.math.maxInt(u32);
}

pub fn writePart(writer: *cbor.Writer, part: *const Part) void {
    assert(part.after < part.number and part.count >= 1 and part.index < part.count);
    const distance: u32 = if (part.after == 0) 0 else @intCast(part.number - part.after);
    if (part.count == 1) {
        writer.array(4);
        writer.uint(@intFromEnum(Kind.message));
        writer.uint64(part.number);
        writer.uint(distance);
    } else {
        writer.array(7);
        writer.uint(@intFromEnum(Kind.fragment));
        writer.uint64(part.number);
        writer.uint(distance);
        writer.uint(part.total);
        writer.uint(part.index);
        writer.uint(part.count);
    }
    writer.bytes(part.bytes);
}

pub fn writePing(writer: *cbor.Writer) void {
    writer.array(1);
    writer.uint(@intFromEnum(Kind.ping));
}

/// The next frame, null at the end of the datagram.
pub fn next(reader: *cbor.Reader) cbor.Error!?Frame {
    if (reader.finished()) return null;
    const fields = try reader.array();
    const number = std.math.cast(u8, try reader.uint()) orelse return error.Malformed;
    const kind = std.enums.fromInt(Kind, number) orelse return error.Malformed;
    const wanted: u32 = switch (kind) {
        .ack, .message => 4,
        .fragment => 7,
        .ping => 1,
    };
    if (fields != wanted) return error.Malformed;
    return switch (kind) {
        .ack => .{ .ack = try readAck(reader) },
        .message, .fragment => .{ .part = try readPart(reader, kind) },
        .ping => .ping,
    };
}

fn readAck(reader: *cbor.Reader) cbor.Error!Ack {
    var ack: Ack = .{ .delay_us = 0, .count = 0, .items = undefined };
    var last = try reader.uint64();
    ack.delay_us = try reader.uint();
    const values = try reader.array();
    if (values % 2 == 0 or values / 2 + 1 > limits.ack_ranges) return error.Malformed;
    for (0..values / 2 + 1) |i| {
        if (i > 0) {
            const gap = @as(u64, try reader.uint()) + 2;
            const first = ack.items[i - 1].first;
            if (gap > first) return error.Malformed;
            last = first - gap;
        }
        const below = try reader.uint();
        if (below > last) return error.Malformed;
        ack.items[i] = .{ .first = last - below, .last = last };
        ack.count += 1;
    }
    return ack;
}

fn readPart(reader: *cbor.Reader, kind: Kind) cbor.Error!Part {
    const number = try reader.uint64();
    const distance = try reader.uint();
    if (number == 0 or distance >= number) return error.Malformed;
    var part: Part = .{
        .number = number,
        .after = if (distance == 0) 0 else number - distance,
        .total = 0,
        .bytes = &.{},
    };
    if (kind == .fragment) {
        part.total = try reader.uint();
        part.index = std.math.cast(u8, try reader.uint()) orelse return error.Malformed;
        part.count = std.math.cast(u8, try reader.uint()) orelse return error.Malformed;
        if (part.count < 2 or part.count > limits.fragments_max) return error.Malformed;
        if (part.index >= part.count) return error.Malformed;
    }
    part.bytes = try reader.bytes();
    if (kind == .message) part.total = @intCast(part.bytes.len);
    return part;
}

test "frames come back as they were" {
    var buffer: [512]u8 = undefined;
    var writer: cbor.Writer = .init(&buffer);
    var seen: ranges.Ranges = .{};
    for ([_]u64{ 1, 2, 3, 7, 9 }) |n| _ = seen.add(n);
    writeAck(&writer, &seen, 12);
    writePart(&writer, &.{ .number = 9, .after = 4, .total = 3, .bytes = "abc" });
    writePart(&writer, &.{
        .number = 10,
        .after = 0,
        .total = 8,
        .index = 1,
        .count = 2,
        .bytes = "efgh",
    });
    writePing(&writer);
    var reader: cbor.Reader = .init(writer.written());
    const ack = (try next(&reader)).?.ack;
    try std.testing.expectEqualSlices(ranges.Range, seen.slice(), ack.slice());
    const whole = (try next(&reader)).?.part;
    try std.testing.expectEqual(4, whole.after);
    try std.testing.expectEqualStrings("abc", whole.bytes);
    const fragment = (try next(&reader)).?.part;
    try std.testing.expectEqual(1, fragment.index);
    try std.testing.expectEqual(Frame.ping, (try next(&reader)).?);
    try std.testing.expectEqual(null, try next(&reader));
}
