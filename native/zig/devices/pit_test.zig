//! The interval timer as kernels program it, and its gates by the data sheet.

const std = @import("std");
const Pit = @import("pit.zig").Pit;
const ms = std.time.ns_per_ms;
const testing = std.testing;

test "a counting channel 2 as Linux calibrates with it" {
    var pit: Pit = .{};
    pit.writeControl(1, 0);
    pit.write(3, 0xb0, 0);
    pit.write(2, 0xff, 0);
    pit.write(2, 0xff, 0);
    try testing.expectEqual(0xff, pit.read(2, 0));
    try testing.expectEqual(0xff, pit.read(2, 0));
    // After 1 ms 1193 ticks are gone.
    const low: u16 = pit.read(2, 1_000_000);
    const high: u16 = pit.read(2, 1_000_000);
    try testing.expectEqual(0xffff - 1193, high << 8 | low);
    try testing.expectEqual(0, pit.readControl(50_000_000) & 0x20);
    try testing.expectEqual(0x20, pit.readControl(60_000_000) & 0x20);
}

/// Channel 2 with 11932, 10 ms.
fn load(pit: *Pit, mode: u8, now_ns: u64) void {
    pit.write(3, 0xb0 | mode << 1, now_ns);
    pit.write(2, 0x9c, now_ns);
    pit.write(2, 0x2e, now_ns);
}

fn outputs(pit: *Pit, now_ns: u64) bool {
    return pit.readControl(now_ns) & 0x20 != 0;
}

test "a low gate holds the count of modes 0 and 4, a rise goes on with it" {
    for ([_]u8{ 0, 4 }) |mode| {
        var pit: Pit = .{};
        load(&pit, mode, 0);
        try testing.expect(!outputs(&pit, 50 * ms));
        pit.writeControl(1, 50 * ms);
        try testing.expect(!outputs(&pit, 59 * ms));
        pit.writeControl(0, 59 * ms);
        try testing.expect(!outputs(&pit, 90 * ms));
        pit.writeControl(1, 90 * ms);
        try testing.expect(!outputs(&pit, 90 * ms + ms / 2));
        try testing.expect(outputs(&pit, 92 * ms));
    }
}

test "a low gate keeps the output of modes 2 and 3 high, a rise begins a period" {
    var pit: Pit = .{};
    load(&pit, 3, 0);
    for ([_]u64{ 0, 3, 7, 12 }) |at| try testing.expect(outputs(&pit, at * ms));
    pit.writeControl(1, 17 * ms);
    for ([_]u64{ 18, 21, 23, 26, 28 }, 0..) |at, i| {
        try testing.expectEqual(i & 2 == 0, outputs(&pit, at * ms));
    }
    pit.writeControl(0, 29 * ms);
    try testing.expect(outputs(&pit, 29 * ms));
}

test "the gate triggers modes 1 and 5, however short it is" {
    var pit: Pit = .{};
    load(&pit, 1, 0);
    try testing.expect(outputs(&pit, 20 * ms));
    pit.writeControl(1, 20 * ms);
    pit.writeControl(0, 21 * ms);
    try testing.expect(!outputs(&pit, 29 * ms));
    try testing.expect(outputs(&pit, 31 * ms));
    pit.writeControl(1, 40 * ms);
    try testing.expect(!outputs(&pit, 41 * ms));
}

test "a latched count stays until both bytes are read" {
    var pit: Pit = .{};
    pit.write(3, 0x34, 0);
    pit.write(0, 0x00, 0);
    pit.write(0, 0x10, 0);
    pit.write(3, 0x00, 0);
    try testing.expectEqual(0x00, pit.read(0, 5_000_000));
    try testing.expectEqual(0x10, pit.read(0, 5_000_000));
    pit.write(3, 0xe2, 0);
    try testing.expectEqual(0x34 & 0x3e, pit.read(0, 0) & 0x3e);
}

test "read-back latches status and counts of the channels it names" {
    var pit: Pit = .{};
    pit.write(3, 0x30, 0);
    pit.write(3, 0xb4, 0);
    pit.write(2, 0x34, 0);
    pit.write(2, 0x12, 0);
    // Status of channels 0 and 2, count of none: the first has no count yet.
    pit.write(3, 0xea, 0);
    try testing.expectEqual(0x70, pit.read(0, 0));
    try testing.expectEqual(0xb4, pit.read(2, 0));
    // Status and count of channel 2: the status comes first, a second latch changes nothing.
    pit.write(3, 0xc8, 0);
    pit.write(3, 0xc8, 1_000_000);
    try testing.expectEqual(0xb4, pit.read(2, 0));
    try testing.expectEqual(0x34, pit.read(2, 1_000_000));
    try testing.expectEqual(0x12, pit.read(2, 1_000_000));
}

test "channel 0 rises once a period, late calls are told once" {
    var pit: Pit = .{};
    try testing.expectEqual(null, pit.deadline());
    // 100 Hz as kernels program it: mode 2, 11932.
    pit.write(3, 0x34, 1000);
    pit.write(0, 0x9c, 1000);
    try testing.expectEqual(null, pit.deadline());
    pit.write(0, 0x2e, 1000);
    const first = pit.deadline().?;
    try testing.expectEqual(10_000_151 + 1000, first);
    try testing.expect(!pit.tick(first - 1));
    try testing.expect(pit.tick(first));
    try testing.expect(!pit.tick(first));
    const second = pit.deadline().?;
    try testing.expectEqual(first + 10_000_151, second);
    // Five periods late: one interrupt, and the next is in the future.
    const late = second + 50_000_000;
    try testing.expect(pit.tick(late));
    try testing.expect(pit.deadline().? > late);
}

test "modes 0 and 4 rise once a count" {
    for ([_]u8{ 0x30, 0x38 }) |mode| {
        var pit: Pit = .{};
        pit.write(3, mode, 0);
        pit.write(0, 0xff, 0);
        pit.write(0, 0x00, 0);
        const at = pit.deadline().?;
        try testing.expect(pit.tick(at));
        try testing.expectEqual(null, pit.deadline());
        try testing.expect(!pit.tick(at * 100));
        pit.write(0, 0xff, at);
        pit.write(0, 0x00, at);
        try testing.expectEqual(2 * at, pit.deadline().?);
    }
}

test "reprogramming forgets the old period" {
    var pit: Pit = .{};
    pit.write(3, 0x34, 0);
    pit.write(0, 0x00, 0);
    pit.write(0, 0x10, 0);
    try testing.expect(pit.tick(pit.deadline().?));
    pit.write(3, 0x30, 5_000_000);
    try testing.expectEqual(null, pit.deadline());
    try testing.expect(!pit.tick(900_000_000));
}

test "channel 0 in a mode that its gate would have to trigger never rises" {
    for ([_]u8{ 1, 5 }) |mode| {
        var pit: Pit = .{};
        pit.write(3, 0x30 | mode << 1, 0);
        pit.write(0, 0xff, 0);
        pit.write(0, 0x00, 0);
        try testing.expectEqual(null, pit.deadline());
        try testing.expect(!pit.tick(900 * ms));
    }
}
