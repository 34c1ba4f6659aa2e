//! The registers of a virtio function against a driver that does as the specification says, and
//! against one that does not.

const std = @import("std");
const config = @import("../pci/config.zig");
const function_room = @import("../pci/function.zig");
const room = @import("transport.zig");
const Effects = function_room.Effects;
const Transport = room.Transport;
const testing = std.testing;

const own_config = [_]u8{ 1, 2, 3, 4, 5, 6, 7, 8, 9 };
const feature = 1 << 5;
const number = 3;
const bell: u32 = 1 << number;

/// A device on the bus, with what its last accesses asked for.
const Rig = struct {
    transport: Transport,
    effects: Effects = .{},

    fn init() Rig {
        var self: Rig = .{ .transport = .init(&.{
            .kind = 2,
            .class = 0x01_80_00,
            .features = feature,
            .config = &own_config,
        }) };
        self.transport.function.number = number;
        self.transport.function.setBar(0, 0xc000_0000);
        self.command(config.command_memory | config.command_bus_master);
        return self;
    }

    fn command(self: *Rig, value: u16) void {
        const bytes = std.mem.toBytes(value);
        self.transport.function.writeConfig(config.command, &bytes, &self.effects);
    }

    fn set(self: *Rig, comptime T: type, offset: u64, value: T) void {
        var data = std.mem.toBytes(value);
        self.transport.function.access(0, offset, true, &data, &self.effects);
    }

    fn get(self: *Rig, comptime T: type, offset: u64) T {
        var data: [@sizeOf(T)]u8 = @splat(0xee);
        self.transport.function.access(0, offset, false, &data, &self.effects);
        return std.mem.readInt(T, &data, .little);
    }

    fn wakes(self: *Rig) u32 {
        defer self.effects = .{};
        return self.effects.wakes;
    }

    fn negotiate(self: *Rig, low: u32) void {
        self.set(u8, 20, 1);
        self.set(u8, 20, 3);
        self.set(u32, 8, 0);
        self.set(u32, 12, low);
        self.set(u32, 8, 1);
        self.set(u32, 12, 1);
        self.set(u8, 20, 11);
    }

    fn enableQueue(self: *Rig) void {
        self.set(u16, 24, 8);
        self.set(u64, 32, 0x1000);
        self.set(u32, 40, 0x2000);
        self.set(u32, 44, 0);
        self.set(u32, 48, 0x3000);
        self.set(u32, 52, 1);
        self.set(u16, 28, 1);
    }

    fn messages(self: *Rig, queue_vector: u16) void {
        for ([_]u64{ 0x4000, 0x4010 }) |entry| {
            self.set(u32, entry, 0xfee0_0000);
            self.set(u32, entry + 8, @intCast(0x30 + (entry >> 4 & 1)));
            self.set(u32, entry + 12, 0);
        }
        const control = std.mem.toBytes(@as(u16, 1 << 15));
        const at = self.transport.function.msix_at + 2;
        self.transport.function.writeConfig(at, &control, &self.effects);
        self.set(u16, 16, 0);
        self.set(u16, 26, queue_vector);
    }
};

test "a driver negotiates, fills in its queue and is heard" {
    var rig: Rig = .init();
    const space = &rig.transport.function.space;
    try testing.expectEqual(0x1042_1af4, space.get(u32, 0));
    try testing.expectEqual(feature | 3 << 28, rig.get(u32, 4));
    rig.set(u32, 0, 1);
    try testing.expectEqual(1, rig.get(u32, 4));
    rig.set(u32, 0, 2);
    try testing.expectEqual(0, rig.get(u32, 4));
    rig.negotiate(feature);
    try testing.expectEqual(11, rig.get(u8, 20));
    try testing.expectEqual(1, rig.get(u16, 18));
    try testing.expectEqual(256, rig.get(u16, 24));
    rig.enableQueue();
    try testing.expectEqual(null, rig.transport.take());
    _ = rig.wakes();
    rig.set(u8, 20, 15);
    try testing.expectEqual(bell, rig.wakes());
    rig.set(u16, 0x3000, 0);
    try testing.expectEqual(bell, rig.wakes());
    const work = rig.transport.take().?;
    try testing.expectEqual(8, work.layout.size);
    try testing.expectEqual(0x1_0000_3000, work.layout.device);
    try testing.expectEqual(0x1000, rig.get(u64, 32));
    try testing.expect(work.has(feature) and !work.has(room.feature_event_index));
    // The form is closed: neither features nor addresses change any more.
    rig.set(u32, 12, 0);
    rig.set(u64, 32, 0x9000);
    rig.set(u16, 24, 16);
    try testing.expectEqual(work, rig.transport.take().?);
    // A queue that is not there has no entries.
    rig.set(u16, 22, 1);
    try testing.expectEqual(0, rig.get(u16, 24));
}

test "features that were not offered, or no version 1, are refused" {
    var rig: Rig = .init();
    rig.negotiate(feature << 1);
    try testing.expectEqual(3, rig.get(u8, 20));
    rig.set(u8, 20, 15);
    try testing.expectEqual(3, rig.get(u8, 20) & 15);
    rig.set(u8, 20, 0);
    rig.set(u32, 8, 0);
    rig.set(u32, 12, feature);
    rig.set(u8, 20, 11);
    try testing.expectEqual(3, rig.get(u8, 20));
}

test "a reset is over when the thread has let go" {
    var rig: Rig = .init();
    rig.negotiate(0);
    rig.enableQueue();
    rig.set(u8, 20, 15);
    const before = rig.transport.take().?;
    _ = rig.wakes();
    rig.set(u8, 20, 0);
    try testing.expectEqual(bell, rig.wakes());
    try testing.expect(rig.get(u8, 20) != 0);
    // What it still completes interrupts nobody.
    rig.transport.interrupt(before.generation, &rig.effects);
    try testing.expectEqual(0, rig.get(u8, 0x1000));
    try testing.expectEqual(null, rig.transport.take());
    try testing.expectEqual(0, rig.get(u8, 20));
    try testing.expectEqual(0, rig.get(u64, 32));
    rig.negotiate(0);
    rig.enableQueue();
    rig.set(u8, 20, 15);
    const after = rig.transport.take().?;
    try testing.expect(after.generation != before.generation);
    rig.transport.interrupt(before.generation, &rig.effects);
    try testing.expectEqual(0, rig.get(u8, 0x1000));
}

test "a reset of the function is one of the device, without the bus it does nothing" {
    var rig: Rig = .init();
    rig.negotiate(0);
    rig.enableQueue();
    rig.set(u8, 20, 15);
    _ = rig.wakes();
    rig.command(config.command_memory);
    try testing.expectEqual(bell, rig.wakes());
    try testing.expectEqual(null, rig.transport.take());
    // Nothing is new to it.
    rig.command(config.command_memory);
    try testing.expectEqual(0, rig.wakes());
    rig.command(config.command_memory | config.command_bus_master);
    try testing.expectEqual(bell, rig.wakes());
    try testing.expect(rig.transport.take() != null);
    const control = rig.transport.function.express_at + 8;
    const initiate = std.mem.toBytes(@as(u16, 1 << 15));
    rig.transport.function.writeConfig(@intCast(control), &initiate, &rig.effects);
    try testing.expectEqual(null, rig.transport.take());
    rig.command(config.command_memory | config.command_bus_master);
    try testing.expectEqual(0, rig.get(u8, 20));
}

test "interrupts by message, each vector its own, or by the line until it is read" {
    var rig: Rig = .init();
    rig.negotiate(0);
    rig.enableQueue();
    rig.set(u8, 20, 15);
    const work = rig.transport.take().?;
    rig.transport.interrupt(work.generation, &rig.effects);
    try testing.expect(rig.transport.function.line());
    try testing.expectEqual(1, rig.get(u8, 0x1000));
    try testing.expect(!rig.transport.function.line());
    try testing.expectEqual(0, rig.get(u8, 0x1000));
    rig.messages(1);
    try testing.expectEqual(1, rig.get(u16, 26));
    rig.effects = .{};
    rig.transport.interrupt(work.generation, &rig.effects);
    try testing.expectEqual(1, rig.effects.requests().len);
    try testing.expectEqual(0x31, rig.effects.requests()[0].vector);
    rig.effects = .{};
    rig.transport.fail(&rig.effects);
    try testing.expectEqual(0x30, rig.effects.requests()[0].vector);
    try testing.expectEqual(15 | 0x40, rig.get(u8, 20));
    try testing.expectEqual(null, rig.transport.take());
    // Only a reset helps.
    rig.set(u8, 20, 15);
    try testing.expectEqual(15 | 0x40, rig.get(u8, 20));
    rig.set(u8, 20, 0);
    try testing.expectEqual(0, rig.get(u8, 20));
    // A vector that is not there is none.
    rig.set(u16, 26, 2);
    try testing.expectEqual(0xffff, rig.get(u16, 26));
}

test "a queue no ring can have needs a reset" {
    for ([_]u16{ 0, 7, 512 }) |size| {
        var rig: Rig = .init();
        rig.negotiate(0);
        rig.set(u16, 24, size);
        rig.set(u16, 28, 1);
        try testing.expectEqual(0, rig.get(u16, 28));
        try testing.expect(rig.get(u8, 20) & 0x40 != 0);
    }
}

test "the device's configuration is read at any width, and ends" {
    var rig: Rig = .init();
    try testing.expectEqual(0x0807_0605_0403_0201, rig.get(u64, 0x2000));
    try testing.expectEqual(9, rig.get(u32, 0x2008));
    try testing.expectEqual(0, rig.get(u32, 0x2800));
    rig.set(u32, 0x2000, 0);
    try testing.expectEqual(1, rig.get(u8, 0x2000));
}

test "the same through configuration space" {
    var rig: Rig = .init();
    const function = &rig.transport.function;
    const at = function.own_at[4];
    const words = [_]u32{ 0x2004, 2 };
    function.writeConfig(at + 8, std.mem.asBytes(&words[0]), &rig.effects);
    function.writeConfig(at + 12, std.mem.asBytes(&words[1]), &rig.effects);
    var data: [2]u8 = undefined;
    function.readConfig(at + 16, &data, &rig.effects);
    try testing.expectEqualSlices(u8, &.{ 5, 6 }, &data);
    // The notification's place, written: a doorbell.
    function.writeConfig(at + 8, std.mem.asBytes(&@as(u32, 0x3000)), &rig.effects);
    rig.effects = .{};
    function.writeConfig(at + 16, &.{ 0, 0 }, &rig.effects);
    try testing.expectEqual(bell, rig.wakes());
    // Outside of the BAR, askew, of an odd length: nothing.
    for ([_][2]u32{ .{ 0x8000, 4 }, .{ 0x2002, 4 }, .{ 0x2000, 3 } }) |bad| {
        function.writeConfig(at + 8, std.mem.asBytes(&bad[0]), &rig.effects);
        function.writeConfig(at + 12, std.mem.asBytes(&bad[1]), &rig.effects);
        function.readConfig(at + 16, &data, &rig.effects);
        function.writeConfig(at + 16, &data, &rig.effects);
    }
}
