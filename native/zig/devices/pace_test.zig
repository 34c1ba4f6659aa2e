//! Who prints by interrupts, and what that leaves of his processor: the serial port's pauses and
//! rests, asked for as Linux's driver asks.

const std = @import("std");
const limits = @import("../limits.zig");
const pace = @import("pace.zig");
const uart = @import("uart.zig");
const Uart = uart.Uart;
const assert = std.debug.assert;
const testing = std.testing;
const ms = limits.ns_per_ms;

/// A guest whose driver has printed before.
fn printer() Uart {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    _ = line(&u, 0, 2);
    return u;
}

/// The handler of an interrupt that is due: as long as one is it fills the FIFO, and each access
/// takes `access_ns`. Returns when it leaves; null when it does not.
fn handler(u: *Uart, access_ns: u64, from_ns: u64) ?u64 {
    var now_ns = from_ns;
    for (0..2 * pace.burst_ns / (uart.fifo_size * access_ns) + 2) |_| {
        now_ns += access_ns;
        u.tick(now_ns);
        if (u.read(2, now_ns) & 0xf != uart.iir_transmit) return now_ns;
        for (0..uart.fifo_size) |_| {
            now_ns += access_ns;
            u.tick(now_ns);
            _ = u.write(0, 'x', now_ns);
            u.settle(true, now_ns);
        }
    }
    return null;
}

/// Prints a short line from `from_ns` on. Returns when its interrupt comes; `work_ns` later its
/// handler has left.
fn line(u: *Uart, from_ns: u64, work_ns: u64) u64 {
    u.tick(from_ns);
    _ = u.write(1, uart.ier_transmit, from_ns);
    const came_ns = u.deadline() orelse from_ns;
    u.tick(came_ns);
    assert(u.line() and u.read(2, came_ns) & 0xf == uart.iir_transmit);
    _ = u.write(0, 'x', came_ns + work_ns / 2);
    u.settle(true, came_ns + work_ns / 2);
    _ = u.write(1, 0, came_ns + work_ns);
    assert(u.read(2, came_ns + work_ns) & 0xf == uart.iir_none);
    return came_ns;
}

/// How long handlers worked since they last left the guest alone for as long as a rest does.
const Work = struct {
    left_ns: u64 = 0,
    worked_ns: u64 = 0,
    last_ns: u64 = 0,
    rests: usize = 0,

    fn add(self: *Work, came_ns: u64, left_ns: u64) !void {
        if (came_ns - self.left_ns >= pace.rest_ns) {
            self.worked_ns = 0;
            self.rests += 1;
        }
        try testing.expect(self.worked_ns < pace.work_ns);
        self.worked_ns += left_ns - came_ns;
        self.left_ns = left_ns;
    }
};

test "a handler that finds no end leaves a third of its time and a rest each second, fast or slow" {
    for ([_]u64{ 1, 150, 1_000, 6_000, 12_000, 20_000, 60_000, 400_000 }) |access_us| {
        var u = printer();
        const access_ns = access_us * 1_000;
        var now_ns: u64 = pace.work_ns;
        _ = u.write(1, uart.ier_transmit, now_ns);
        const until_ns = now_ns + 6 * @max(pace.work_ns, 20 * access_ns);
        var work: Work = .{ .left_ns = now_ns };
        while (now_ns < until_ns) {
            try testing.expect(u.line());
            const left_ns = handler(&u, access_ns, now_ns) orelse return error.NeverLeaves;
            try testing.expect(left_ns - now_ns >= pace.burst_ns);
            try testing.expect(!u.line());
            try work.add(now_ns, left_ns);
            // One that finds nothing to do changes nothing.
            _ = u.read(2, left_ns + 1);
            const again_ns = u.deadline().?;
            const third_ns = @min((left_ns - now_ns) / 2, pace.pause_max_ns);
            try testing.expect(again_ns - left_ns >= third_ns);
            try testing.expect(again_ns - left_ns <= @max(third_ns, pace.rest_ns));
            u.tick(again_ns - 1);
            try testing.expect(!u.line());
            u.tick(again_ns);
            try testing.expectEqual(null, u.deadline());
            now_ns = again_ns;
        }
        try testing.expect(work.rests >= 3);
    }
}

test "lines without end are printed at once, but for a rest after each second of work" {
    for ([_]u64{ 1, 8, 45, 300 }) |work_ms| {
        var u = printer();
        var work: Work = .{};
        var now_ns: u64 = 7 * pace.work_ns;
        while (now_ns < 17 * pace.work_ns) {
            const came_ns = line(&u, now_ns, work_ms * ms);
            const waited_ns = came_ns - now_ns;
            try testing.expect(waited_ns == 0 or waited_ns == pace.rest_ns - 1);
            try work.add(came_ns, came_ns + work_ms * ms);
            now_ns = work.left_ns + 1;
        }
        try testing.expect(work.rests >= 5);
    }
}

test "who prints little, or leaves his processor alone by himself, is given no rest" {
    for ([_][2]u64{ .{ 1, 100 }, .{ 240, 250 } }) |times| {
        var u = printer();
        var now_ns: u64 = 7 * pace.work_ns;
        for (0..90) |_| {
            try testing.expectEqual(now_ns, line(&u, now_ns, times[0] * ms));
            now_ns += (times[0] + times[1]) * ms;
        }
    }
}

/// Works until a rest begins, and returns when that is.
fn untilRest(u: *Uart) u64 {
    var now_ns: u64 = 7 * pace.work_ns;
    while (now_ns < 8 * pace.work_ns) now_ns = line(u, now_ns, 50 * ms) + 50 * ms;
    return now_ns;
}

test "nothing shortens a rest or prolongs it" {
    for (0..3) |what| {
        var u = printer();
        const from_ns = untilRest(&u);
        const until_ns = from_ns + pace.rest_ns;
        _ = u.write(1, uart.ier_transmit, from_ns + 1);
        try testing.expectEqual(until_ns, u.deadline().?);
        for (2..9) |i| {
            const now_ns = from_ns + i * ms;
            u.tick(now_ns);
            switch (what) {
                // The kernel prints on another processor, without interrupts.
                0 => {
                    _ = u.write(1, 0, now_ns);
                    _ = u.write(0, 'x', now_ns);
                    u.settle(true, now_ns);
                    _ = u.write(1, uart.ier_transmit, now_ns);
                },
                // A handler that came for a received byte prints as well.
                1 => {
                    _ = u.write(0, 'x', now_ns);
                    u.settle(true, now_ns);
                    try testing.expect(u.read(2, now_ns) & 0xf == uart.iir_none);
                },
                // The reader of the output was slow, and goes on.
                else => {
                    _ = u.write(0, 'x', now_ns);
                    u.settle(false, now_ns);
                    u.resumeSending(now_ns);
                },
            }
            try testing.expect(!u.line());
            try testing.expectEqual(until_ns, u.deadline().?);
        }
        u.tick(until_ns);
        try testing.expect(u.line());
    }
}

test "who finds no interrupt due before a burst is over prints without a pause" {
    var u = printer();
    _ = u.write(1, uart.ier_transmit, 2 * ms);
    for (1..9) |i| {
        const now_ns = i * (pace.burst_ns - 1);
        _ = u.write(0, 'x', now_ns);
        u.settle(true, now_ns);
        try testing.expect(u.line());
        try testing.expectEqual(uart.iir_transmit, u.read(2, now_ns));
        try testing.expectEqual(uart.iir_none, u.read(2, now_ns));
        try testing.expectEqual(null, u.deadline());
    }
}

test "a handler stays no longer when others enable its interrupt again and again" {
    var u = printer();
    _ = u.write(1, uart.ier_transmit, 0);
    for (0..2 * pace.burst_ns / ms) |i| {
        if (u.read(2, i * ms) & 0xf == uart.iir_none) return;
        _ = u.write(0, 'x', i * ms);
        u.settle(true, i * ms);
        _ = u.write(1, 0, i * ms);
        _ = u.write(1, uart.ier_transmit, i * ms);
    }
    return error.NeverLeaves;
}

test "who never looks for a further interrupt pauses all the same, and no longer each time" {
    for ([_]u64{ 1, 3, 700 }) |every_ms| {
        var u: Uart = .{};
        _ = u.write(4, uart.mcr_out2, 0);
        _ = u.write(1, uart.ier_transmit, 0);
        var now_ns: u64 = 0;
        var pauses: usize = 0;
        for (0..400) |_| {
            try testing.expect(u.line());
            now_ns += every_ms * ms;
            _ = u.write(0, 'x', now_ns);
            u.settle(true, now_ns);
            const at_ns = u.deadline() orelse continue;
            pauses += 1;
            try testing.expectEqual(pace.pause_ns, at_ns - now_ns);
            now_ns = at_ns;
            u.tick(now_ns);
        }
        try testing.expect(pauses > 30 and pauses <= 200);
    }
}

test "who prints without interrupts has the first one at once" {
    for (0..2) |looks| {
        var u = printer();
        const every_ns = pace.burst_ns;
        for (1..pace.work_ns / every_ns + 30) |i| {
            u.tick(i * every_ns);
            _ = u.write(0, 'x', i * every_ns);
            u.settle(true, i * every_ns);
            // To be sure that none is due.
            if (looks == 1) try testing.expectEqual(uart.iir_none, u.read(2, i * every_ns));
        }
        _ = u.write(1, uart.ier_transmit, 2 * pace.work_ns);
        try testing.expect(u.line());
    }
}

test "a handler that came for a received byte pauses for what it did itself" {
    var u = printer();
    _ = u.write(1, uart.ier_transmit, ms);
    const first_ns = handler(&u, 6 * ms, ms).?;
    try testing.expect(u.deadline().? - first_ns > 50 * ms);
    const from_ns = first_ns + ms;
    _ = u.write(0, 'x', from_ns);
    u.settle(true, from_ns);
    const left_ns = handler(&u, ms, from_ns).?;
    try testing.expectEqual((left_ns - from_ns) / 2, u.deadline().? - left_ns);
}
