//! What only a system call can tell the doctor about this host. Opens, asks, closes; changes
//! nothing.

const std = @import("std");
const abi = @import("../abi.zig");
const kernel = @import("kernel.zig");
const linux = @import("linux.zig");
const uffd = @import("uffd.zig");
const os = linux.os;

const kvm_get_api_version = os.IOCTL.IO(0xae, 0x00);

/// Values of abi.Probe.userfault.
pub const Userfault = enum(u8) { yes, denied, missing };

pub fn probe() abi.Probe {
    var result: abi.Probe = .{ .kvm_api_version = 0, .userfault = 0, .userfault_features = 0 };
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
    if (opened) |fd| {
        linux.close(fd);
        try std.testing.expectEqual(uffd.features_needed, //
            result.userfault_features & uffd.features_needed);
    } else |_| try std.testing.expect(result.userfault_features & uffd.features_needed !=
        uffd.features_needed);
}
