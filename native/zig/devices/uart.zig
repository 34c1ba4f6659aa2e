//! 16550A serial port (National PC16550D data sheet): enough of it for firmware, Linux's 8250
//! driver with interrupts, and small kernels that poll. A byte stays in the transmitter, and THRE
//! and TEMT clear, until the wire has room for more (`settle`): so whoever reads the output slowly
//! slows the guest and loses nothing. The wire takes bytes all the while, which forgives more than
//! a transmitter of 16 bytes would; so FCR's reset of that FIFO finds nothing to throw away.
//!
//! THRE is set at once, its interrupt not always (pace.zig).

const std = @import("std");
const Pace = @import("pace.zig").Pace;
const assert = std.debug.assert;

pub const fifo_size = 16;

pub const ier_receive = 1;
pub const ier_transmit = 2;
pub const iir_none = 1;
pub const iir_transmit = 2;
const iir_receive = 4;
pub const iir_fifos = 0xc0;
const lcr_divisor = 0x80;
pub const mcr_loop = 0x10;
pub const lsr_data = 1;
pub const lsr_idle = 0x60;
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
    /// When it will be due.
    transmit_at_ns: ?u64 = null,
    pace: Pace = .{},
    fifo: [fifo_size]u8 = undefined,
    length: u8 = 0,
    /// Without FIFOs each received byte is an interrupt of its own: one was read in this access,
    /// the next is not in RBR yet.
    between_bytes: bool = false,

    /// Level of the interrupt line, whatever OUT2 says, as in QEMU: on a PC's board that gates it,
    /// and small kernels (sv6, xv6) leave it clear.
    pub fn line(self: *const Uart) bool {
        return self.identify() & iir_none == 0;
    }

    fn identify(self: *const Uart) u8 {
        const fifos: u8 = if (self.fifos) iir_fifos else 0;
        const received = self.length > 0 and !self.between_bytes;
        if (self.ier & ier_receive != 0 and received) return fifos | iir_receive;
        if (self.ier & ier_transmit != 0 and self.transmit_due) return fifos | iir_transmit;
        return fifos | iir_none;
    }

    pub fn read(self: *Uart, register: u3, now_ns: u64) u8 {
        const divisor = self.lcr & lcr_divisor != 0;
        return switch (register) {
            0 => if (divisor) @truncate(self.divisor) else self.pop(),
            1 => if (divisor) @truncate(self.divisor >> 8) else self.ier,
            2 => self.readIdentification(now_ns),
            3 => self.lcr,
            4 => self.mcr,
            5 => @as(u8, if (self.empty) lsr_idle else 0) |
                @as(u8, if (self.length > 0) lsr_data else 0),
            6 => self.modemStatus(),
            7 => self.scratch,
        };
    }

    /// A byte for the wire, null for every other write. `settle` has to follow.
    pub fn write(self: *Uart, register: u3, value: u8, now_ns: u64) ?u8 {
        const divisor = self.lcr & lcr_divisor != 0;
        switch (register) {
            0 => {
                if (divisor) {
                    self.divisor = (self.divisor & 0xff00) | value;
                    return null;
                }
                if (self.mcr & mcr_loop == 0) {
                    if (self.ier & ier_transmit != 0) self.pace.wrote(now_ns);
                    self.transmit_due = false;
                    self.transmit_at_ns = null;
                    self.empty = false;
                    return value;
                }
                self.transmit_due = self.empty;
                self.transmit_at_ns = null;
                _ = self.push(value);
            },
            1 => if (divisor) {
                self.divisor = (self.divisor & 0xff) | @as(u16, value) << 8;
            } else {
                const rising = value & ~self.ier & ier_transmit != 0;
                self.ier = value & 0xf;
                if (rising and self.empty) self.transmitted(now_ns);
            },
            2 => {
                const fifos = value & 1 != 0;
                // What was in the other kind of register is gone.
                if (value & 2 != 0 or fifos != self.fifos) self.length = 0;
                self.fifos = fifos;
            },
            3 => self.lcr = value,
            4 => self.mcr = value & 0x1f,
            5, 6 => {},
            7 => self.scratch = value,
        }
        return null;
    }

    /// What was written leaves the transmitter if the wire is `ready` for more. After each access,
    /// and when the wire has become ready. The line may fall and rise again in one access: look at
    /// it before this, too.
    pub fn settle(self: *Uart, ready: bool, now_ns: u64) void {
        self.between_bytes = false;
        if (!self.empty and ready) self.transmitted(now_ns);
    }

    /// THR is empty. Its interrupt is due as soon as the guest's pace allows, or at once without
    /// FIFOs: Linux tries so whether this port works as it should (serial8250_do_startup).
    fn transmitted(self: *Uart, now_ns: u64) void {
        self.empty = true;
        const at_ns = if (self.fifos) self.pace.next(now_ns) else now_ns;
        self.transmit_due = at_ns <= now_ns;
        self.transmit_at_ns = if (self.transmit_due) null else at_ns;
        if (self.line()) self.pace.came(now_ns);
    }

    /// The interrupt of what has left comes due. Before each access and at the deadline.
    pub fn tick(self: *Uart, now_ns: u64) void {
        if (self.transmit_at_ns orelse return > now_ns) return;
        self.transmit_due = true;
        self.transmit_at_ns = null;
        if (self.line()) self.pace.paused(now_ns);
    }

    /// When the interrupt line may rise by itself.
    pub fn deadline(self: *const Uart) ?u64 {
        return if (self.ier & ier_transmit != 0) self.transmit_at_ns else null;
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
        self.between_bytes = !self.fifos;
        return byte;
    }

    /// Reading IIR ends a transmit interrupt when that is what it reports.
    fn readIdentification(self: *Uart, now_ns: u64) u8 {
        const value = self.identify();
        if (value & 0xf == iir_transmit) {
            self.transmit_due = false;
            self.pace.looked();
        }
        if (value & 0xf == iir_none) self.left(now_ns);
        return value;
    }

    /// The handler leaves: from here on the guest is free.
    fn left(self: *Uart, now_ns: u64) void {
        self.pace.left(self.transmit_at_ns != null or !self.empty, now_ns);
        if (self.transmit_at_ns) |at_ns| {
            self.transmit_at_ns = @max(at_ns, self.pace.quiet_until_ns);
        }
    }

    fn modemStatus(self: *const Uart) u8 {
        if (self.mcr & mcr_loop == 0) return msr_ready;
        // DTR -> DSR, RTS -> CTS, OUT1 -> RI, OUT2 -> DCD.
        const m = self.mcr;
        return (m & 1) << 5 | (m & 2) << 3 | (m & 4) << 4 | (m & 8) << 4;
    }
};
