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

/// A port with FIFOs, whose interrupts come through.
fn printer() Uart {
    var u: Uart = .{};
    _ = u.write(2, 1, 0);
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
    var u = printer();
    var now_ns: u64 = 7 * pace.work_ns;
    for (0..90) |_| {
        try testing.expectEqual(now_ns, line(&u, now_ns, ms));
        now_ns += 101 * ms;
    }
    for ([_]u64{ 220, 220, 220, 220, 100 }) |work_ms| {
        now_ns += pace.rest_ns;
        try testing.expectEqual(now_ns, line(&u, now_ns, work_ms * ms));
        now_ns += work_ms * ms;
    }
    // Had nothing been forgotten this one would wait.
    try testing.expectEqual(now_ns, line(&u, now_ns, ms));
}

/// Works until a rest begins, and returns when that is.
fn untilRest(u: *Uart) u64 {
    var now_ns: u64 = 7 * pace.work_ns;
    while (now_ns < 8 * pace.work_ns) now_ns = line(u, now_ns, 50 * ms) + 50 * ms;
    return now_ns;
}

/// What may happen to the port while no interrupt is to come.
const Meanwhile = enum { polled, received, resumed };

fn happens(what: Meanwhile, u: *Uart, now_ns: u64) !void {
    switch (what) {
        // The kernel prints on another processor, without interrupts.
        .polled => {
            _ = u.write(1, 0, now_ns);
            _ = u.write(0, 'x', now_ns);
            u.settle(true, now_ns);
            _ = u.write(1, uart.ier_transmit, now_ns);
        },
        // A handler that came for a received byte prints as well.
        .received => {
            _ = u.write(0, 'x', now_ns);
            u.settle(true, now_ns);
            try testing.expect(u.read(2, now_ns) & 0xf == uart.iir_none);
        },
        // The reader of the output was slow, and goes on.
        .resumed => {
            _ = u.write(0, 'x', now_ns);
            u.settle(false, now_ns);
            u.settle(true, now_ns);
            try testing.expect(u.read(2, now_ns) & 0xf == uart.iir_none);
        },
    }
}

test "nothing shortens a pause or a rest, nor prolongs it" {
    for (0..2) |rest| for (std.enums.values(Meanwhile)) |what| {
        var u = printer();
        var from_ns: u64 = 7 * pace.work_ns;
        if (rest == 1) from_ns = untilRest(&u);
        _ = u.write(1, uart.ier_transmit, from_ns);
        if (rest == 0) from_ns = handler(&u, 10 * ms, from_ns).?;
        const until_ns = u.deadline().?;
        try testing.expect(until_ns - from_ns > 80 * ms);
        for (1..70) |i| {
            const now_ns = from_ns + i * ms;
            u.tick(now_ns);
            try happens(what, &u, now_ns);
            try testing.expect(!u.line());
            try testing.expectEqual(until_ns, u.deadline().?);
        }
        u.tick(until_ns - 1);
        try testing.expect(!u.line());
        u.tick(until_ns);
        try testing.expect(u.line());
    };
}

test "a port without FIFOs interrupts at once, as Linux tries before it enables them" {
    var u = printer();
    const now_ns = untilRest(&u);
    _ = u.write(2, 0, now_ns);
    _ = u.write(1, uart.ier_transmit, now_ns);
    try testing.expectEqual(uart.iir_transmit, u.read(2, now_ns) & 0xf);
}

test "a pause counts from the interrupt, whatever else is printed before its handler writes" {
    var u = printer();
    const came_ns: u64 = 7 * pace.work_ns;
    _ = u.write(1, uart.ier_transmit, came_ns);
    for (1..100) |i| {
        _ = u.write(1, 0, came_ns + i * ms);
        _ = u.write(0, 'x', came_ns + i * ms);
        u.settle(true, came_ns + i * ms);
        _ = u.write(1, uart.ier_transmit, came_ns + i * ms);
    }
    const left_ns = handler(&u, ms, came_ns + 100 * ms).?;
    try testing.expectEqual((left_ns - came_ns) / 2, u.deadline().? - left_ns);
}

test "who finds no interrupt due before a burst is over prints without a pause" {
    var u = printer();
    _ = u.write(1, uart.ier_transmit, 2 * ms);
    for (1..9) |i| {
        const now_ns = i * (pace.burst_ns - 1);
        _ = u.write(0, 'x', now_ns);
        u.settle(true, now_ns);
        try testing.expect(u.line());
        try testing.expectEqual(uart.iir_transmit, u.read(2, now_ns) & 0xf);
        try testing.expectEqual(uart.iir_none, u.read(2, now_ns) & 0xf);
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

test "who looks but once an interrupt pauses all the same, and no longer each time" {
    for ([_]u64{ 1, 3 }) |every_ms| {
        var u = printer();
        _ = u.write(1, uart.ier_transmit, 0);
        var now_ns: u64 = 0;
        var pauses: usize = 0;
        for (0..200) |_| {
            try testing.expectEqual(uart.iir_transmit, u.read(2, now_ns) & 0xf);
            now_ns += every_ms * ms;
            _ = u.write(0, 'x', now_ns);
            u.settle(true, now_ns);
            const at_ns = u.deadline() orelse continue;
            pauses += 1;
            try testing.expect(at_ns - now_ns < pace.burst_ns);
            now_ns = at_ns;
            u.tick(now_ns);
        }
        try testing.expect(pauses > 10 and pauses < 100);
    }
}

test "a handler whose output finds no room pauses as well" {
    var u = printer();
    _ = u.write(1, uart.ier_transmit, ms);
    try testing.expectEqual(uart.iir_transmit, u.read(2, 60 * ms) & 0xf);
    _ = u.write(0, 'x', 60 * ms);
    u.settle(false, 60 * ms);
    try testing.expectEqual(uart.iir_none, u.read(2, 75 * ms) & 0xf);
    u.settle(true, 76 * ms);
    try testing.expectEqual((75 + 37) * ms, u.deadline().?);
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
            if (looks == 1) try testing.expect(u.read(2, i * every_ns) & 0xf == uart.iir_none);
        }
        const now_ns = 2 * pace.work_ns;
        try testing.expectEqual(now_ns, line(&u, now_ns, ms));
        try testing.expectEqual(now_ns + ms, line(&u, now_ns + ms, ms));
    }
}
