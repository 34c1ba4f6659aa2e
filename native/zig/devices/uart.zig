//! 16550A serial port (National PC16550D data sheet): enough of it for firmware, Linux's 8250
//! driver with interrupts, and small kernels that poll. A byte stays in the transmitter, and THRE
//! and TEMT clear, until the wire has room for more (`settle`): so whoever reads the output slowly
//! slows the guest and loses nothing. The wire takes bytes all the while, which forgives more than
//! a transmitter of 16 bytes would; so FCR's reset of that FIFO finds nothing to throw away.

const std = @import("std");
const assert = std.debug.assert;

const fifo_size = 16;

const ier_receive = 1;
const ier_transmit = 2;
const iir_none = 1;
const iir_transmit = 2;
const iir_receive = 4;
const iir_fifos = 0xc0;
const lcr_divisor = 0x80;
const mcr_out2 = 8;
const mcr_loop = 0x10;
const lsr_data = 1;
const lsr_idle = 0x60;
const msr_ready = 0xb0;

pub const Uart = struct {
    ier: u8 = 0,
    lcr: u8 = 0,
    mcr: u8 = 0,
    scratch: u8 = 0,
    divisor: u16 = 12,
    fifos: bool = false,
    /// THRE and TEMT: what was written has left.
    empty: bool = true,
    /// A transmit interrupt is due: THR became empty, or was found so when enabled.
    transmit_due: bool = false,
    fifo: [fifo_size]u8 = undefined,
    length: u8 = 0,

    /// Level of the interrupt line. OUT2 gates it on a PC.
    pub fn line(self: *const Uart) bool {
        return self.identify() & iir_none == 0 and self.mcr & mcr_out2 != 0;
    }

    fn identify(self: *const Uart) u8 {
        const fifos: u8 = if (self.fifos) iir_fifos else 0;
        if (self.ier & ier_receive != 0 and self.length > 0) return fifos | iir_receive;
        if (self.ier & ier_transmit != 0 and self.transmit_due) return fifos | iir_transmit;
        return fifos | iir_none;
    }

    pub fn read(self: *Uart, register: u3) u8 {
        const divisor = self.lcr & lcr_divisor != 0;
        return switch (register) {
            0 => if (divisor) @truncate(self.divisor) else self.pop(),
            1 => if (divisor) @truncate(self.divisor >> 8) else self.ier,
            2 => self.readIdentification(),
            3 => self.lcr,
            4 => self.mcr,
            5 => @as(u8, if (self.empty) lsr_idle else 0) |
                @as(u8, if (self.length > 0) lsr_data else 0),
            6 => self.modemStatus(),
            7 => self.scratch,
        };
    }

    /// A byte for the wire, null for every other write. `settle` has to follow.
    pub fn write(self: *Uart, register: u3, value: u8) ?u8 {
        const divisor = self.lcr & lcr_divisor != 0;
        switch (register) {
            0 => {
                if (divisor) {
                    self.divisor = (self.divisor & 0xff00) | value;
                    return null;
                }
                if (self.mcr & mcr_loop == 0) {
                    self.transmit_due = false;
                    self.empty = false;
                    return value;
                }
                self.transmit_due = self.empty;
                _ = self.push(value);
            },
            1 => if (divisor) {
                self.divisor = (self.divisor & 0xff) | @as(u16, value) << 8;
            } else {
                const rising = value & ~self.ier & ier_transmit != 0;
                self.ier = value & 0xf;
                if (rising and self.empty) self.transmit_due = true;
            },
            2 => {
                self.fifos = value & 1 != 0;
                if (value & 2 != 0) self.length = 0;
            },
            3 => self.lcr = value,
            4 => self.mcr = value & 0x1f,
            5, 6 => {},
            7 => self.scratch = value,
        }
        return null;
    }

    /// What was written leaves the transmitter if the wire is `ready` for more. After each write,
    /// and whenever the wire may have become ready.
    pub fn settle(self: *Uart, ready: bool) void {
        if (self.empty or !ready) return;
        self.empty = true;
        self.transmit_due = true;
    }

    /// Takes a received byte; false when there is no room.
    pub fn push(self: *Uart, byte: u8) bool {
        if (self.length == fifo_size) return false;
        self.fifo[self.length] = byte;
        self.length += 1;
        return true;
    }

    fn pop(self: *Uart) u8 {
        if (self.length == 0) return 0;
        const byte = self.fifo[0];
        self.length -= 1;
        std.mem.copyForwards(u8, self.fifo[0..self.length], self.fifo[1 .. self.length + 1]);
        return byte;
    }

    /// Reading IIR ends a transmit interrupt when that is what it reports.
    fn readIdentification(self: *Uart) u8 {
        const value = self.identify();
        if (value & 0xf == iir_transmit) self.transmit_due = false;
        return value;
    }

    fn modemStatus(self: *const Uart) u8 {
        if (self.mcr & mcr_loop == 0) return msr_ready;
        // DTR -> DSR, RTS -> CTS, OUT1 -> RI, OUT2 -> DCD.
        const m = self.mcr;
        return (m & 1) << 5 | (m & 2) << 3 | (m & 4) << 4 | (m & 8) << 4;
    }
};

const testing = std.testing;

test "Linux's autoconfiguration finds a 16550A" {
    var u: Uart = .{};
    _ = u.write(1, 0);
    try testing.expectEqual(0, u.read(1) & 0xf);
    _ = u.write(1, 0xf);
    try testing.expectEqual(0xf, u.read(1) & 0xf);
    _ = u.write(1, 0);
    // Loop-back: what RTS and OUT2 say comes back as CTS and DCD.
    _ = u.write(4, mcr_loop | 0xa);
    try testing.expectEqual(0x90, u.read(6) & 0xf0);
    _ = u.write(4, 0);
    _ = u.write(2, 1);
    try testing.expectEqual(3, u.read(2) >> 6);
    _ = u.write(7, 0x5a);
    try testing.expectEqual(0x5a, u.read(7));
}

test "transmit interrupt when enabled and after each byte, gone after reading IIR" {
    var u: Uart = .{};
    _ = u.write(4, mcr_out2);
    try testing.expect(!u.line());
    _ = u.write(1, ier_transmit);
    try testing.expect(u.line());
    try testing.expectEqual(iir_transmit, u.read(2));
    try testing.expect(!u.line());
    try testing.expectEqual('x', u.write(0, 'x').?);
    u.settle(true);
    try testing.expect(u.line());
}

test "while a byte is held THR is not empty and no interrupt is due, then both come" {
    var u: Uart = .{};
    _ = u.write(4, mcr_out2);
    _ = u.write(1, ier_transmit);
    _ = u.write(2, 1);
    try testing.expectEqual('x', u.write(0, 'x').?);
    u.settle(false);
    // Neither enabling the interrupt again nor a reset of the FIFOs ends it.
    _ = u.write(1, 0);
    _ = u.write(1, ier_transmit);
    _ = u.write(2, 7);
    try testing.expectEqual(0, u.read(5) & lsr_idle);
    try testing.expectEqual(iir_fifos | iir_none, u.read(2));
    try testing.expect(!u.line());
    u.settle(false);
    try testing.expect(!u.line());
    u.settle(true);
    try testing.expectEqual(lsr_idle, u.read(5) & lsr_idle);
    try testing.expect(u.line());
    try testing.expectEqual(iir_fifos | iir_transmit, u.read(2));
    u.settle(true);
    try testing.expect(!u.line());
}

test "in loop-back a byte comes back and does not wait for the wire" {
    var u: Uart = .{};
    _ = u.write(4, mcr_loop);
    try testing.expectEqual(null, u.write(0, 'x'));
    try testing.expectEqual(lsr_idle | lsr_data, u.read(5));
    try testing.expectEqual('x', u.read(0));
}

test "received bytes come in order, with back-pressure" {
    var u: Uart = .{};
    _ = u.write(4, mcr_out2);
    _ = u.write(1, ier_receive);
    for (0..fifo_size) |i| try testing.expect(u.push(@intCast(i)));
    try testing.expect(!u.push(99));
    try testing.expect(u.line());
    for (0..fifo_size) |i| {
        try testing.expectEqual(lsr_data, u.read(5) & 1);
        try testing.expectEqual(i, u.read(0));
    }
    try testing.expectEqual(0, u.read(5) & 1);
    try testing.expect(!u.line());
}
