//! The clock, asked as Linux's rtc-cmos and by the MC146818A data sheet; the test's own clock.

const std = @import("std");
const cmos_room = @import("cmos.zig");
const Cmos = cmos_room.Cmos;
const register = cmos_room.register;
const testing = std.testing;
const second = std.time.ns_per_s;

const Setting = struct { u8, u8 };
const date_registers = [_]u8{ 0x32, 0x09, 0x08, 0x07, 0x06, 0x04, 0x02, 0x00 };

/// A clock at 2026-11-24 13:05:59 UTC, a Tuesday, and at 0 ns.
fn clock() Cmos {
    return .init(1_795_525_559, 0);
}

fn put(cmos: *Cmos, settings: []const Setting, now_ns: u64) void {
    for (settings) |setting| {
        cmos.select(setting[0]);
        cmos.write(setting[1], now_ns);
    }
}

fn get(cmos: *Cmos, index: u8, now_ns: u64) u8 {
    cmos.select(index);
    return cmos.read(now_ns);
}

/// Century, year, month, day, weekday, hour, minute, second as they are read.
fn expectDate(expected: [8]u8, cmos: *Cmos, now_ns: u64) !void {
    var found: [8]u8 = undefined;
    for (date_registers, &found) |index, *byte| byte.* = get(cmos, index, now_ns);
    try testing.expectEqualSlices(u8, &expected, &found);
}

/// As Linux sets a clock: stopped by SET and by the divider's reset, which ends last.
fn setDate(cmos: *Cmos, date: [8]u8, now_ns: u64) void {
    put(cmos, &.{ .{ register.b, 0x82 }, .{ register.a, 0x76 } }, now_ns);
    for (date_registers, date) |index, byte| put(cmos, &.{.{ index, byte }}, now_ns);
    put(cmos, &.{ .{ register.b, 0x02 }, .{ register.a, 0x26 } }, now_ns);
}

test "the date reads as Linux expects it" {
    var cmos = clock();
    try expectDate(.{ 0x20, 0x26, 0x11, 0x24, 3, 0x13, 0x05, 0x59 }, &cmos, second - 1);
    try expectDate(.{ 0x20, 0x26, 0x11, 0x24, 3, 0x13, 0x06, 0x00 }, &cmos, second);
    try testing.expectEqual(0x26, get(&cmos, 0x8a, second));
    try testing.expectEqual(0x80, get(&cmos, register.d, second));
    try testing.expectEqual(null, cmos.deadline());
}

test "years, leap days and centuries end as they should" {
    const cases = [_]struct { from: [8]u8, next: [8]u8 }{
        .{
            .from = .{ 0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59 },
            .next = .{ 0x20, 0x00, 0x01, 0x01, 7, 0, 0, 0 },
        },
        .{
            .from = .{ 0x20, 0x24, 0x02, 0x28, 4, 0x23, 0x59, 0x59 },
            .next = .{ 0x20, 0x24, 0x02, 0x29, 5, 0, 0, 0 },
        },
        .{
            .from = .{ 0x21, 0x00, 0x02, 0x28, 1, 0x23, 0x59, 0x59 },
            .next = .{ 0x21, 0x00, 0x03, 0x01, 2, 0, 0, 0 },
        },
        .{
            .from = .{ 0x20, 0x00, 0x02, 0x29, 3, 0x23, 0x59, 0x59 },
            .next = .{ 0x20, 0x00, 0x03, 0x01, 4, 0, 0, 0 },
        },
        .{
            .from = .{ 0x99, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59 },
            .next = .{ 0x00, 0x00, 0x01, 0x01, 7, 0, 0, 0 },
        },
    };
    for (cases) |case| {
        var cmos = clock();
        setDate(&cmos, case.from, 0);
        try expectDate(case.from, &cmos, second / 2 - 1);
        try expectDate(case.next, &cmos, second / 2);
    }
}

test "every day of four hundred years is the standard library's" {
    var cmos: Cmos = .init(0, 0);
    var day: std.time.epoch.EpochDay = .{ .day = 0 };
    while (day.day < 146_097) : (day.day += 1) {
        const now_ns = @as(u64, day.day) * std.time.ns_per_day;
        const year = day.calculateYearDay();
        const month = year.calculateMonthDay();
        const expected = [_]u64{
            year.year / 100, year.year % 100, month.month.numeric(), month.day_index + 1,
        };
        for (date_registers[0..4], expected) |index, number| {
            try testing.expectEqual(number / 10 << 4 | number % 10, get(&cmos, index, now_ns));
        }
    }
}

test "bytes that are no date become one with the next second, whatever they are" {
    var prng: std.Random.DefaultPrng = .init(7);
    var cmos = clock();
    var now_ns: u64 = 0;
    for (0..20_000) |_| {
        const modes = prng.random().int(u8) & 0x06;
        put(&cmos, &.{.{ register.b, modes | cmos_room.set }}, now_ns);
        for (date_registers) |index| {
            const odd = [_]u8{ 0, 1, 0xff, prng.random().int(u8) };
            put(&cmos, &.{.{ index, odd[prng.random().uintLessThan(usize, 4)] }}, now_ns);
        }
        put(&cmos, &.{.{ register.b, cmos_room.binary | cmos_room.hours_24 }}, now_ns);
        now_ns += second;
        try testing.expect(get(&cmos, register.second, now_ns) < 60);
        try testing.expect(get(&cmos, register.minute, now_ns) < 60);
        try testing.expect(get(&cmos, register.hour, now_ns) < 24);
        const day = get(&cmos, register.day, now_ns);
        try testing.expect(day >= 1 and day <= 31);
        const month = get(&cmos, register.month, now_ns);
        try testing.expect(month >= 1 and month <= 12);
    }
}

test "SET holds the date still, and the second goes on where it was" {
    var cmos = clock();
    put(&cmos, &.{.{ register.b, 0x92 }}, second / 4);
    // Updates cannot interrupt while there are none.
    try testing.expectEqual(0x82, get(&cmos, register.b, second / 4));
    // One register after the other, by way of a day that is none.
    put(&cmos, &.{ .{ register.month, 0x02 }, .{ register.day, 0x15 } }, 3 * second);
    try expectDate(.{ 0x20, 0x26, 0x02, 0x15, 3, 0x13, 0x05, 0x59 }, &cmos, 9 * second);
    try testing.expectEqual(0, get(&cmos, register.c, 9 * second) & cmos_room.update);
    put(&cmos, &.{.{ register.b, 0x02 }}, 9 * second + 1);
    try testing.expectEqual(0x59, get(&cmos, register.second, 10 * second - 1));
    try expectDate(.{ 0x20, 0x26, 0x02, 0x15, 1, 0x13, 0x06, 0x00 }, &cmos, 10 * second);
}

test "binary numbers and twelve hours as register B says" {
    const hours = [_]struct { set: u8, next: u8 }{
        .{ .set = 0x92, .next = 0x81 }, // noon
        .{ .set = 0x12, .next = 0x01 }, // midnight
        .{ .set = 0x11, .next = 0x92 },
        .{ .set = 0x91, .next = 0x12 },
    };
    for (hours) |hour| {
        var cmos = clock();
        put(&cmos, &.{
            .{ register.b, 0 },
            .{ register.hour, hour.set },
            .{ register.minute, 0x59 },
        }, 0);
        try testing.expectEqual(hour.next, get(&cmos, register.hour, second));
        try testing.expectEqual(0, get(&cmos, register.minute, second));
    }
    var cmos = clock();
    put(&cmos, &.{
        .{ register.b, cmos_room.binary | cmos_room.hours_24 },
        .{ register.hour, 19 },
        .{ register.minute, 58 },
        .{ register.second, 59 },
        .{ register.hour_alarm, 20 },
        .{ register.minute_alarm, 0 },
        .{ register.second_alarm, 10 },
    }, 0);
    try testing.expectEqual(59, get(&cmos, register.minute, second));
    put(&cmos, &.{.{ register.b, 0x26 }}, second);
    try testing.expectEqual(71 * second, cmos.deadline());
}

const Alarm = struct { hour: u8, minute: u8, second: u8, after: ?u64 };

test "an alarm comes at its time of day, parts of 0xC0 and more match any" {
    // It is 13:05:59.
    const cases = [_]Alarm{
        .{ .hour = 0x13, .minute = 0x06, .second = 0x00, .after = 1 },
        .{ .hour = 0x13, .minute = 0x05, .second = 0x59, .after = 86_400 },
        .{ .hour = 0x13, .minute = 0x05, .second = 0x58, .after = 86_399 },
        .{ .hour = 0x00, .minute = 0x00, .second = 0x00, .after = 10 * 3600 + 54 * 60 + 1 },
        .{ .hour = 0xff, .minute = 0xff, .second = 0xff, .after = 1 },
        .{ .hour = 0xc0, .minute = 0xff, .second = 0x58, .after = 59 },
        .{ .hour = 0xc0, .minute = 0x05, .second = 0x00, .after = 59 * 60 + 1 },
        .{ .hour = 0xff, .minute = 0x05, .second = 0xff, .after = 59 * 60 + 1 },
        .{ .hour = 0x13, .minute = 0xff, .second = 0x30, .after = 31 },
        .{ .hour = 0x12, .minute = 0xff, .second = 0x30, .after = 22 * 3600 + 54 * 60 + 31 },
        .{ .hour = 0x13, .minute = 0xff, .second = 0xff, .after = 1 },
        .{ .hour = 0x24, .minute = 0xff, .second = 0xff, .after = null },
        .{ .hour = 0xff, .minute = 0x60, .second = 0xff, .after = null },
        .{ .hour = 0xff, .minute = 0xff, .second = 0xbf, .after = null },
    };
    for (cases) |case| {
        var cmos = clock();
        put(&cmos, &.{
            .{ register.hour_alarm, case.hour },
            .{ register.minute_alarm, case.minute },
            .{ register.second_alarm, case.second },
            .{ register.b, 0x22 },
        }, 0);
        const due_ns = if (case.after) |seconds| seconds * second else null;
        try testing.expectEqual(due_ns, cmos.deadline());
        const at_ns = due_ns orelse 3 * std.time.ns_per_day;
        cmos.tick(at_ns - 1);
        try testing.expect(!cmos.line());
        cmos.tick(at_ns);
        try testing.expectEqual(due_ns != null, cmos.line());
    }
}

test "an alarm within a long sleep is seen afterwards, one beyond it is not" {
    for ([_]u64{ 59, 60, 100 }) |slept| {
        var cmos = clock();
        put(&cmos, &.{ .{ 1, 0x59 }, .{ 3, 0xff }, .{ 5, 0xff } }, 0);
        const flags = get(&cmos, register.c, slept * second);
        try testing.expectEqual(slept >= 60, flags & cmos_room.alarm != 0);
        try testing.expectEqual(cmos_room.update, flags & cmos_room.update);
    }
}

test "flags come without being enabled, the line when they are, and reading ends both" {
    var cmos = clock();
    try testing.expectEqual(0, get(&cmos, register.c, second - 1) & cmos_room.update);
    const flags = get(&cmos, register.c, second);
    try testing.expectEqual(cmos_room.update | cmos_room.periodic, flags);
    try testing.expectEqual(0, get(&cmos, register.c, second));
    put(&cmos, &.{.{ register.b, 0x12 }}, second);
    try testing.expectEqual(2 * second, cmos.deadline());
    cmos.tick(2 * second);
    try testing.expect(cmos.line());
    // Nothing more can come of it until it was read.
    try testing.expectEqual(null, cmos.deadline());
    put(&cmos, &.{ .{ register.c, 0 }, .{ register.d, 0 } }, 2 * second);
    const read = get(&cmos, register.c, 2 * second + 1);
    try testing.expectEqual(cmos_room.requested | cmos_room.update, read & 0x90);
    try testing.expect(!cmos.line());
    try testing.expectEqual(3 * second, cmos.deadline());
    try testing.expectEqual(0x80, get(&cmos, register.d, 2 * second + 1));
    // Disabling takes the line away as well.
    cmos.tick(3 * second);
    put(&cmos, &.{.{ register.b, 0x02 }}, 3 * second);
    try testing.expect(!cmos.line());
    try testing.expectEqual(null, cmos.deadline());
}

test "periodic flags come at register A's rate, and stop with the divider" {
    const rates = [_]struct { u8, u64 }{
        .{ 3, 8192 }, .{ 6, 1024 }, .{ 15, 2 }, .{ 1, 256 }, .{ 2, 128 },
    };
    for (rates) |rate| {
        var cmos = clock();
        put(&cmos, &.{ .{ register.a, 0x20 | rate[0] }, .{ register.b, 0x42 } }, 0);
        var count: u64 = 0;
        var now_ns = cmos.deadline().?;
        while (now_ns <= second) : (count += 1) {
            cmos.tick(now_ns - 1);
            try testing.expect(!cmos.line());
            cmos.tick(now_ns);
            try testing.expect(cmos.line());
            _ = get(&cmos, register.c, now_ns);
            now_ns = cmos.deadline().?;
        }
        try testing.expectEqual(rate[1], count);
    }
    for ([_]u8{ 0x20, 0x76 }) |stopped| {
        var cmos = clock();
        put(&cmos, &.{ .{ register.a, stopped }, .{ register.b, 0x42 } }, 0);
        try testing.expectEqual(null, cmos.deadline());
        cmos.tick(9 * second);
        try testing.expect(!cmos.line());
    }
}

test "over a restart of the machine a set time goes on and memory stays, but nothing interrupts" {
    var cmos = clock();
    setDate(&cmos, .{ 0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x50 }, 0);
    put(&cmos, &.{ .{ 0x40, 0xab }, .{ register.b, 0x72 } }, 0);
    cmos.tick(second);
    try testing.expect(cmos.line());
    const kept = cmos.keep();
    // The first second ended after half of one.
    var restarted: Cmos = .restart(&kept, 10 * second);
    try testing.expect(!restarted.line());
    try testing.expectEqual(null, restarted.deadline());
    try testing.expectEqual(0x02, get(&restarted, register.b, 10 * second));
    try expectDate(.{ 0x20, 0x00, 0x01, 0x01, 7, 0, 0, 0 }, &restarted, 10 * second);
    try expectDate(.{ 0x20, 0x00, 0x01, 0x01, 7, 0, 0, 1 }, &restarted, 10 * second + second / 2);
    try testing.expectEqual(0xab, get(&restarted, 0x40, 11 * second));
}

test "a chip restarted amid its setting, binary and to 12, is read as a PC's firmware leaves it" {
    var cmos = clock();
    put(&cmos, &.{ .{ register.b, 0x84 }, .{ 0x04, 0x81 }, .{ 0x02, 59 }, .{ 0x00, 58 } }, 0);
    put(&cmos, &.{ .{ 0x32, 20 }, .{ 0x09, 26 }, .{ 0x08, 11 }, .{ 0x07, 24 } }, 0);
    const kept = cmos.keep();
    var restarted: Cmos = .restart(&kept, 100 * second);
    // It stood while it was being set.
    try expectDate(.{ 0x20, 0x26, 0x11, 0x24, 3, 0x13, 0x59, 0x58 }, &restarted, 100 * second);
    try expectDate(.{ 0x20, 0x26, 0x11, 0x24, 3, 0x14, 0, 0 }, &restarted, 102 * second);
}
