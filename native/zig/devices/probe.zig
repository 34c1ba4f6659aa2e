//! A device for tests: it shows whether an access arrived once, whole and in order. The built-in
//! guest checks forwarding with it, and prints and powers off through it where port I/O cannot be
//! used.
//!
//! 8-byte registers: 0x00-0x38 store what is written; 0x40 counts accesses to those; 0x48 is a FIFO
//! (write pushes, read pops, 0 when empty); 0x50 adds up what is written; 0x58 counts its own
//! reads, the first gets 0; 0x80 prints a byte, and reads as 1 while
//! whoever looks may print 16 (board.zig); 0x88 powers off with a code.

const std = @import("std");

pub const bytes = 0x90;
/// Read by the board, which knows the room.
pub const print_offset = 0x80;
const fifo_size = 64;

pub const Outcome = struct { byte: ?u8 = null, exit_code: ?u32 = null };

pub const Probe = struct {
    registers: [8]u64 = @splat(0),
    accesses: u64 = 0,
    fifo: [fifo_size]u64 = undefined,
    head: usize = 0,
    length: usize = 0,
    sum: u64 = 0,
    tickets: u64 = 0,

    pub fn read(self: *Probe, offset: u64) u64 {
        switch (offset) {
            0...0x3f => {
                self.accesses += 1;
                return self.registers[offset / 8] >> @intCast(8 * (offset % 8));
            },
            0x40 => return self.accesses,
            0x48 => {
                if (self.length == 0) return 0;
                const value = self.fifo[self.head];
                self.head = (self.head + 1) % fifo_size;
                self.length -= 1;
                return value;
            },
            0x50 => return self.sum,
            0x58 => {
                defer self.tickets += 1;
                return self.tickets;
            },
            else => return 0,
        }
    }

    /// Writes `size` bytes of `value`; parts of a register keep the rest of it.
    pub fn write(self: *Probe, offset: u64, value: u64, size: usize) Outcome {
        switch (offset) {
            0...0x3f => {
                self.accesses += 1;
                const shift: u6 = @intCast(8 * (offset % 8));
                const all: u64 = std.math.maxInt(u64);
                const width = if (size >= 8) all else (@as(u64, 1) << @intCast(8 * size)) - 1;
                const mask = width << shift;
                const register = &self.registers[offset / 8];
                register.* = (register.* & ~mask) | (value << shift & mask);
            },
            0x48 => {
                if (self.length == fifo_size) return .{};
                self.fifo[(self.head + self.length) % fifo_size] = value;
                self.length += 1;
            },
            0x50 => self.sum +%= value,
            print_offset => return .{ .byte = @truncate(value) },
            0x88 => return .{ .exit_code = @truncate(value) },
            else => {},
        }
        return .{};
    }
};

test "registers keep their parts, the FIFO its order" {
    var p: Probe = .{};
    _ = p.write(8, 0x1122334455667788, 8);
    _ = p.write(10, 0xaabb, 2);
    try std.testing.expectEqual(0x11223344aabb7788, p.read(8));
    try std.testing.expectEqual(3, p.read(0x40));
    _ = p.write(0x48, 1, 8);
    _ = p.write(0x48, 2, 8);
    try std.testing.expectEqual(1, p.read(0x48));
    try std.testing.expectEqual(2, p.read(0x48));
    try std.testing.expectEqual(0, p.read(0x48));
    _ = p.write(0x50, 3, 8);
    _ = p.write(0x50, 4, 8);
    try std.testing.expectEqual(7, p.read(0x50));
    try std.testing.expectEqual(0, p.read(0x58));
    try std.testing.expectEqual(1, p.read(0x58));
    try std.testing.expectEqual('x', p.write(0x80, 'x', 1).byte.?);
}
