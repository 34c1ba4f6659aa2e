//! The strict CBOR subset of the wire (RFC 8949; src/protocol/cbor.ts is its twin): definite
//! arrays, unsigned integers, byte and text strings, booleans. u32 and smaller in the shortest
//! form, u64 always in 9 bytes. Nothing allocates: strings of a decoded value point into the input.

const std = @import("std");
const assert = std.debug.assert;

pub const Error = error{Malformed};

const Major = enum(u3) { unsigned = 0, negative, bytes, text, array, map, tag, simple };

pub const Writer = struct {
    buffer: []u8,
    end: usize = 0,

    pub fn init(buffer: []u8) Writer {
        return .{ .buffer = buffer };
    }

    pub fn written(self: *const Writer) []u8 {
        return self.buffer[0..self.end];
    }

    pub fn array(self: *Writer, length: usize) void {
        self.head(.array, @intCast(length));
    }

    pub fn uint(self: *Writer, value: u32) void {
        self.head(.unsigned, value);
    }

    pub fn uint64(self: *Writer, value: u64) void {
        self.buffer[self.end] = 0x1b;
        std.mem.writeInt(u64, self.buffer[self.end + 1 ..][0..8], value, .big);
        self.end += 9;
    }

    pub fn boolean(self: *Writer, value: bool) void {
        self.buffer[self.end] = if (value) 0xf5 else 0xf4;
        self.end += 1;
    }

    pub fn bytes(self: *Writer, value: []const u8) void {
        self.head(.bytes, @intCast(value.len));
        @memcpy(self.buffer[self.end..][0..value.len], value);
        self.end += value.len;
    }

    /// The shortest form of RFC 8949 section 4.2.1.
    fn head(self: *Writer, major: Major, value: u32) void {
        const top = @as(u8, @intFromEnum(major)) << 5;
        const out = self.buffer[self.end..];
        if (value < 24) {
            out[0] = top | @as(u8, @intCast(value));
            self.end += 1;
        } else if (value <= 0xff) {
            out[0] = top | 24;
            out[1] = @intCast(value);
            self.end += 2;
        } else if (value <= 0xffff) {
            out[0] = top | 25;
            std.mem.writeInt(u16, out[1..3], @intCast(value), .big);
            self.end += 3;
        } else {
            out[0] = top | 26;
            std.mem.writeInt(u32, out[1..5], value, .big);
            self.end += 5;
        }
    }
};

pub const Reader = struct {
    input: []const u8,
    at: usize = 0,

    pub fn init(input: []const u8) Reader {
        return .{ .input = input };
    }

    pub fn finished(self: *const Reader) bool {
        assert(self.at <= self.input.len);
        return self.at == self.input.len;
    }

    pub fn array(self: *Reader) Error!u32 {
        return self.head(.array);
    }

    pub fn uint(self: *Reader) Error!u32 {
        return self.head(.unsigned);
    }

    pub fn uint64(self: *Reader) Error!u64 {
        const raw = try self.take(9);
        if (raw[0] != 0x1b) return error.Malformed;
        return std.mem.readInt(u64, raw[1..9], .big);
    }

    pub fn boolean(self: *Reader) Error!bool {
        return switch ((try self.take(1))[0]) {
            0xf4 => false,
            0xf5 => true,
            else => error.Malformed,
        };
    }

    pub fn bytes(self: *Reader) Error![]const u8 {
        return self.take(try self.head(.bytes));
    }

    fn take(self: *Reader, length: usize) Error![]const u8 {
        if (length > self.input.len - self.at) return error.Malformed;
        defer self.at += length;
        return self.input[self.at..][0..length];
    }

    fn head(self: *Reader, wanted: Major) Error!u32 {
        const first = (try self.take(1))[0];
        if (first >> 5 != @intFromEnum(wanted)) return error.Malformed;
        const info = first & 0x1f;
        const value: u32 = switch (info) {
            0...23 => return info,
            24 => (try self.take(1))[0],
            25 => std.mem.readInt(u16, (try self.take(2))[0..2], .big),
            26 => std.mem.readInt(u32, (try self.take(4))[0..4], .big),
            else => return error.Malformed,
        };
        const least: u32 = switch (info) {
            24 => 24,
            25 => 0x100,
            else => 0x1_0000,
        };
        if (value < least) return error.Malformed;
        return value;
    }
};

const testing = std.testing;

test "integers take the shortest form, u64 always nine bytes" {
    var buffer: [64]u8 = undefined;
    const cases = [_]struct { value: u32, length: usize }{
        .{ .value = 0, .length = 1 },     .{ .value = 23, .length = 1 },
        .{ .value = 24, .length = 2 },    .{ .value = 255, .length = 2 },
        .{ .value = 256, .length = 3 },   .{ .value = 65535, .length = 3 },
        .{ .value = 65536, .length = 5 }, .{ .value = 0xffff_ffff, .length = 5 },
    };
    for (cases) |case| {
        var writer: Writer = .init(&buffer);
        writer.uint(case.value);
        try testing.expectEqual(case.length, writer.end);
        var reader: Reader = .init(writer.written());
        try testing.expectEqual(case.value, try reader.uint());
        try testing.expect(reader.finished());
    }
    var writer: Writer = .init(&buffer);
    writer.uint64(5);
    try testing.expectEqual(9, writer.end);
}

test "longer forms, truncation and foreign types are refused" {
    const bad = [_][]const u8{
        &.{ 0x18, 23 },             &.{ 0x19, 0, 255 },
        &.{ 0x1a, 0, 0, 255, 255 }, &.{0x18},
        &.{0x1f},                   &.{0x20},
        &.{},                       &.{ 0x1b, 0, 0, 0, 0, 0, 0, 0, 1 },
    };
    for (bad) |input| {
        var reader: Reader = .init(input);
        try testing.expectError(error.Malformed, reader.uint());
    }
    var text: Reader = .init(&.{ 0x42, 1 });
    try testing.expectError(error.Malformed, text.bytes());
}
