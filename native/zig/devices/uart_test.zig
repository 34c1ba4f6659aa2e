//! The serial port, asked as firmware and Linux's driver ask it.

const std = @import("std");
const uart = @import("uart.zig");
const Uart = uart.Uart;
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
    u.settle(true, 0);
    try testing.expectEqual(uart.lsr_idle, u.read(5, 0) & uart.lsr_idle);
    try testing.expect(u.line());
    try testing.expectEqual(uart.iir_fifos | uart.iir_transmit, u.read(2, 0));
    u.settle(true, 0);
    try testing.expect(!u.line());
}

test "in loop-back a byte comes back and does not wait for the wire" {
    var u: Uart = .{};
    _ = u.write(4, uart.mcr_loop, 0);
    try testing.expectEqual(null, u.write(0, 'x', 0));
    try testing.expectEqual(uart.lsr_idle | uart.lsr_data, u.read(5, 0));
    try testing.expectEqual('x', u.read(0, 0));
}

test "whoever turns the FIFOs on or off loses what they held" {
    var u: Uart = .{};
    for ([_]u8{ 1, 0 }) |fifos| {
        try testing.expect(u.push('x'));
        _ = u.write(2, fifos, 0);
        try testing.expectEqual(0, u.read(5, 0) & uart.lsr_data);
        try testing.expect(u.push('y'));
        _ = u.write(2, fifos, 0);
        try testing.expectEqual('y', u.read(0, 0));
    }
}

test "received bytes come in order, with back-pressure" {
    var u: Uart = .{};
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
