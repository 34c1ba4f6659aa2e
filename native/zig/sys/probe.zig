//! What only a system call can tell the doctor about this host. Opens, asks, closes; changes
//! nothing.

const std = @import("std");
const abi = @import("../abi.zig");
const kernel = @import("kernel.zig");
const limits = @import("../limits.zig");
const linux = @import("linux.zig");
const Scripted = @import("scripted.zig").Scripted;
const uffd = @import("uffd.zig");
const os = linux.os;

const kvm_get_api_version = os.IOCTL.IO(0xae, 0x00);

/// Values of abi.Probe.userfault.
pub const Userfault = enum(u8) { yes, denied, missing };

pub fn probe() abi.Probe {
    var result: abi.Probe = .{
        .kvm_api_version = 0,
        .userfault = 0,
        .userfault_features = 0,
        .goes_first = linux.mayPrefer(),
    };
    if (open("/dev/kvm")) |fd| {
        defer linux.close(fd);
        const version = linux.check(kernel.call(.ioctl, .{ fd, kvm_get_api_version, 0 })) catch 0;
        result.kvm_api_version = @truncate(version);
    } else |_| {}
    if (uffd.openPlain()) |fd| {
        defer linux.close(fd);
        result.userfault = @intFromEnum(Userfault.yes);
        result.userfault_features = uffd.offered(fd) catch 0;
    } else |failure| {
        const missing = failure == error.Unsupported;
        result.userfault = @intFromEnum(if (missing) Userfault.missing else Userfault.denied);
    }
    return result;
}

fn open(path: [*:0]const u8) linux.Error!i32 {
    return linux.fdOf(kernel.call(.open, .{ path, linux.read_write, 0 }));
}

test "what is open here is what the engine needs" {
    const result = probe();
    var version: u32 = 0;
    if (open("/dev/kvm")) |fd| {
        linux.close(fd);
        version = 12;
    } else |_| {}
    try std.testing.expectEqual(version, result.kvm_api_version);
    const opened = uffd.open();
    if (opened) |one| {
        linux.close(one.fd);
        try std.testing.expectEqual(uffd.features_needed, //
            result.userfault_features & uffd.features_needed);
    } else |_| try std.testing.expect(result.userfault_features & uffd.features_needed !=
        uffd.features_needed);
}

/// The calling thread, as the script has it.
const Thread = struct {
    var now: linux.SchedAttr = .{ .nice = 5, .runtime_ns = 3 * limits.ns_per_ms };
    /// Who is no root has no other nice value than it had.
    var nice_min: i32 = 5;

    fn get(_: *Scripted, made: kernel.Call) usize {
        made.at(linux.SchedAttr, 1).* = now;
        return 0;
    }

    fn set(_: *Scripted, made: kernel.Call) usize {
        const attr = made.at(linux.SchedAttr, 1);
        if (attr.nice < nice_min) return kernel.failure(.PERM);
        now = attr.*;
        return 0;
    }
};

test "a thread that may not go first has short slices and the best nice value it may have" {
    var script: Scripted = .init(std.testing.allocator);
    script.install();
    defer script.remove();
    script.next(.{ .call = .sched_setscheduler }, .{ .fails = .PERM }, 2);
    script.next(.{ .call = .sched_getattr }, .{ .does = Thread.get }, 2);
    script.next(.{ .call = .sched_setattr }, .{ .does = Thread.set }, 3);
    try std.testing.expect(!linux.preferThread());
    try std.testing.expectEqual(100_000, Thread.now.runtime_ns);
    try std.testing.expectEqual(5, Thread.now.nice);
    Thread.nice_min = -20;
    try std.testing.expect(!linux.preferThread());
    try std.testing.expectEqual(-20, Thread.now.nice);
    script.calls = .empty;
    try std.testing.expect(linux.preferThread());
    try std.testing.expectEqual(0, script.count(.{ .call = .sched_setattr }));
}

test "a thread that asks whether it may go first is as before" {
    const before = kernel.call(.sched_getscheduler, .{0});
    _ = probe();
    try std.testing.expectEqual(before, kernel.call(.sched_getscheduler, .{0}));
}
