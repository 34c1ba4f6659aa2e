//! The serial port, asked as firmware and Linux's driver ask it.

const std = @import("std");
const uart = @import("uart.zig");
const Uart = uart.Uart;
const testing = std.testing;

test "Linux's autoconfiguration finds a 16550A" {
    var u: Uart = .{};
    _ = u.write(1, 0);
    try testing.expectEqual(0, u.read(1, 0) & 0xf);
    _ = u.write(1, 0xf);
    try testing.expectEqual(0xf, u.read(1, 0) & 0xf);
    _ = u.write(1, 0);
    // Loop-back: what RTS and OUT2 say comes back as CTS and DCD.
    _ = u.write(4, uart.mcr_loop | 0xa);
    try testing.expectEqual(0x90, u.read(6, 0) & 0xf0);
    _ = u.write(4, 0);
    _ = u.write(2, 1);
    try testing.expectEqual(3, u.read(2, 0) >> 6);
    _ = u.write(7, 0x5a);
    try testing.expectEqual(0x5a, u.read(7, 0));
}

test "transmit interrupt when enabled and after each byte, gone after reading IIR" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2);
    try testing.expect(!u.line());
    _ = u.write(1, uart.ier_transmit);
    try testing.expect(u.line());
    try testing.expectEqual(uart.iir_transmit, u.read(2, 0));
    try testing.expect(!u.line());
    try testing.expectEqual('x', u.write(0, 'x').?);
    u.settle(true, 0);
    try testing.expect(u.line());
}

test "while a byte is held THR is not empty and no interrupt is due, then both come" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2);
    _ = u.write(1, uart.ier_transmit);
    _ = u.write(2, 1);
    try testing.expectEqual('x', u.write(0, 'x').?);
    u.settle(false, 0);
    // Neither enabling the interrupt again nor a reset of the FIFOs ends it.
    _ = u.write(1, 0);
    _ = u.write(1, uart.ier_transmit);
    _ = u.write(2, 7);
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
            _ = u.write(0, 'x');
            u.settle(true, now_ns);
        }
    }
    return null;
}

test "a handler that finds no end leaves the guest a third of its time, fast or slow" {
    for ([_]u64{ 1_000, 150_000, 1_000_000, 6_000_000 }) |access_ns| {
        var u: Uart = .{};
        _ = u.write(4, uart.mcr_out2);
        _ = u.write(1, uart.ier_transmit);
        var now_ns: u64 = 77 * uart.burst_ns;
        for (0..4) |_| {
            try testing.expect(u.line());
            const left_ns = handler(&u, access_ns, now_ns) orelse return error.NeverLeaves;
            try testing.expect(left_ns - now_ns >= uart.burst_ns);
            try testing.expect(!u.line());
            // A handler that comes for a received byte prolongs nothing.
            _ = u.read(2, left_ns + 1);
            const again_ns = u.deadline().?;
            const third_ns = (left_ns - now_ns - access_ns) / 2 - access_ns;
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
    _ = u.write(4, uart.mcr_out2);
    _ = u.write(1, uart.ier_transmit);
    for (1..9) |i| {
        const now_ns = i * (uart.burst_ns - 1);
        _ = u.write(0, 'x');
        u.settle(true, now_ns);
        try testing.expect(u.line());
        try testing.expectEqual(uart.iir_transmit, u.read(2, now_ns));
        try testing.expectEqual(uart.iir_none, u.read(2, now_ns));
    }
}

test "who enables the transmit interrupt has it at once, however long it wrote" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2);
    for (0..2) |i| {
        _ = u.write(0, 'x');
        u.settle(true, i * uart.burst_ns);
        // Nobody waits for it.
        try testing.expectEqual(null, u.deadline());
    }
    _ = u.write(1, uart.ier_transmit);
    try testing.expect(u.line());
    try testing.expectEqual(null, u.deadline());
    // What it wrote before is no part of a burst.
    _ = u.write(0, 'x');
    u.settle(true, uart.burst_ns + 1);
    try testing.expect(u.line());
}

test "in loop-back a byte comes back and does not wait for the wire" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_loop);
    try testing.expectEqual(null, u.write(0, 'x'));
    try testing.expectEqual(uart.lsr_idle | uart.lsr_data, u.read(5, 0));
    try testing.expectEqual('x', u.read(0, 0));
}

test "received bytes come in order, with back-pressure" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_out2);
    _ = u.write(1, uart.ier_receive);
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
