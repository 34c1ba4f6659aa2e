//! The network of a scripted kernel: one queue for all sockets. Lossless and silent; a test puts in
//! what arrives and looks at what left.

const std = @import("std");
const kernel = @import("kernel.zig");
const udp = @import("udp.zig");
const Call = kernel.Call;
const failure = kernel.failure;
const os = std.os.linux;

pub const Datagram = struct { address: udp.Address, bytes: []const u8 };
/// What the network reports of an earlier datagram to this address.
pub const Report = struct { address: udp.Address, errno: os.E };

pub const Net = struct {
    arena: std.heap.ArenaAllocator,
    /// Oldest first.
    inbox: std.ArrayList(Datagram) = .empty,
    reports: std.ArrayList(Report) = .empty,
    sent: std.ArrayList(Datagram) = .empty,

    pub fn init(allocator: std.mem.Allocator) Net {
        return .{ .arena = .init(allocator) };
    }

    pub fn deinit(self: *Net) void {
        self.arena.deinit();
    }

    /// A copy of these bytes comes from this address.
    pub fn arrives(self: *Net, from: udp.Address, bytes: []const u8) void {
        self.append(&self.inbox, from, bytes);
    }

    pub fn reported(self: *Net, of: udp.Address, code: os.E) void {
        const report: Report = .{ .address = of, .errno = code };
        self.reports.append(self.arena.allocator(), report) catch @panic("out of memory");
    }

    fn append(
        self: *Net,
        list: *std.ArrayList(Datagram),
        address: udp.Address,
        bytes: []const u8,
    ) void {
        const memory = self.arena.allocator();
        const copy = memory.dupe(u8, bytes) catch @panic("out of memory");
        list.append(memory, .{ .address = address, .bytes = copy }) catch @panic("out of memory");
    }

    pub fn send(self: *Net, made: Call) usize {
        const bytes: [*]const u8 = @ptrFromInt(made.arguments[1]);
        const length = made.arguments[2];
        self.append(&self.sent, made.at(udp.Address, 4).*, bytes[0..length]);
        return length;
    }

    pub fn receive(self: *Net, made: Call) usize {
        if (self.inbox.items.len == 0) return failure(.AGAIN);
        const datagram = self.inbox.orderedRemove(0);
        const into: [*]u8 = @ptrFromInt(made.arguments[1]);
        const fitting = @min(datagram.bytes.len, made.arguments[2]);
        @memcpy(into[0..fitting], datagram.bytes[0..fitting]);
        made.at(udp.Address, 4).* = datagram.address;
        const whole = made.arguments[3] & os.MSG.TRUNC != 0;
        return if (whole) datagram.bytes.len else fitting;
    }

    /// From the error queue, which names the peer a datagram was for.
    pub fn receiveError(self: *Net, made: Call) usize {
        if (self.reports.items.len == 0) return failure(.AGAIN);
        const report = self.reports.orderedRemove(0);
        const message = made.at(os.msghdr, 1);
        const name: *udp.Address = @ptrCast(@alignCast(message.name.?));
        name.* = report.address;
        const control: *udp.Report = @ptrCast(@alignCast(message.control.?));
        control.* = .{
            .length = @sizeOf(udp.Report),
            .level = os.IPPROTO.IP,
            .type = udp.ip_recverr,
            .errno = @intFromEnum(report.errno),
            .origin = 2,
            .kind = 3,
            .code = 3,
        };
        message.controllen = @sizeOf(udp.Report);
        return 0;
    }
};
