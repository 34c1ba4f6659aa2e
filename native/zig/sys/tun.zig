//! Network namespaces for tests, each with one TUN device whose packets come to this process. The
//! namespaces have no name: the file descriptor holds one, others enter it by /proc/PID/fd/N, and
//! with the last process in it the namespace is gone, however this one ended. Needs root.

const std = @import("std");
const kernel = @import("kernel.zig");
const linux = @import("linux.zig");
const os = linux.os;
const assert = std.debug.assert;

pub const Place = struct { namespace: i32, device: i32 };

const new_net = 0x4000_0000;
const tun_set_iff: u32 = 0x400454ca;
const tun_no_pi = 0x1001;
const name = "gvm0";

const set = struct {
    const flags = 0x8914;
    const address = 0x8916;
    const netmask = 0x891c;
    const mtu = 0x8922;
    const queue_length = 0x8943;
};
const up = 0x41;

/// struct ifreq of <linux/if.h>: a name and a value of one of several types.
const Request = extern struct {
    name: [16]u8 = @splat(0),
    value: extern union {
        flags: u16,
        number: u32,
        address: os.sockaddr.in,
        all: [24]u8,
    } = .{ .all = @splat(0) },

    fn of(device: []const u8) Request {
        var request: Request = .{};
        @memcpy(request.name[0..device.len], device);
        return request;
    }
};

comptime {
    if (@sizeOf(Request) != 40) @compileError("struct ifreq has 40 bytes");
}

/// A namespace with the device up under the address (network order, /24). The calling thread is in
/// it afterwards.
pub fn open(address: u32, mtu: u32) linux.Error!Place {
    assert(mtu >= 576);
    _ = try linux.check(kernel.call(.unshare, .{new_net}));
    const read_only: os.O = .{ .ACCMODE = .RDONLY, .CLOEXEC = true };
    const mine = "/proc/thread-self/ns/net";
    const namespace = try linux.fdOf(kernel.call(.open, .{ mine, read_only, 0 }));
    errdefer linux.close(namespace);
    const both_ways: os.O = .{ .ACCMODE = .RDWR, .CLOEXEC = true, .NONBLOCK = true };
    const device = try linux.fdOf(kernel.call(.open, .{ "/dev/net/tun", both_ways, 0 }));
    errdefer linux.close(device);
    var request: Request = .of(name);
    request.value.flags = tun_no_pi;
    _ = try linux.check(kernel.call(.ioctl, .{ device, tun_set_iff, &request }));
    try configure(address, mtu);
    return .{ .namespace = namespace, .device = device };
}

fn configure(address: u32, mtu: u32) linux.Error!void {
    const kind = os.SOCK.DGRAM | os.SOCK.CLOEXEC;
    const socket = try linux.fdOf(kernel.call(.socket, .{ os.AF.INET, kind, 0 }));
    defer linux.close(socket);
    var loopback: Request = .of("lo");
    loopback.value.flags = up;
    try apply(socket, set.flags, &loopback);
    var request: Request = .of(name);
    request.value = .{ .address = .{ .port = 0, .addr = address } };
    try apply(socket, set.address, &request);
    request.value.address.addr = std.mem.nativeToBig(u32, 0xffff_ff00);
    try apply(socket, set.netmask, &request);
    request.value = .{ .number = mtu };
    try apply(socket, set.mtu, &request);
    // Losses are the relay's to make: the kernel's queue to it must not overflow.
    request.value = .{ .number = 10_000 };
    try apply(socket, set.queue_length, &request);
    request.value = .{ .flags = up };
    try apply(socket, set.flags, &request);
}

fn apply(socket: i32, what: u32, request: *Request) linux.Error!void {
    _ = try linux.check(kernel.call(.ioctl, .{ socket, what, request }));
}
