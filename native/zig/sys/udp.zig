//! UDP sockets of the engine: one bound socket for all peers, IPv4 or IPv6, never blocking.

const std = @import("std");
const kernel = @import("kernel.zig");
const linux = @import("linux.zig");
const os = linux.os;
const assert = std.debug.assert;

pub const Address = extern union {
    any: os.sockaddr,
    in: os.sockaddr.in,
    in6: os.sockaddr.in6,

    pub fn length(self: *const Address) u32 {
        const six = self.any.family == os.AF.INET6;
        return if (six) @sizeOf(os.sockaddr.in6) else @sizeOf(os.sockaddr.in);
    }

    pub fn equal(self: *const Address, other: *const Address) bool {
        if (self.any.family != other.any.family) return false;
        if (self.any.family == os.AF.INET) {
            return self.in.port == other.in.port and self.in.addr == other.in.addr;
        }
        return self.in6.port == other.in6.port and
            std.mem.eql(u8, &self.in6.addr, &other.in6.addr);
    }

    /// A textual address, IPv4 or IPv6; names are resolved by the control plane.
    pub fn parse(text: []const u8, port_number: u16) error{Malformed}!Address {
        const parsed = std.Io.net.IpAddress.parse(text, port_number) catch return error.Malformed;
        return switch (parsed) {
            .ip4 => |a| .{ .in = .{
                .port = std.mem.nativeToBig(u16, port_number),
                .addr = @bitCast(a.bytes),
            } },
            .ip6 => |a| .{ .in6 = .{
                .port = std.mem.nativeToBig(u16, port_number),
                .flowinfo = 0,
                .addr = a.bytes,
                .scope_id = a.interface.index,
            } },
        };
    }

    pub fn port(self: *const Address) u16 {
        return std.mem.bigToNative(u16, self.in.port);
    }
};

const buffer_bytes = 8 << 20;
pub const ip_recverr = 11;
const ip_mtu = 14;
const ipv6_recverr = 25;
const ipv6_mtu = 24;
const msg_errqueue = 0x2000;

/// A socket bound to the address; errors of peers (a refused port) are reported by takeError.
pub fn open(address: *const Address) linux.Error!i32 {
    const kind = os.SOCK.DGRAM | os.SOCK.CLOEXEC | os.SOCK.NONBLOCK;
    const fd = try linux.fdOf(kernel.call(.socket, .{ address.any.family, kind, 0 }));
    errdefer linux.close(fd);
    _ = setReceiveBuffer(fd, buffer_bytes) catch 0;
    set(fd, os.SOL.SOCKET, os.SO.SNDBUF, buffer_bytes);
    set(fd, os.SOL.SOCKET, os.SO.SNDBUFFORCE, buffer_bytes);
    if (address.any.family == os.AF.INET6) {
        set(fd, os.IPPROTO.IPV6, ipv6_recverr, 1);
    } else {
        set(fd, os.IPPROTO.IP, ip_recverr, 1);
    }
    _ = try linux.check(kernel.call(.bind, .{ fd, address, address.length() }));
    return fd;
}

fn set(fd: i32, level: i32, name: u32, value: u32) void {
    // Best effort: a smaller buffer only costs retransmissions; doctor reports the limits.
    _ = kernel.call(.setsockopt, .{ fd, level, name, &value, 4 });
}

/// Asks for a receive buffer, past the administrator's limit where permitted; returns the grant.
pub fn setReceiveBuffer(fd: i32, bytes: u32) linux.Error!usize {
    set(fd, os.SOL.SOCKET, os.SO.RCVBUF, bytes);
    set(fd, os.SOL.SOCKET, os.SO.RCVBUFFORCE, bytes);
    var granted: u32 = 0;
    var length: u32 = 4;
    const option = .{ fd, os.SOL.SOCKET, os.SO.RCVBUF, &granted, &length };
    _ = try linux.check(kernel.call(.getsockopt, option));
    return granted;
}

pub fn boundPort(fd: i32) linux.Error!u16 {
    var address: Address = undefined;
    var length: u32 = @sizeOf(Address);
    _ = try linux.check(kernel.call(.getsockname, .{ fd, &address, &length }));
    return address.port();
}

/// An error may be that of an earlier datagram to another peer: takeError says whose it was.
pub fn send(fd: i32, to: *const Address, bytes: []const u8) linux.Error!void {
    const datagram = .{ fd, bytes.ptr, bytes.len, 0, to, to.length() };
    _ = try linux.check(kernel.call(.sendto, datagram));
}

pub const Received = struct { bytes: []u8, from: Address };

/// The next datagram, null when none waits; one that does not fit is empty, as its end is lost.
/// An error is that of an earlier datagram, and gone by being read: takeError says whose it was.
pub fn receive(fd: i32, buffer: []u8) linux.Error!?Received {
    var from: Address = undefined;
    while (true) {
        var length: u32 = @sizeOf(Address);
        const flags = os.MSG.TRUNC;
        const into = .{ fd, buffer.ptr, buffer.len, flags, &from, &length };
        const count = linux.check(kernel.call(.recvfrom, into)) catch |err| switch (err) {
            error.Again => return null,
            error.Interrupted => continue,
            else => return err,
        };
        const whole = count <= buffer.len;
        return .{ .bytes = buffer[0..if (whole) count else 0], .from = from };
    }
}

/// A peer whose host answered that nobody listens there; null when no such answer waits. What else
/// the network reports (no route for a while, a smaller MTU) says nothing of the peer.
pub fn takeError(fd: i32) ?Address {
    while (true) {
        var address: Address = undefined;
        var control: [512]u8 align(8) = undefined;
        var data: [64]u8 = undefined;
        var vector: [1]std.posix.iovec = .{.{ .base = &data, .len = data.len }};
        var message: os.msghdr = .{
            .name = &address.any,
            .namelen = @sizeOf(Address),
            .iov = &vector,
            .iovlen = 1,
            .control = &control,
            .controllen = control.len,
            .flags = 0,
        };
        _ = linux.check(kernel.call(.recvmsg, .{ fd, &message, msg_errqueue })) catch |err|
            if (err == error.Interrupted) continue else return null;
        if (isRefusal(control[0..@min(message.controllen, control.len)])) return address;
    }
}

/// Head of a control message and of the error in it (struct cmsghdr, struct sock_extended_err).
pub const Report = extern struct {
    length: usize,
    level: i32,
    type: i32,
    errno: u32,
    origin: u8,
    kind: u8,
    code: u8,
    padding: u8 = 0,
    info: u32 = 0,
    data: u32 = 0,
};

fn isRefusal(control: []align(8) const u8) bool {
    var rest = control;
    while (rest.len >= @sizeOf(Report)) {
        const report: *const Report = @ptrCast(rest.ptr);
        const four = report.level == os.IPPROTO.IP and report.type == ip_recverr;
        const six = report.level == os.IPPROTO.IPV6 and report.type == ipv6_recverr;
        if (four or six) return report.errno == @intFromEnum(os.E.CONNREFUSED);
        const step = std.mem.alignForward(usize, report.length, 8);
        if (step == 0 or step > rest.len) return false;
        rest = @alignCast(rest[step..]);
    }
    return false;
}

/// Largest UDP payload the route to the peer takes without fragmentation, as the kernel knows it.
pub fn pathPayload(to: *const Address) linux.Error!u32 {
    const six = to.any.family == os.AF.INET6;
    const kind = os.SOCK.DGRAM | os.SOCK.CLOEXEC;
    const fd = try linux.fdOf(kernel.call(.socket, .{ to.any.family, kind, 0 }));
    defer linux.close(fd);
    _ = try linux.check(kernel.call(.connect, .{ fd, to, to.length() }));
    var mtu: u32 = 0;
    var length: u32 = 4;
    const level: i32 = if (six) os.IPPROTO.IPV6 else os.IPPROTO.IP;
    const name: u32 = if (six) ipv6_mtu else ip_mtu;
    _ = try linux.check(kernel.call(.getsockopt, .{ fd, level, name, &mtu, &length }));
    const headers: u32 = if (six) 48 else 28;
    return mtu -| headers;
}

test "datagrams cross, a closed port is reported, loopback carries a page whole" {
    for ([_][]const u8{ "127.0.0.1", "::1" }) |text| {
        const here = try Address.parse(text, 0);
        const a = open(&here) catch |err| switch (err) {
            // A host without IPv6.
            error.AddressNotAvailable, error.Unexpected => if (here.any.family == os.AF.INET6)
                continue
            else
                return err,
            else => return err,
        };
        defer linux.close(a);
        const b = try open(&here);
        const to_b = try Address.parse(text, try boundPort(b));
        try send(a, &to_b, "hello");
        var buffer: [64]u8 = undefined;
        const got = try receive(b, &buffer) orelse return error.NothingArrived;
        try std.testing.expectEqualStrings("hello", got.bytes);
        try std.testing.expectEqual(try boundPort(a), got.from.port());
        try std.testing.expect(try pathPayload(&to_b) > 4300);
        linux.close(b);
        try send(a, &to_b, "anyone?");
        // A refusal comes up when something is sent to another peer, which has not refused.
        const c = try open(&here);
        defer linux.close(c);
        const to_c = try Address.parse(text, try boundPort(c));
        try std.testing.expectError(error.Refused, send(a, &to_c, "hello"));
        const refused = takeError(a) orelse return error.NotReported;
        try std.testing.expect(refused.equal(&to_b));
        try std.testing.expect(takeError(a) == null);
    }
}

test "texts that are no address" {
    _ = try Address.parse("::1", 7);
    try std.testing.expectError(error.Malformed, Address.parse("host.example", 7));
}
