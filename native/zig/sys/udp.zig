//! UDP sockets of the engine: one bound socket for all peers, IPv4 or IPv6, never blocking.

const std = @import("std");
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
const ip_recverr = 11;
const ip_mtu = 14;
const ipv6_recverr = 25;
const ipv6_mtu = 24;
const msg_errqueue = 0x2000;

/// A socket bound to the address; errors of peers (a refused port) are reported by takeError.
pub fn open(address: *const Address) linux.Error!i32 {
    const kind = os.SOCK.DGRAM | os.SOCK.CLOEXEC | os.SOCK.NONBLOCK;
    const fd = try linux.fdOf(os.socket(address.any.family, kind, 0));
    errdefer linux.close(fd);
    _ = setReceiveBuffer(fd, buffer_bytes) catch 0;
    set(fd, os.SOL.SOCKET, os.SO.SNDBUF, buffer_bytes);
    set(fd, os.SOL.SOCKET, os.SO.SNDBUFFORCE, buffer_bytes);
    if (address.any.family == os.AF.INET6) {
        set(fd, os.IPPROTO.IPV6, ipv6_recverr, 1);
    } else {
        set(fd, os.IPPROTO.IP, ip_recverr, 1);
    }
    _ = try linux.check(os.bind(fd, &address.any, address.length()));
    return fd;
}

fn set(fd: i32, level: i32, name: u32, value: u32) void {
    // Best effort: a smaller buffer only costs retransmissions; doctor reports the limits.
    _ = os.setsockopt(fd, level, name, @ptrCast(&value), 4);
}

/// Asks for a receive buffer, past the administrator's limit where permitted; returns the grant.
pub fn setReceiveBuffer(fd: i32, bytes: u32) linux.Error!usize {
    set(fd, os.SOL.SOCKET, os.SO.RCVBUF, bytes);
    set(fd, os.SOL.SOCKET, os.SO.RCVBUFFORCE, bytes);
    var granted: u32 = 0;
    var length: u32 = 4;
    _ = try linux.check(
        os.getsockopt(fd, os.SOL.SOCKET, os.SO.RCVBUF, @ptrCast(&granted), &length),
    );
    return granted;
}

pub fn boundPort(fd: i32) linux.Error!u16 {
    var address: Address = undefined;
    var length: u32 = @sizeOf(Address);
    _ = try linux.check(os.getsockname(fd, &address.any, &length));
    return address.port();
}

pub fn send(fd: i32, to: *const Address, bytes: []const u8) linux.Error!void {
    _ = try linux.check(os.sendto(fd, bytes.ptr, bytes.len, 0, &to.any, to.length()));
}

pub const Received = struct { bytes: []u8, from: Address };

/// The next datagram, null when none waits.
pub fn receive(fd: i32, buffer: []u8) ?Received {
    var from: Address = undefined;
    var length: u32 = @sizeOf(Address);
    while (true) {
        const rc = os.recvfrom(fd, buffer.ptr, buffer.len, 0, &from.any, &length);
        const count = linux.check(rc) catch |err| switch (err) {
            // A pending error of some peer is cleared by reading it; its queue says whose it was.
            error.Refused => continue,
            else => return null,
        };
        return .{ .bytes = buffer[0..count], .from = from };
    }
}

/// A peer whose host answered that nobody listens there; null when no error waits.
pub fn takeError(fd: i32) ?Address {
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
    _ = linux.check(os.recvmsg(fd, &message, msg_errqueue)) catch return null;
    return address;
}

/// Largest UDP payload the route to the peer takes without fragmentation, as the kernel knows it.
pub fn pathPayload(to: *const Address) linux.Error!u32 {
    const six = to.any.family == os.AF.INET6;
    const fd = try linux.fdOf(os.socket(to.any.family, os.SOCK.DGRAM | os.SOCK.CLOEXEC, 0));
    defer linux.close(fd);
    _ = try linux.check(os.connect(fd, &to.any, to.length()));
    var mtu: u32 = 0;
    var length: u32 = 4;
    const level: i32 = if (six) os.IPPROTO.IPV6 else os.IPPROTO.IP;
    const name: u32 = if (six) ipv6_mtu else ip_mtu;
    _ = try linux.check(os.getsockopt(fd, level, name, @ptrCast(&mtu), &length));
    const headers: u32 = if (six) 48 else 28;
    return mtu -| headers;
}

test "datagrams cross, a closed port is reported, loopback carries a page whole" {
    const here = try Address.parse("127.0.0.1", 0);
    const a = try open(&here);
    defer linux.close(a);
    const b = try open(&here);
    const to_b = try Address.parse("127.0.0.1", try boundPort(b));
    try send(a, &to_b, "hello");
    var buffer: [64]u8 = undefined;
    const got = receive(b, &buffer) orelse return error.NothingArrived;
    try std.testing.expectEqualStrings("hello", got.bytes);
    try std.testing.expectEqual(try boundPort(a), got.from.port());
    try std.testing.expect(try pathPayload(&to_b) > 4300);
    linux.close(b);
    try send(a, &to_b, "anyone?");
    const refused = takeError(a) orelse return error.NotReported;
    try std.testing.expect(refused.equal(&to_b));
    _ = try Address.parse("::1", 7);
    try std.testing.expectError(error.Malformed, Address.parse("host.example", 7));
}
