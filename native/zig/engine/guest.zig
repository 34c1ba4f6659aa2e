//! Guest memory as a device thread uses it: through the guest mapping, so that a page that is not
//! here faults and the engine brings it, as for a vCPU. Addresses are the guest's and may be
//! anything; those outside of RAM are an error and never touched.
//!
//! A thread may wait here for another node, so it holds no lock meanwhile and never is the engine's
//! own. And the host's kernel is never handed these addresses: a system call that faults inside the
//! kernel cannot be interrupted well, so data goes through a buffer of the thread.

const std = @import("std");
const memory_room = @import("memory.zig");
const Memory = memory_room.Memory;

pub const Guest = struct {
    memory: *const Memory,

    pub fn read(self: Guest, gpa: u64, out: []u8) error{BadAddress}!void {
        @memcpy(out, try self.part(gpa, out.len));
    }

    pub fn write(self: Guest, gpa: u64, bytes: []const u8) error{BadAddress}!void {
        @memcpy(try self.part(gpa, bytes.len), bytes);
    }

    /// One aligned word; what the guest stored before it is seen after it.
    pub fn load16(self: Guest, gpa: u64) error{BadAddress}!u16 {
        return @atomicLoad(u16, try self.word(gpa), .acquire);
    }

    /// One aligned word; whoever sees it sees what was stored before it.
    pub fn store16(self: Guest, gpa: u64, value: u16) error{BadAddress}!void {
        @atomicStore(u16, try self.word(gpa), value, .release);
    }

    /// No later load is made before an earlier store can be seen.
    pub fn fence(_: Guest) void {
        asm volatile ("mfence" ::: .{ .memory = true });
    }

    fn word(self: Guest, gpa: u64) error{BadAddress}!*u16 {
        if (gpa % 2 != 0) return error.BadAddress;
        return @ptrCast(@alignCast((try self.part(gpa, 2)).ptr));
    }

    fn part(self: Guest, gpa: u64, length: usize) error{BadAddress}![]u8 {
        if (length == 0) return &.{};
        const last_gpa = std.math.add(u64, gpa, length - 1) catch return error.BadAddress;
        const first = memory_room.offsetOf(gpa, self.memory.ram_bytes) orelse
            return error.BadAddress;
        const last = memory_room.offsetOf(last_gpa, self.memory.ram_bytes) orelse
            return error.BadAddress;
        // One piece: the hole lies between two that look alike.
        if (last - first != length - 1) return error.BadAddress;
        return self.memory.guest[@intCast(gpa)..][0..length];
    }
};

const testing = std.testing;

test "only RAM is touched, wherever a range begins and ends" {
    const page = memory_room.page_size;
    var bytes: [2 * page]u8 align(page) = @splat(0);
    const memory: Memory = .{
        .by_copy = null,
        .memfd = -1,
        .uffd = -1,
        .ram_bytes = bytes.len,
        .guest = &bytes,
        .alias = &bytes,
    };
    const guest: Guest = .{ .memory = &memory };
    try guest.write(2 * page - 4, "last");
    var out: [4]u8 = undefined;
    try guest.read(2 * page - 4, &out);
    try testing.expectEqualStrings("last", &out);
    try guest.store16(page, 0x1234);
    try testing.expectEqual(0x1234, try guest.load16(page));
    const max = std.math.maxInt(u64);
    for ([_]u64{ 2 * page - 3, 2 * page, 3 << 30, 4 << 30, max - 2, max }) |gpa| {
        try testing.expectError(error.BadAddress, guest.write(gpa, "last"));
        try testing.expectError(error.BadAddress, guest.read(gpa, &out));
    }
    for ([_]u64{ 1, 2 * page, max }) |gpa| {
        try testing.expectError(error.BadAddress, guest.load16(gpa));
        try testing.expectError(error.BadAddress, guest.store16(gpa, 0));
    }
    try guest.read(max, out[0..0]);
}

test "a range that would span the hole is none" {
    const low = memory_room.low_bytes;
    // Never touched: only its bounds are looked at.
    const nowhere: []align(memory_room.page_size) u8 = @as(
        [*]align(memory_room.page_size) u8,
        @ptrFromInt(memory_room.page_size),
    )[0 .. 5 << 30];
    const memory: Memory = .{
        .by_copy = null,
        .memfd = -1,
        .uffd = -1,
        .ram_bytes = low + memory_room.page_size,
        .guest = nowhere,
        .alias = nowhere,
    };
    const guest: Guest = .{ .memory = &memory };
    var out: [8]u8 = undefined;
    try testing.expectError(error.BadAddress, guest.read(low - 4, &out));
    try testing.expectError(error.BadAddress, guest.read(low, &out));
    try testing.expectError(error.BadAddress, guest.read((4 << 30) - 4, &out));
}
