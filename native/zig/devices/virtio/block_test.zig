//! What chains ask of a block device, and what no chain may ask.

const std = @import("std");
const block = @import("block.zig");
const queue = @import("queue.zig");
const Memory = @import("driver_rig.zig").Memory;
const testing = std.testing;

const head_gpa = 0x4000;
const data_gpa = 0x5000;
const status_gpa = 0x6000;
const sectors = 16;

fn head(memory: *Memory, kind: u32, sector: u64) queue.Segment {
    std.mem.writeInt(u32, memory.bytes[head_gpa..][0..4], kind, .little);
    std.mem.writeInt(u64, memory.bytes[head_gpa + 8 ..][0..8], sector, .little);
    return .{ .gpa = head_gpa, .length = 16 };
}

fn chainOf(readable: []const queue.Segment, writable: []const queue.Segment) queue.Chain {
    var chain: queue.Chain = .{ .count = readable.len + writable.len, .split = readable.len };
    @memcpy(chain.segments[0..readable.len], readable);
    @memcpy(chain.segments[readable.len..chain.count], writable);
    return chain;
}

const status: queue.Segment = .{ .gpa = status_gpa, .length = 1 };

fn data(length: u32) queue.Segment {
    return .{ .gpa = data_gpa, .length = length };
}

test "reads and writes within the disk" {
    var memory: Memory = .{};
    var chain = chainOf(&.{head(&memory, 0, 14)}, &.{ data(1024), status });
    var parsed = try block.parse(&memory, &chain, sectors, true);
    try testing.expectEqual(status_gpa, parsed.status_gpa);
    try testing.expectEqual(1025, parsed.writable);
    try testing.expectEqual(block.Operation.read, parsed.request.accepted.operation);
    try testing.expectEqual(14 * 512, parsed.request.accepted.offset);
    chain = chainOf(&.{ head(&memory, 1, 0), data(512) }, &.{status});
    parsed = try block.parse(&memory, &chain, sectors, false);
    try testing.expectEqual(block.Operation.write, parsed.request.accepted.operation);
    try testing.expectEqual(512, parsed.request.accepted.bytes);
    parsed = try block.parse(&memory, &chain, sectors, true);
    try testing.expectEqual(block.Status.failed, parsed.request.refused);
    chain = chainOf(&.{head(&memory, 4, 0)}, &.{status});
    parsed = try block.parse(&memory, &chain, sectors, false);
    try testing.expectEqual(block.Operation.flush, parsed.request.accepted.operation);
}

test "what lies outside of the disk, or is no whole sector, fails" {
    var memory: Memory = .{};
    const cases = [_]struct { u64, u32 }{
        .{ 15, 1024 },                   .{ 16, 512 },
        .{ 17, 512 },                    .{ std.math.maxInt(u64), 512 },
        .{ std.math.maxInt(u64), 1024 }, .{ 0, 511 },
        .{ 0, 513 },                     .{ 0, 17 * 512 },
    };
    for (cases) |case| {
        const chain = chainOf(&.{head(&memory, 0, case[0])}, &.{ data(case[1]), status });
        const parsed = try block.parse(&memory, &chain, sectors, false);
        try testing.expectEqual(block.Status.failed, parsed.request.refused);
    }
    const unknown = chainOf(&.{head(&memory, 99, 0)}, &.{status});
    const parsed = try block.parse(&memory, &unknown, sectors, false);
    try testing.expectEqual(block.Status.unsupported, parsed.request.refused);
}

test "head and status stand wherever the driver cuts them" {
    var memory: Memory = .{};
    _ = head(&memory, 0, 3);
    const chain = chainOf(
        &.{ .{ .gpa = head_gpa, .length = 5 }, .{ .gpa = head_gpa + 5, .length = 11 } },
        &.{ data(100), .{ .gpa = 0x5800, .length = 413 } },
    );
    const parsed = try block.parse(&memory, &chain, sectors, false);
    try testing.expectEqual(0x5800 + 412, parsed.status_gpa);
    var part = parsed.request.accepted.data;
    try testing.expectEqual(512, parsed.request.accepted.bytes);
    try block.scatter(&memory, &part, &@as([512]u8, @splat('x')));
    try testing.expectEqual('x', memory.bytes[data_gpa + 99]);
    try testing.expectEqual(0, memory.bytes[data_gpa + 100]);
    try testing.expectEqual('x', memory.bytes[0x5800 + 411]);
    try testing.expectEqual(0, memory.bytes[0x5800 + 412]);
}

test "no place for a status, no whole head, no memory" {
    var memory: Memory = .{};
    const whole = head(&memory, 0, 0);
    const mute = chainOf(&.{whole}, &.{});
    try testing.expectError(error.Broken, block.parse(&memory, &mute, sectors, false));
    const short = chainOf(&.{.{ .gpa = head_gpa, .length = 15 }}, &.{status});
    const parsed = try block.parse(&memory, &short, sectors, false);
    try testing.expectEqual(block.Status.failed, parsed.request.refused);
    const away = chainOf(&.{.{ .gpa = 1 << 40, .length = 16 }}, &.{status});
    const unread = try block.parse(&memory, &away, sectors, false);
    try testing.expectEqual(block.Status.failed, unread.request.refused);
    const wraps = chainOf(&.{whole}, &.{.{ .gpa = std.math.maxInt(u64), .length = 2 }});
    try testing.expectError(error.BadAddress, block.parse(&memory, &wraps, sectors, false));
    var part: block.Part = .of(&.{.{ .gpa = 0x7ff0, .length = 32 }});
    var out: [32]u8 = @splat(1);
    try testing.expectError(error.BadAddress, block.scatter(&memory, &part, &out));
    part = .of(&.{.{ .gpa = std.math.maxInt(u64) - 1, .length = 32 }});
    try testing.expectError(error.BadAddress, block.gather(&memory, &part, &out));
}

test "the identity has its 20 bytes" {
    var memory: Memory = .{};
    for ([_]u32{ 19, 20, 30 }) |length| {
        const chain = chainOf(&.{head(&memory, 8, 0)}, &.{ data(length), status });
        const parsed = try block.parse(&memory, &chain, sectors, true);
        switch (parsed.request) {
            .refused => try testing.expectEqual(19, length),
            .accepted => |request| try testing.expectEqual(20, request.bytes),
        }
    }
}

fn eraseRequest(memory: *Memory, kind: u32, range: [3]u64, read_only: bool) !block.Parsed {
    std.mem.writeInt(u64, memory.bytes[data_gpa..][0..8], range[0], .little);
    std.mem.writeInt(u32, memory.bytes[data_gpa + 8 ..][0..4], @intCast(range[1]), .little);
    std.mem.writeInt(u32, memory.bytes[data_gpa + 12 ..][0..4], @intCast(range[2]), .little);
    const chain = chainOf(&.{ head(memory, kind, 0), data(16) }, &.{status});
    return block.parse(memory, &chain, sectors, read_only);
}

test "ranges are discarded and zeroed within the disk, by the flags there are" {
    var memory: Memory = .{};
    const zeroed = try eraseRequest(&memory, 13, .{ 8, 8, 1 }, false);
    try testing.expectEqual(block.Operation.zero, zeroed.request.accepted.operation);
    try testing.expectEqual(8 * 512, zeroed.request.accepted.offset);
    try testing.expectEqual(8 * 512, zeroed.request.accepted.bytes);
    const discarded = try eraseRequest(&memory, 11, .{ 0, 16, 0 }, false);
    try testing.expectEqual(block.Operation.discard, discarded.request.accepted.operation);
    const max = std.math.maxInt(u32);
    for ([_][3]u64{ .{ 9, 8, 0 }, .{ 17, 0, 0 }, .{ 0, max, 0 }, .{ max, 1, 0 } }) |range| {
        const outside = try eraseRequest(&memory, 13, range, false);
        try testing.expectEqual(block.Status.failed, outside.request.refused);
    }
    const flagged = try eraseRequest(&memory, 11, .{ 0, 1, 1 }, false);
    try testing.expectEqual(block.Status.unsupported, flagged.request.refused);
    const kept = try eraseRequest(&memory, 13, .{ 0, 1, 0 }, true);
    try testing.expectEqual(block.Status.failed, kept.request.refused);
}

test "configuration as a driver reads it" {
    const config = block.config(0x1_0000_0001);
    try testing.expectEqual(0x1_0000_0001, std.mem.readInt(u64, config[0..8], .little));
    try testing.expectEqual(254, std.mem.readInt(u32, config[12..16], .little));
    try testing.expectEqual(512, std.mem.readInt(u32, config[20..24], .little));
    try testing.expect(block.features(true) & block.feature_read_only != 0);
    try testing.expect(block.features(false) & block.feature_read_only == 0);
}
