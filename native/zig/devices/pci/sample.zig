//! A PCI device for tests with one of everything: registers in a 32-bit BAR, an MSI-X table in a
//! 64-bit one, INTA#, a capability that shows a register. A store to register 0 wakes its thread,
//! one to register 4 sets its line.

const std = @import("std");
const function = @import("function.zig");
const Effects = function.Effects;
const Function = function.Function;

const vendor_specific = 9;
/// Of the capability: length, a byte that means nothing, and four that show register 0.
const body = [_]u8{ 8, 0, 0, 0, 0, 0 };
pub const shown_at = 4;

pub const description: function.Description = .{
    .vendor = 0x1234,
    .device = 0x5678,
    .class = 0xff_00_00,
    .bars = .{
        .{ .bytes = 0x1000 },
        .{},
        .{ .bytes = 0x4000, .wide = true, .prefetchable = true },
        .{},
        .{},
        .{},
    },
    .msix = .{ .vectors = 4, .bar = 2, .pending = 0x800 },
    .line = true,
    .capabilities = &.{.{
        .id = vendor_specific,
        .body = &body,
        .writable = &.{ 0, 0, 0xff, 0xff, 0xff, 0xff },
    }},
};

const operations: function.Operations = .{
    .read = read,
    .write = write,
    .reset = reset,
    .capability_read = capabilityRead,
    .capability_written = capabilityWritten,
};

pub const Sample = struct {
    function: Function = .init(&description, &operations),
    register: u32 = 0,
    resets: u32 = 0,

    fn of(f: *Function) *Sample {
        return @fieldParentPtr("function", f);
    }
};

fn read(f: *Function, _: u3, offset: u64, data: []u8, _: *Effects) void {
    @memset(data, 0);
    if (offset == 0 and data.len >= 4) {
        std.mem.writeInt(u32, data[0..4], Sample.of(f).register, .little);
    }
}

fn write(f: *Function, _: u3, offset: u64, data: []const u8, effects: *Effects) void {
    if (data.len < 4) return;
    const value = std.mem.readInt(u32, data[0..4], .little);
    switch (offset) {
        0 => {
            Sample.of(f).register = value;
            f.wake(effects);
        },
        4 => f.setLine(value != 0),
        else => {},
    }
}

fn reset(f: *Function, _: *Effects) void {
    const self = Sample.of(f);
    self.register = 0;
    self.resets += 1;
}

fn capabilityRead(f: *Function, number: usize, _: u8, _: u8, _: *Effects) void {
    f.space.set(u32, f.own_at[number] + shown_at, Sample.of(f).register);
}

fn capabilityWritten(f: *Function, number: usize, at: u8, _: u8, _: *Effects) void {
    if (at != shown_at) return;
    Sample.of(f).register = f.space.get(u32, f.own_at[number] + shown_at);
}
