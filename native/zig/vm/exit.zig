//! What a vCPU wanted when it left the guest: the bytes of kvm_run as a tagged union. Pure, so each
//! exit is tested from a byte image.

const std = @import("std");
const kvm = @import("../sys/kvm.zig");

pub const Exit = union(enum) {
    port: struct { write: bool, port: u16, size: u8, count: u32 },
    mmio: struct { write: bool, address: u64, length: u8 },
    read_msr: u32,
    write_msr: struct { index: u32, value: u64 },
    halt,
    window,
    set_tpr,
    interrupted,
    /// Triple fault, or AMD's shutdown interception.
    shutdown,
    fail_entry: u64,
    internal: struct { suberror: u32, first: u64 },
    unknown: u32,
};

pub fn decode(run: *const kvm.Run) Exit {
    return switch (run.exit_reason) {
        2 => .{ .port = .{
            .write = run.exit.io.direction == 1,
            .port = run.exit.io.port,
            .size = run.exit.io.size,
            .count = run.exit.io.count,
        } },
        5 => .halt,
        6 => .{ .mmio = .{
            .write = run.exit.mmio.is_write != 0,
            .address = run.exit.mmio.address,
            .length = @intCast(@min(run.exit.mmio.length, 8)),
        } },
        7 => .window,
        8 => .shutdown,
        9 => .{ .fail_entry = run.exit.fail_entry.reason },
        10 => .interrupted,
        11 => .set_tpr,
        17 => .{ .internal = .{
            .suberror = run.exit.internal.suberror,
            .first = if (run.exit.internal.ndata > 0) run.exit.internal.data[0] else 0,
        } },
        29 => .{ .read_msr = run.exit.msr.index },
        30 => .{ .write_msr = .{ .index = run.exit.msr.index, .value = run.exit.msr.data } },
        else => |reason| .{ .unknown = reason },
    };
}

test "exits from byte images" {
    var bytes: [@sizeOf(kvm.Run)]u8 align(8) = @splat(0);
    const run: *kvm.Run = @ptrCast(&bytes);
    bytes[8] = 2;
    @memcpy(bytes[32..40], &[_]u8{ 1, 2, 0xf8, 0x03, 5, 0, 0, 0 });
    try std.testing.expectEqual(
        Exit{ .port = .{ .write = true, .port = 0x3f8, .size = 2, .count = 5 } },
        decode(run),
    );
    bytes[8] = 6;
    @memset(bytes[32..80], 0);
    bytes[32 + 3] = 0xfe;
    bytes[32 + 16] = 4;
    bytes[32 + 20] = 1;
    try std.testing.expectEqual(
        Exit{ .mmio = .{ .write = true, .address = 0xfe00_0000, .length = 4 } },
        decode(run),
    );
    bytes[8] = 99;
    try std.testing.expectEqual(Exit{ .unknown = 99 }, decode(run));
}
