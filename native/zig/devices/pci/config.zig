//! Configuration space of a function (PCI Local Bus 3.0, chapter 6): 256 bytes, which of their bits
//! the guest may change, and the linked list of capabilities. What ECAM shows behind them reads as
//! zero, which says that there is no extended capability (PCI Express 5.0, 7.6.3).

const std = @import("std");
const assert = std.debug.assert;

pub const bytes = 256;
/// What ECAM shows of each function.
pub const extended_bytes = 4096;
pub const command = 0x04;
pub const status = 0x06;
pub const first_bar = 0x10;
pub const interrupt_line = 0x3c;
pub const interrupt_pin = 0x3d;

pub const command_memory = 1 << 1;
pub const command_bus_master = 1 << 2;
pub const command_no_line = 1 << 10;
const command_parity = 1 << 6;
const command_errors = 1 << 8;
pub const status_line = 1 << 3;
const status_capabilities = 1 << 4;

const cache_line = 0x0c;
const capabilities_pointer = 0x34;
const capabilities_start = 0x40;

pub const Space = struct {
    values: [bytes]u8 = @splat(0),
    /// Bits the guest may change.
    writable: [bytes]u8 = @splat(0),
    /// Where the next capability goes, and the byte that shall point to it.
    free: u16 = capabilities_start,
    link: u8 = capabilities_pointer,

    /// A type 0 header without any of its contents.
    pub fn init() Space {
        var self: Space = .{};
        const changes = command_memory | command_bus_master | command_parity | command_errors |
            command_no_line;
        std.mem.writeInt(u16, self.writable[command..][0..2], changes, .little);
        self.writable[cache_line] = 0xff;
        self.writable[interrupt_line] = 0xff;
        return self;
    }

    /// Any offset and length within the 4 KiB that ECAM shows.
    pub fn read(self: *const Space, offset: u12, data: []u8) void {
        for (data, offset..) |*byte, at| byte.* = if (at < bytes) self.values[at] else 0;
    }

    /// As the guest does it: only writable bits change.
    pub fn write(self: *Space, offset: u12, data: []const u8) void {
        for (data, offset..) |byte, at| {
            if (at >= bytes) return;
            const mask = self.writable[at];
            self.values[at] = (self.values[at] & ~mask) | (byte & mask);
        }
    }

    /// Appends a capability and returns its offset. `body` is what follows id and link; `changes`
    /// says which bits of it the guest may change, from its start.
    pub fn addCapability(self: *Space, id: u8, body: []const u8, changes: []const u8) u8 {
        assert(changes.len <= body.len);
        const at: u8 = @intCast(self.free);
        const end = self.free + 2 + body.len;
        assert(end <= bytes);
        self.values[at] = id;
        @memcpy(self.values[at + 2 ..][0..body.len], body);
        @memcpy(self.writable[at + 2 ..][0..changes.len], changes);
        self.values[self.link] = at;
        self.values[status] |= status_capabilities;
        self.link = at + 1;
        self.free = @intCast(std.mem.alignForward(usize, end, 4));
        return at;
    }

    pub fn get(self: *const Space, comptime T: type, at: usize) T {
        return std.mem.readInt(T, self.values[at..][0..@sizeOf(T)], .little);
    }

    /// Past the masks: what the function itself says.
    pub fn set(self: *Space, comptime T: type, at: usize, value: T) void {
        std.mem.writeInt(T, self.values[at..][0..@sizeOf(T)], value, .little);
    }

    pub fn allow(self: *Space, comptime T: type, at: usize, mask: T) void {
        std.mem.writeInt(T, self.writable[at..][0..@sizeOf(T)], mask, .little);
    }
};

const testing = std.testing;

test "only writable bits change, and nothing lies behind 256 bytes" {
    var space: Space = .init();
    space.write(command, &.{ 0xff, 0xff });
    try testing.expectEqual(0x0546, space.get(u16, command));
    space.write(0, &.{ 1, 2, 3, 4 });
    try testing.expectEqual(0, space.get(u32, 0));
    space.write(interrupt_line, &.{ 11, 12 });
    try testing.expectEqual(11, space.get(u16, interrupt_line));
    space.write(0xffe, &.{ 1, 2 });
    var data: [4]u8 = @splat(0xaa);
    space.read(0xfe, &data);
    try testing.expectEqualSlices(u8, &.{ 0, 0, 0, 0 }, &data);
}

test "capabilities are a list that ends" {
    var space: Space = .init();
    const first = space.addCapability(0x09, &.{ 5, 0xaa, 0xbb }, &.{ 0, 0x0f });
    const second = space.addCapability(0x11, &@as([10]u8, @splat(7)), &.{});
    try testing.expectEqual(first, space.values[0x34]);
    try testing.expectEqual(second, space.values[first + 1]);
    try testing.expectEqual(0, space.values[second + 1]);
    try testing.expectEqual(0x48, second);
    try testing.expectEqual(0x10, space.get(u16, status));
    space.write(first + 2, &.{ 0xff, 0xff, 0xff });
    try testing.expectEqualSlices(u8, &.{ 5, 0xaf, 0xbb }, space.values[first + 2 ..][0..3]);
}
