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
    /// A breakpoint of the debugger's, or the end of a step.
    debug: struct { rip: u64, dr6: u64 },
    /// Its linear address.
    int3: u64,
    window,
    set_tpr,
    interrupted,
    /// Triple fault, or AMD's shutdown interception.
    shutdown,
    fail_entry: u64,
    /// One that KVM caught and neither handles nor gives to the guest.
    exception: struct { vector: u32, error_code: u32 },
    internal: struct { suberror: u32, first: u64 },
    /// The instruction bytes KVM's emulator does not know; zero length when it does not tell.
    not_emulated: struct { bytes: [15]u8, length: u8 },
    unknown: u32,
};

const breakpoint_vector = 3;

pub fn decode(run: *const kvm.Run) Exit {
    return switch (run.exit_reason) {
        1 => .{ .exception = .{
            .vector = run.exit.exception.vector,
            .error_code = run.exit.exception.error_code,
        } },
        2 => .{ .port = .{
            .write = run.exit.io.direction == 1,
            .port = run.exit.io.port,
            .size = run.exit.io.size,
            .count = run.exit.io.count,
        } },
        4 => if (run.exit.debug.exception == breakpoint_vector)
            .{ .int3 = run.exit.debug.pc }
        else
            .{ .debug = .{ .rip = run.exit.debug.pc, .dr6 = run.exit.debug.dr6 } },
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
        17 => internal(run),
        29 => .{ .read_msr = run.exit.msr.index },
        30 => .{ .write_msr = .{ .index = run.exit.msr.index, .value = run.exit.msr.data } },
        else => |reason| .{ .unknown = reason },
    };
}

fn internal(run: *const kvm.Run) Exit {
    const e = &run.exit.emulation;
    if (e.suberror != kvm.internal_emulation) return .{ .internal = .{
        .suberror = e.suberror,
        .first = if (e.ndata > 0) run.exit.internal.data[0] else 0,
    } };
    // Flags are the first word of the data, the instruction the next two.
    const told = e.ndata >= 3 and e.flags & kvm.emulation_has_instruction != 0;
    return .{ .not_emulated = .{
        .bytes = e.instruction,
        .length = if (told) @min(e.instruction_size, 15) else 0,
    } };
}

const testing = std.testing;

/// kvm_run with this reason and these bytes of its union.
fn image(reason: u8, body: []const u8) Exit {
    var bytes: [@sizeOf(kvm.Run)]u8 align(8) = @splat(0);
    bytes[8] = reason;
    @memcpy(bytes[32..][0..body.len], body);
    return decode(@ptrCast(&bytes));
}

test "port and memory accesses from byte images" {
    try testing.expectEqual(
        Exit{ .port = .{ .write = true, .port = 0x3f8, .size = 2, .count = 5 } },
        image(2, "\x01\x02\xf8\x03\x05"),
    );
    const zero: [8]u8 = @splat(0);
    try testing.expectEqual(
        Exit{ .mmio = .{ .write = true, .address = 0xfe00_0000, .length = 4 } },
        image(6, "\x00\x00\x00\xfe\x00\x00\x00\x00" ++ zero ++ "\x04\x00\x00\x00\x01"),
    );
    // A length KVM never gives must not lead past the eight bytes.
    try testing.expectEqual(8, image(6, &zero ++ &zero ++ "\xff").mmio.length);
}

test "MSR accesses from byte images" {
    const head: [8]u8 = @splat(0);
    const reason_and_index = "\x01\x00\x00\x00\x30\x08\x00\x00";
    try testing.expectEqual(Exit{ .read_msr = 0x830 }, image(29, &head ++ reason_and_index));
    try testing.expectEqual(
        Exit{ .write_msr = .{ .index = 0x830, .value = 0x0000_0007_0000_4500 } },
        image(30, &head ++ reason_and_index ++ "\x00\x45\x00\x00\x07\x00\x00\x00"),
    );
}

test "a stop for the debugger" {
    const exception = "\x01\x00\x00\x00\x00\x00\x00\x00";
    const rip = "\x34\x12\x00\x00\x00\x00\x00\x00";
    try testing.expectEqual(
        Exit{ .debug = .{ .rip = 0x1234, .dr6 = 2 } },
        image(4, exception ++ rip ++ "\x02"),
    );
    // DR6 is that of another stop then.
    try testing.expectEqual(
        Exit{ .int3 = 0x1234 },
        image(4, "\x03\x00\x00\x00\x00\x00\x00\x00" ++ rip ++ "\x02"),
    );
}

test "exits without data, and reasons nobody knows" {
    try testing.expectEqual(Exit.halt, image(5, ""));
    try testing.expectEqual(Exit.window, image(7, ""));
    try testing.expectEqual(Exit.shutdown, image(8, ""));
    try testing.expectEqual(Exit.interrupted, image(10, ""));
    try testing.expectEqual(Exit.set_tpr, image(11, ""));
    try testing.expectEqual(Exit{ .unknown = 99 }, image(99, ""));
}

test "why KVM gave up" {
    try testing.expectEqual(Exit{ .fail_entry = 0x8000_0021 }, image(9, "\x21\x00\x00\x80"));
    try testing.expectEqual(
        Exit{ .exception = .{ .vector = 17, .error_code = 0x102 } },
        image(1, "\x11\x00\x00\x00\x02\x01\x00\x00"),
    );
    try testing.expectEqual(
        Exit{ .internal = .{ .suberror = 3, .first = 7 } },
        image(17, "\x03\x00\x00\x00\x01\x00\x00\x00\x07"),
    );
    const emulation = "\x01\x00\x00\x00";
    const silent = image(17, emulation);
    try testing.expectEqual(0, silent.not_emulated.length);
    const flags = "\x01\x00\x00\x00\x00\x00\x00\x00";
    const told = image(17, emulation ++ "\x04\x00\x00\x00" ++ flags ++ "\x03\xc5\xf8\x77");
    const got = &told.not_emulated;
    try testing.expectEqualSlices(u8, "\xc5\xf8\x77", got.bytes[0..got.length]);
    const long = image(17, emulation ++ "\x04\x00\x00\x00" ++ flags ++ "\xff");
    try testing.expectEqual(15, long.not_emulated.length);
}
