//! The driver's side of a split virtqueue for tests, in a memory of a few pages: writes descriptors
//! and indices, good and bad ones, and reads what the device gave back.

const std = @import("std");
const queue = @import("queue.zig");

pub const Memory = struct {
    bytes: [32768]u8 = @splat(0),
    /// Called at every fence: what the driver does at that very moment.
    at_fence: ?*const fn (*Memory) void = null,

    pub fn read(self: *Memory, gpa: u64, out: []u8) error{BadAddress}!void {
        @memcpy(out, try self.part(gpa, out.len));
    }

    pub fn write(self: *Memory, gpa: u64, bytes: []const u8) error{BadAddress}!void {
        @memcpy(try self.part(gpa, bytes.len), bytes);
    }

    pub fn load16(self: *Memory, gpa: u64) error{BadAddress}!u16 {
        return std.mem.readInt(u16, (try self.part(gpa, 2))[0..2], .little);
    }

    pub fn store16(self: *Memory, gpa: u64, value: u16) error{BadAddress}!void {
        std.mem.writeInt(u16, (try self.part(gpa, 2))[0..2], value, .little);
    }

    pub fn fence(self: *Memory) void {
        if (self.at_fence) |act| act(self);
    }

    fn part(self: *Memory, gpa: u64, length: usize) error{BadAddress}![]u8 {
        if (gpa > self.bytes.len or length > self.bytes.len - gpa) return error.BadAddress;
        return self.bytes[@intCast(gpa)..][0..length];
    }
};

pub const next = 1;
pub const writes = 2;
pub const indirect = 4;

/// A queue of 8 entries at fixed places.
pub const layout: queue.Layout = .{
    .size = 8,
    .descriptors = 0x1000,
    .driver = 0x2000,
    .device = 0x3000,
};

pub fn descriptor(
    memory: *Memory,
    table: u64,
    index: u16,
    gpa: u64,
    length: u32,
    flags: u16,
    follower: u16,
) void {
    const to = memory.bytes[@intCast(table + 16 * @as(u64, index))..][0..16];
    std.mem.writeInt(u64, to[0..8], gpa, .little);
    std.mem.writeInt(u32, to[8..12], length, .little);
    std.mem.writeInt(u16, to[12..14], flags, .little);
    std.mem.writeInt(u16, to[14..16], follower, .little);
}

/// Makes a chain available.
pub fn offer(memory: *Memory, head: u16) void {
    const index = memory.load16(layout.driver + 2) catch unreachable;
    memory.store16(layout.driver + 4 + 2 * (index % layout.size), head) catch unreachable;
    memory.store16(layout.driver + 2, index +% 1) catch unreachable;
}

pub const Used = struct { index: u16, head: u32, written: u32 };

/// The used ring's index and its last entry.
pub fn lastUsed(memory: *Memory) Used {
    const index = memory.load16(layout.device + 2) catch unreachable;
    const entry = memory.bytes[@intCast(layout.device + 4 + 8 * ((index -% 1) % layout.size))..];
    return .{
        .index = index,
        .head = std.mem.readInt(u32, entry[0..4], .little),
        .written = std.mem.readInt(u32, entry[4..8], .little),
    };
}
