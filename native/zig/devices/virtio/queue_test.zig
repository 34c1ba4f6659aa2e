//! The split virtqueue against a well-behaved driver and against one that is not.

const std = @import("std");
const rig = @import("driver_rig.zig");
const room = @import("queue.zig");
const Chain = room.Chain;
const Memory = rig.Memory;
const Queue = room.Queue;
const testing = std.testing;

const table = rig.layout.descriptors;

fn start(event_index: bool) Queue {
    return Queue.init(rig.layout, event_index) catch unreachable;
}

test "chains come in order, direct and indirect, and go back used" {
    var memory: Memory = .{};
    var queue = start(false);
    var chain: Chain = .{};
    try testing.expect(!try queue.pop(&memory, &chain));
    rig.descriptor(&memory, table, 3, 0x4000, 16, rig.next, 5);
    rig.descriptor(&memory, table, 5, 0x5000, 512, rig.next | rig.writes, 1);
    rig.descriptor(&memory, table, 1, 0x6000, 1, rig.writes, 0);
    // One direct entry, then a table: both forms of 2.7.5.3.1.
    rig.descriptor(&memory, table, 2, 0x4100, 16, rig.next, 4);
    rig.descriptor(&memory, table, 4, 0x7000, 32, rig.indirect, 0);
    rig.descriptor(&memory, 0x7000, 0, 0x5100, 0, rig.next, 1);
    rig.descriptor(&memory, 0x7000, 1, 0x5200, 9, rig.writes, 0);
    rig.offer(&memory, 3);
    rig.offer(&memory, 2);
    try testing.expect(try queue.pop(&memory, &chain));
    try testing.expectEqual(3, chain.head);
    try expectOne(.{ .gpa = 0x4000, .length = 16 }, chain.readable());
    try testing.expectEqual(2, chain.writable().len);
    try testing.expectEqual(0x6000, chain.writable()[1].gpa);
    try queue.push(&memory, chain.head, 513);
    const used: rig.Used = .{ .index = 1, .head = 3, .written = 513 };
    try testing.expectEqual(used, rig.lastUsed(&memory));
    try testing.expect(try queue.pop(&memory, &chain));
    // A descriptor without bytes is no segment.
    try testing.expectEqual(1, chain.readable().len);
    try expectOne(.{ .gpa = 0x5200, .length = 9 }, chain.writable());
    try testing.expect(!try queue.pop(&memory, &chain));
}

fn expectOne(segment: room.Segment, found: []const room.Segment) !void {
    try testing.expectEqualSlices(room.Segment, &.{segment}, found);
}

test "indices wrap at 16 bits and at the queue's size" {
    var memory: Memory = .{};
    var queue = start(false);
    var chain: Chain = .{};
    rig.descriptor(&memory, table, 0, 0x4000, 1, 0, 0);
    for (1..70_000) |i| {
        rig.offer(&memory, 0);
        try testing.expect(try queue.pop(&memory, &chain));
        try queue.push(&memory, chain.head, 0);
        try testing.expectEqual(@as(u16, @truncate(i)), rig.lastUsed(&memory).index);
    }
    try testing.expect(!try queue.pop(&memory, &chain));
}

fn expectBroken(memory: *Memory, head: u16, expected: room.Error) !void {
    var queue = start(false);
    var chain: Chain = .{};
    rig.offer(memory, head);
    try testing.expectError(expected, queue.pop(memory, &chain));
}

const Bad = struct {
    at: u64,
    flags: u16,
    gpa: u64 = 0x4000,
    length: u32 = 16,
    follower: u16 = 0,
};

const BadChain = struct {
    expected: room.Error = error.Broken,
    head: u16 = 0,
    chain: []const Bad,
};

test "loops, numbers outside, wrong order, tables within tables" {
    const cases = [_]BadChain{
        .{ .chain = &.{.{ .at = table, .flags = rig.next }} },
        .{ .chain = &.{.{ .at = table, .flags = rig.next, .follower = 8 }} },
        .{ .head = 8, .chain = &.{} },
        .{ .head = 0xffff, .chain = &.{} },
        .{ .chain = &.{
            .{ .at = table, .flags = rig.next | rig.writes, .follower = 1 },
            .{ .at = table + 16, .flags = 0 },
        } },
        // Indirect: no entries, half an entry, a table in a table, one with a follower.
        .{ .chain = &.{.{ .at = table, .flags = rig.indirect, .length = 0 }} },
        .{ .chain = &.{.{ .at = table, .flags = rig.indirect, .length = 24 }} },
        .{ .chain = &.{
            .{ .at = table, .flags = rig.indirect, .gpa = 0x7000 },
            .{ .at = 0x7000, .flags = rig.indirect, .gpa = 0x7100 },
        } },
        .{ .chain = &.{.{ .at = table, .flags = rig.indirect | rig.next, .gpa = 0x7000 }} },
        // A loop within a table, and a follower past its end.
        .{ .chain = &.{
            .{ .at = table, .flags = rig.indirect, .gpa = 0x7000 },
            .{ .at = 0x7000, .flags = rig.next },
        } },
        .{ .chain = &.{
            .{ .at = table, .flags = rig.indirect, .gpa = 0x7000 },
            .{ .at = 0x7000, .flags = rig.next, .follower = 1 },
        } },
        .{ .chain = &.{
            .{ .at = table, .flags = rig.next, .length = 0xffff_ffff, .follower = 1 },
            .{ .at = table + 16, .flags = 0, .length = 1 },
        } },
        .{ .expected = error.BadAddress, .chain = &.{
            .{ .at = table, .flags = rig.indirect, .gpa = 0x8_0000_0000 },
        } },
        .{ .expected = error.BadAddress, .chain = &.{
            .{ .at = table, .flags = rig.indirect, .gpa = std.math.maxInt(u64) - 7 },
        } },
    };
    for (cases) |case| {
        var memory: Memory = .{};
        for (case.chain) |bad| {
            rig.descriptor(&memory, bad.at, 0, bad.gpa, bad.length, bad.flags, bad.follower);
        }
        try expectBroken(&memory, case.head, case.expected);
    }
}

test "a chain as long as the queue is the longest" {
    var memory: Memory = .{};
    var queue = start(false);
    var chain: Chain = .{};
    const entries = 9;
    for (0..entries) |i| {
        const last = i == rig.layout.size - 1;
        const flags: u16 = if (last) 0 else rig.next;
        rig.descriptor(&memory, 0x7000, @intCast(i), 0x4000, 1, flags, @intCast(i + 1));
    }
    rig.descriptor(&memory, table, 0, 0x7000, 16 * entries, rig.indirect, 0);
    rig.offer(&memory, 0);
    try testing.expect(try queue.pop(&memory, &chain));
    try testing.expectEqual(rig.layout.size, chain.readable().len);
    rig.descriptor(&memory, 0x7000, 7, 0x4000, 1, rig.next, 8);
    rig.offer(&memory, 0);
    try testing.expectError(error.Broken, queue.pop(&memory, &chain));
}

test "an index that jumps, and rings outside of memory" {
    var memory: Memory = .{};
    var queue = start(false);
    var chain: Chain = .{};
    try memory.store16(rig.layout.driver + 2, 9);
    try testing.expectError(error.Broken, queue.pop(&memory, &chain));
    for ([_]room.Layout{
        .{ .size = 8, .descriptors = 0x1000, .driver = 1 << 40, .device = 0x3000 },
        .{ .size = 8, .descriptors = 0x1000, .driver = std.math.maxInt(u64) - 1, .device = 0x3000 },
    }) |away| {
        queue = try .init(away, true);
        try testing.expectError(error.BadAddress, queue.pop(&memory, &chain));
        try testing.expectError(error.BadAddress, queue.listen(&memory));
    }
    const far = 0xffff_ffff_fffc;
    queue = try .init(.{ .size = 8, .descriptors = 0, .driver = 0, .device = far }, false);
    try testing.expectError(error.BadAddress, queue.push(&memory, 0, 0));
    for ([_]room.Layout{
        .{ .size = 0, .descriptors = 0, .driver = 0, .device = 0 },
        .{ .size = 6, .descriptors = 0, .driver = 0, .device = 0 },
        .{ .size = 512, .descriptors = 0, .driver = 0, .device = 0 },
        .{ .size = 8, .descriptors = 8, .driver = 0, .device = 0 },
        .{ .size = 8, .descriptors = 0, .driver = 1, .device = 0 },
        .{ .size = 8, .descriptors = 0, .driver = 0, .device = 2 },
    }) |bad| try testing.expectError(error.Broken, Queue.init(bad, false));
}

test "interrupts and doorbells come when they are wanted" {
    var memory: Memory = .{};
    var queue = start(false);
    try queue.push(&memory, 0, 0);
    try testing.expect(try queue.wantsInterrupt(&memory));
    try testing.expect(!try queue.wantsInterrupt(&memory));
    try memory.store16(rig.layout.driver, 1);
    try queue.push(&memory, 0, 0);
    try testing.expect(!try queue.wantsInterrupt(&memory));
    try queue.quiet(&memory);
    try testing.expectEqual(1, try memory.load16(rig.layout.device));
    try testing.expect(try queue.listen(&memory));
    try testing.expectEqual(0, try memory.load16(rig.layout.device));
}

test "with the event index one interrupt tells of several requests" {
    var memory: Memory = .{};
    var queue = start(true);
    const used_event = rig.layout.driver + 4 + 2 * rig.layout.size;
    const avail_event = rig.layout.device + 4 + 8 * rig.layout.size;
    try queue.push(&memory, 0, 0);
    try testing.expect(try queue.wantsInterrupt(&memory));
    // The driver wants to hear of entry 3: that is when the index becomes 4.
    try memory.store16(used_event, 3);
    for (2..5) |index| {
        try queue.push(&memory, 0, 0);
        try testing.expectEqual(index == 4, try queue.wantsInterrupt(&memory));
    }
    try queue.quiet(&memory);
    try testing.expectEqual(0, try memory.load16(rig.layout.device));
    rig.descriptor(&memory, table, 0, 0x4000, 1, 0, 0);
    rig.offer(&memory, 0);
    var chain: Chain = .{};
    try testing.expect(try queue.pop(&memory, &chain));
    try testing.expect(try queue.listen(&memory));
    try testing.expectEqual(1, try memory.load16(avail_event));
}

test "a request that comes while the device goes to sleep is seen" {
    var memory: Memory = .{ .at_fence = late };
    for ([_]bool{ false, true }) |event_index| {
        memory.bytes = @splat(0);
        var queue = start(event_index);
        try testing.expect(!try queue.listen(&memory));
    }
}

fn late(memory: *Memory) void {
    rig.offer(memory, 0);
}
