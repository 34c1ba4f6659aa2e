//! Any bytes as one of the configurations that cross from TypeScript: refused, or exactly what
//! encodeStruct would have written; and never more memory than the input's length allows.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const Source = @import("source.zig").Source;

/// Bytes of memory that a byte of input may cost: an item takes at least one byte.
const memory_per_byte = 4 * @max(
    @sizeOf(abi.PlanNode),
    @sizeOf(abi.CpuidEntry),
    @sizeOf(abi.Route),
);

pub fn run(allocator: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    const kind = source.below(5);
    const bytes = source.rest();
    try switch (kind) {
        0 => one(abi.Plan, allocator, bytes),
        1 => one(abi.Route, allocator, bytes),
        2 => one(abi.Boot, allocator, bytes),
        3 => one(abi.OpenOptions, allocator, bytes),
        else => one(abi.ImageOptions, allocator, bytes),
    };
}

fn one(comptime T: type, allocator: std.mem.Allocator, bytes: []const u8) !void {
    const room = try allocator.alloc(u8, memory_per_byte * (bytes.len + 1));
    defer allocator.free(room);
    var bounded: std.heap.FixedBufferAllocator = .init(room);
    const value = codec.decodeStruct(T, bounded.allocator(), bytes) catch |err| switch (err) {
        error.Malformed => return,
        error.OutOfMemory => return error.MemoryBeyondItsBound,
    };
    const buffer = try allocator.alloc(u8, 9 * (bytes.len + 16));
    defer allocator.free(buffer);
    const again = codec.encodeStruct(T, &value, buffer) orelse return error.LongerThanItWas;
    try std.testing.expectEqualSlices(u8, bytes, again);
}
