//! Zig values to the wire and back by their types: a struct is an array of its fields, a union an
//! array that begins with its kind. Adding a message is adding a struct to message.zig; the codec
//! cannot forget a field. Source of the profile: cbor.zig.

const std = @import("std");
const cbor = @import("cbor.zig");
const message = @import("message.zig");
const assert = std.debug.assert;

const Message = message.Message;
pub const Error = cbor.Error;
pub const DecodeError = cbor.Error || std.mem.Allocator.Error;

/// Longest encoding of a message: a page and the largest fixed part around it.
pub const message_bytes_max = 4096 + 128;

/// Encodes into `buffer` (at least message_bytes_max) and returns the used part.
pub fn encode(value: *const Message, buffer: []u8) []u8 {
    assert(buffer.len >= message_bytes_max);
    var writer: cbor.Writer = .init(buffer);
    switch (value.*) {
        inline else => |*body, kind| {
            const fields = @typeInfo(@TypeOf(body.*)).@"struct".fields;
            writer.array(1 + fields.len);
            writer.uint(@intFromEnum(kind));
            inline for (fields) |field| write(field.type, &writer, &@field(body, field.name));
        },
    }
    return writer.written();
}

/// Decodes exactly one message; slices alias `bytes`.
pub fn decode(bytes: []const u8) Error!Message {
    var reader: cbor.Reader = .init(bytes);
    const length = try reader.array();
    const kind = try reader.uint();
    const result = try decodeBody(&reader, length, kind);
    if (!reader.finished()) return error.Malformed;
    return result;
}

fn decodeBody(reader: *cbor.Reader, length: u32, kind: u32) Error!Message {
    inline for (@typeInfo(Message).@"union".fields) |variant| {
        if (kind == @intFromEnum(@field(message.Kind, variant.name))) {
            const fields = @typeInfo(variant.type).@"struct".fields;
            if (length != 1 + fields.len) return error.Malformed;
            var body: variant.type = undefined;
            inline for (fields) |field| {
                @field(body, field.name) = try readFlat(field.type, reader);
            }
            return @unionInit(Message, variant.name, body);
        }
    }
    return error.Malformed;
}

/// Encodes a configuration struct (abi.zig); null when `buffer` is too small.
pub fn encodeStruct(comptime T: type, value: *const T, buffer: []u8) ?[]u8 {
    if (size(T, value) > buffer.len) return null;
    var writer: cbor.Writer = .init(buffer);
    write(T, &writer, value);
    return writer.written();
}

/// Decodes a configuration struct; slices of structs live in `arena`, byte strings alias `bytes`.
pub fn decodeStruct(
    comptime T: type,
    arena: std.mem.Allocator,
    bytes: []const u8,
) DecodeError!T {
    var reader: cbor.Reader = .init(bytes);
    const value = try read(T, arena, &reader);
    if (!reader.finished()) return error.Malformed;
    return value;
}

fn write(comptime T: type, writer: *cbor.Writer, value: *const T) void {
    if (T == []const u8) return writer.bytes(value.*);
    switch (@typeInfo(T)) {
        .bool => writer.boolean(value.*),
        .int => if (T == u64) writer.uint64(value.*) else writer.uint(value.*),
        .@"enum" => writer.uint(@intFromEnum(value.*)),
        .pointer => |p| {
            writer.array(value.len);
            for (value.*) |*item| write(p.child, writer, item);
        },
        .@"struct" => |s| {
            writer.array(s.fields.len);
            inline for (s.fields) |f| write(f.type, writer, &@field(value, f.name));
        },
        else => @compileError("not in the profile: " ++ @typeName(T)),
    }
}

/// An upper bound of the encoding's length.
fn size(comptime T: type, value: *const T) usize {
    if (T == []const u8) return 5 + value.len;
    switch (@typeInfo(T)) {
        .pointer => |p| {
            var sum: usize = 5;
            for (value.*) |*item| sum += size(p.child, item);
            return sum;
        },
        .@"struct" => |s| {
            var sum: usize = 5;
            inline for (s.fields) |f| sum += size(f.type, &@field(value, f.name));
            return sum;
        },
        else => return 9,
    }
}

fn readFlat(comptime T: type, reader: *cbor.Reader) Error!T {
    if (T == []const u8) return reader.bytes();
    return switch (@typeInfo(T)) {
        .bool => reader.boolean(),
        .int => if (T == u64)
            reader.uint64()
        else
            std.math.cast(T, try reader.uint()) orelse error.Malformed,
        .@"enum" => |e| {
            const number = std.math.cast(e.tag_type, try reader.uint()) orelse
                return error.Malformed;
            return std.enums.fromInt(T, number) orelse error.Malformed;
        },
        else => @compileError("not in the profile: " ++ @typeName(T)),
    };
}

fn read(comptime T: type, arena: std.mem.Allocator, reader: *cbor.Reader) DecodeError!T {
    if (T == []const u8) return reader.bytes();
    switch (@typeInfo(T)) {
        .pointer => |p| {
            const length = try reader.array();
            // Every item takes at least a byte: a short input cannot ask for much memory.
            if (length > reader.input.len - reader.at) return error.Malformed;
            const items = try arena.alloc(p.child, length);
            for (items) |*item| item.* = try read(p.child, arena, reader);
            return items;
        },
        .@"struct" => |s| {
            if (try reader.array() != s.fields.len) return error.Malformed;
            var value: T = undefined;
            inline for (s.fields) |f| @field(value, f.name) = try read(f.type, arena, reader);
            return value;
        },
        else => return readFlat(T, reader),
    }
}

const testing = std.testing;

test "every message comes back as it was, and no prefix of it is accepted" {
    const page: [4096]u8 = @splat(0xa5);
    const samples = [_]Message{
        .{ .get = .{ .page = 70000, .tx = 1 << 60, .access = .write, .version = 3, .age = 9 } },
        .{ .data = .{
            .page = 1,
            .tx = 2,
            .access = .read,
            .version = 5,
            .acks = 6,
            .content = .bytes,
            .bytes = &page,
        } },
        .{ .ipi = .{ .mode = 5, .vector = 0, .level = true, .targets = &.{ 1, 200 } } },
    };
    for (samples) |sample| {
        var buffer: [message_bytes_max]u8 = undefined;
        const bytes = encode(&sample, &buffer);
        try testing.expectEqualDeep(sample, try decode(bytes));
        for (0..@min(bytes.len, 64)) |cut| {
            try testing.expectError(error.Malformed, decode(bytes[0..cut]));
        }
    }
}

test "unknown kinds, enum values and trailing bytes are refused" {
    var buffer: [message_bytes_max]u8 = undefined;
    const done: Message = .{ .done = .{ .page = 1, .tx = 2 } };
    const bytes = encode(&done, &buffer);
    buffer[bytes.len] = 0;
    try testing.expectError(error.Malformed, decode(buffer[0 .. bytes.len + 1]));
    buffer[1] = 0x01;
    try testing.expectError(error.Malformed, decode(bytes));
}

test "a configuration with nested lists crosses" {
    const Inner = struct { a: u8, b: u64 };
    const Outer = struct { name: []const u8, items: []const Inner, on: bool };
    const value: Outer = .{
        .name = "x",
        .items = &.{ .{ .a = 1, .b = 2 }, .{ .a = 3, .b = 4 } },
        .on = true,
    };
    var buffer: [128]u8 = undefined;
    const bytes = encodeStruct(Outer, &value, &buffer).?;
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    try testing.expectEqualDeep(value, try decodeStruct(Outer, arena.allocator(), bytes));
    try testing.expectEqual(null, encodeStruct(Outer, &value, buffer[0..8]));
}
