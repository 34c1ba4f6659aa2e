//! The serial port, asked as firmware and Linux's driver ask it.

const std = @import("std");
const limits = @import("../limits.zig");
const uart = @import("uart.zig");
const Uart = uart.Uart;
const assert = std.debug.assert;
const testing = std.testing;

test "Linux's autoconfiguration finds a 16550A" {
    var u: Uart = .{};
    _ = u.write(1, 0, 0);
    try testing.expectEqual(0, u.read(1, 0) & 0xf);
    _ = u.write(1, 0xf, 0);
    try testing.expectEqual(0xf, u.read(1, 0) & 0xf);
    _ = u.write(1, 0, 0);
    // Loop-back: what RTS and OUT2 say comes back as CTS and DCD.
    _ = u.write(4, uart.mcr_loop | 0xa, 0);
    try testing.expectEqual(0x90, u.read(6, 0) & 0xf0);
    _ = u.write(4, 0, 0);
    _ = u.write(2, 1, 0);
    try testing.expectEqual(3, u.read(2, 0) >> 6);
    _ = u.write(7, 0x5a, 0);
    try testing.expectEqual(0x5a, u.read(7, 0));
}

test "transmit interrupt when enabled and after each byte, gone after reading IIR" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    try testing.expect(!u.line());
    _ = u.write(1, uart.ier_transmit, 0);
    try testing.expect(u.line());
    try testing.expectEqual(uart.iir_transmit, u.read(2, 0));
    try testing.expect(!u.line());
    try testing.expectEqual('x', u.write(0, 'x', 0).?);
    u.settle(true, 0);
    try testing.expect(u.line());
}

test "while a byte is held THR is not empty and no interrupt is due, then both come" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    _ = u.write(1, uart.ier_transmit, 0);
    _ = u.write(2, 1, 0);
    try testing.expectEqual('x', u.write(0, 'x', 0).?);
    u.settle(false, 0);
    // Neither enabling the interrupt again nor a reset of the FIFOs ends it.
    _ = u.write(1, 0, 0);
    _ = u.write(1, uart.ier_transmit, 0);
    _ = u.write(2, 7, 0);
    try testing.expectEqual(0, u.read(5, 0) & uart.lsr_idle);
    try testing.expectEqual(uart.iir_fifos | uart.iir_none, u.read(2, 0));
    try testing.expect(!u.line());
    u.settle(false, 0);
    try testing.expect(!u.line());
    u.resumeSending();
    try testing.expectEqual(uart.lsr_idle, u.read(5, 0) & uart.lsr_idle);
    try testing.expect(u.line());
    try testing.expectEqual(uart.iir_fifos | uart.iir_transmit, u.read(2, 0));
    u.resumeSending();
    try testing.expect(!u.line());
}

/// Linux's handler of the interrupt: as long as one is due it fills the FIFO, and each access takes
/// `access_ns`. Returns when it leaves; null when it does not.
fn handler(u: *Uart, access_ns: u64, from_ns: u64) ?u64 {
    var now_ns = from_ns;
    for (0..2 * uart.burst_ns / (uart.fifo_size * access_ns) + 2) |_| {
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

test "a handler that finds no end leaves the guest a third of its time, fast or slow" {
    for ([_]u64{ 1_000, 150_000, 1_000_000, 6_000_000, 60_000_000, 400_000_000 }) |access_ns| {
        var u: Uart = .{};
        _ = u.write(4, uart.mcr_out2, 0);
        _ = u.write(1, uart.ier_transmit, 0);
        // It was seen to look for a further interrupt.
        _ = u.write(0, 'x', 1);
        u.settle(true, 1);
        for (0..2) |_| _ = u.read(2, 2);
        _ = u.write(1, 0, 3);
        var now_ns: u64 = 77 * uart.burst_ns;
        _ = u.write(1, uart.ier_transmit, now_ns);
        for (0..4) |_| {
            try testing.expect(u.line());
            const left_ns = handler(&u, access_ns, now_ns) orelse return error.NeverLeaves;
            try testing.expect(left_ns - now_ns >= uart.burst_ns);
            try testing.expect(!u.line());
            // A handler that comes for a received byte prolongs nothing.
            _ = u.read(2, left_ns + 1);
            const again_ns = u.deadline().?;
            const third_ns = (left_ns - now_ns) / 2;
            try testing.expect(again_ns - left_ns >= @min(third_ns, uart.pause_max_ns));
            u.tick(again_ns - 1);
            try testing.expect(!u.line());
            u.tick(again_ns);
            try testing.expectEqual(null, u.deadline());
            now_ns = again_ns;
        }
    }
}

test "who finds no interrupt due before a burst is over prints without a pause" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    _ = u.write(1, uart.ier_transmit, 0);
    for (1..9) |i| {
        const now_ns = i * (uart.burst_ns - 1);
        _ = u.write(0, 'x', now_ns);
        u.settle(true, now_ns);
        try testing.expect(u.line());
        try testing.expectEqual(uart.iir_transmit, u.read(2, now_ns));
        try testing.expectEqual(uart.iir_none, u.read(2, now_ns));
    }
}

test "who enables the transmit interrupt has it at once, however long it wrote" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    for (0..2) |i| {
        _ = u.write(0, 'x', i * uart.burst_ns);
        u.settle(true, i * uart.burst_ns);
        // Nobody waits for it.
        try testing.expectEqual(null, u.deadline());
    }
    _ = u.write(1, uart.ier_transmit, uart.burst_ns);
    try testing.expect(u.line());
    try testing.expectEqual(null, u.deadline());
    // What it wrote before is no part of a burst.
    _ = u.write(0, 'x', uart.burst_ns + 1);
    u.settle(true, uart.burst_ns + 1);
    try testing.expect(u.line());
}

/// When the interrupt of one byte came, of a guest that enables it for each, `every_ns` at least.
fn printedByOne(u: *Uart, every_ns: u64, from_ns: u64) u64 {
    _ = u.write(1, uart.ier_transmit, from_ns);
    const came_ns = u.deadline() orelse from_ns;
    u.tick(came_ns);
    assert(u.read(2, came_ns) & 0xf == uart.iir_transmit);
    _ = u.write(0, 'x', came_ns + every_ns);
    u.settle(true, came_ns + every_ns);
    _ = u.write(1, 0, came_ns + every_ns);
    return came_ns;
}

test "who is interrupted for a second rests, once, and who rests by himself does not" {
    for ([_]u64{ 1, 40, 240, 251 }) |every_ms| {
        var u: Uart = .{};
        _ = u.write(4, uart.mcr_out2, 0);
        const every_ns = every_ms * limits.ns_per_ms;
        var now_ns: u64 = 9 * uart.flood_ns;
        var rested_ns = now_ns;
        var rests: usize = 0;
        for (0..10 * uart.flood_ns / every_ns) |_| {
            const came_ns = printedByOne(&u, every_ns, now_ns);
            if (came_ns != now_ns) {
                try testing.expectEqual(uart.rest_ns, came_ns - now_ns);
                try testing.expect(now_ns - rested_ns >= uart.flood_ns);
                rests += 1;
                rested_ns = came_ns;
            }
            try testing.expect(came_ns - rested_ns < uart.flood_ns or every_ns > uart.rest_ns);
            now_ns = came_ns + every_ns;
        }
        try testing.expectEqual(every_ns < uart.rest_ns, rests > 0);
    }
}

test "who never looks for a further interrupt pauses all the same, and no longer each time" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    _ = u.write(1, uart.ier_transmit, 0);
    var now_ns: u64 = 0;
    var pauses: usize = 0;
    for (0..400) |_| {
        try testing.expect(u.line());
        now_ns += limits.ns_per_ms;
        _ = u.write(0, 'x', now_ns);
        u.settle(true, now_ns);
        const at_ns = u.deadline() orelse continue;
        pauses += 1;
        try testing.expect(at_ns - now_ns <= uart.burst_ns or at_ns - now_ns == uart.rest_ns);
        now_ns = at_ns;
        u.tick(now_ns);
    }
    try testing.expect(pauses > 400 / (uart.burst_ns / limits.ns_per_ms + 2));
}

test "who prints without interrupts has the first one at once" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    const every_ns = uart.burst_ns;
    for (0..uart.flood_ns / every_ns + 3) |i| {
        u.tick(i * every_ns);
        _ = u.write(0, 'x', i * every_ns);
        u.settle(true, i * every_ns);
    }
    _ = u.write(1, uart.ier_transmit, uart.flood_ns + 3 * every_ns);
    try testing.expect(u.line());
}

test "in loop-back a byte comes back and does not wait for the wire" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_loop, 0);
    try testing.expectEqual(null, u.write(0, 'x', 0));
    try testing.expectEqual(uart.lsr_idle | uart.lsr_data, u.read(5, 0));
    try testing.expectEqual('x', u.read(0, 0));
}

test "received bytes come in order, with back-pressure" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2, 0);
    _ = u.write(1, uart.ier_receive, 0);
    for (0..uart.fifo_size) |i| try testing.expect(u.push(@intCast(i)));
    try testing.expect(!u.push(99));
    try testing.expect(u.line());
    for (0..uart.fifo_size) |i| {
        try testing.expectEqual(uart.lsr_data, u.read(5, 0) & 1);
        try testing.expectEqual(i, u.read(0, 0));
    }
    try testing.expectEqual(0, u.read(5, 0) & 1);
    try testing.expect(!u.line());
}
