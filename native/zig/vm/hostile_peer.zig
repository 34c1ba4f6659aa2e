//! A peer for tests that says what it likes to a real node: its own socket, the production link,
//! or datagrams made by hand.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const header = @import("../transport/header.zig");
const linux = @import("../sys/linux.zig");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const udp = @import("../sys/udp.zig");
const Link = @import("../transport/link.zig").Link;
const Rig = @import("rig.zig").Rig;
const testing = std.testing;

pub const Peer = struct {
    socket: i32,
    to: udp.Address,
    link: Link,
    replies: u64 = 0,
    /// Answers to accesses that came before the interrupt that was sent before them.
    overtakes: u64 = 0,
    interrupts: u64 = 0,
    answers: u64 = 0,
    /// Whether it tells the node what came.
    acknowledges: bool = true,
    /// What the node asked for last.
    wanted: ?m.Get = null,

    /// As node 1 beside the rig's node 0.
    pub fn init(socket: i32, rig: *Rig) !Peer {
        const port: u16 = @intCast(rig.node.dataPort());
        return .{
            .socket = socket,
            .to = try udp.Address.parse("127.0.0.1", port),
            .link = try Link.init(testing.allocator, .{
                .vm_id = 1,
                .epoch = 1,
                .self = 1,
                .peer = 0,
                .mtu = 9000,
                .heartbeat_ns = 100 * limits.ns_per_ms,
                .nodes = 2,
            }, linux.nowNs()),
        };
    }

    pub fn deinit(self: *Peer) void {
        self.link.deinit(testing.allocator);
    }

    /// Queues the message, after what was sent before has gone when there is no room.
    pub fn say(self: *Peer, message: m.Message) void {
        var buffer: [codec.message_bytes_max]u8 = undefined;
        const bytes = codec.encode(&message, &buffer);
        const key = message.orderKey();
        while (true) {
            if (self.link.send(.control, key, bytes, linux.nowNs())) break else |_| self.pump();
        }
        self.pump();
    }

    /// Until all that was said has been acknowledged, or `ended(context)`.
    pub fn settle(self: *Peer, context: anytype, comptime ended: fn (@TypeOf(context)) bool) void {
        while (!self.link.idle() and !ended(context)) {
            self.pump();
            std.Thread.yield() catch {};
        }
    }

    /// Hears and answers whatever has come.
    pub fn pump(self: *Peer) void {
        var buffer: [limits.datagram_bytes_max]u8 = undefined;
        while (udp.receive(self.socket, &buffer) catch null) |got| {
            self.link.receive(got.bytes, linux.nowNs(), self);
        }
        if (!self.acknowledges) self.link.ack_due_ns = null;
        self.link.poll(linux.nowNs(), self);
    }

    pub fn transmit(self: *Peer, datagram: []const u8) void {
        // A full buffer is a lost datagram.
        udp.send(self.socket, &self.to, datagram) catch {};
    }

    pub fn deliver(self: *Peer, encoded: []const u8) void {
        self.replies += 1;
        const message = codec.decode(encoded) catch unreachable;
        switch (message) {
            .get => |get| self.wanted = get,
            .ipi => self.interrupts += 1,
            .io_reply => {
                self.answers += 1;
                self.overtakes += @intFromBool(self.answers > self.interrupts);
            },
            else => {},
        }
    }

    /// A datagram by hand, past the link.
    pub fn raw(self: *Peer, head: header.Header, body: []const u8) !void {
        var buffer: [2048]u8 = undefined;
        head.write(&buffer);
        @memcpy(buffer[header.bytes..][0..body.len], body);
        try udp.send(self.socket, &self.to, buffer[0 .. header.bytes + body.len]);
    }

    pub fn headOf(packet: u64) header.Header {
        return .{
            .plane = .data,
            .vm_id = 1,
            .epoch = 1,
            .source = 1,
            .destination = 0,
            .packet = packet,
        };
    }
};

/// The peer and its node; the socket comes first, since the node must know its port.
pub const Pair = struct {
    socket: i32,
    rig: Rig,
    peer: Peer,

    pub fn init() !Pair {
        const here = try udp.Address.parse("127.0.0.1", 0);
        const socket = try udp.open(&here);
        errdefer linux.close(socket);
        var rig = try Rig.initBeside(1, try udp.boundPort(socket));
        errdefer rig.deinit();
        rig.node.engine.?.trace.printed = false;
        return .{ .socket = socket, .rig = rig, .peer = try Peer.init(socket, &rig) };
    }

    pub fn deinit(self: *Pair) void {
        self.peer.deinit();
        self.rig.deinit();
        linux.close(self.socket);
    }

    pub fn ended(self: *Pair) bool {
        return @atomicLoad(bool, &self.rig.node.engine.?.ended, .monotonic);
    }

    pub fn counter(self: *Pair, which: abi.Counter) u64 {
        return self.rig.node.count.values[@intFromEnum(which)].load(.monotonic);
    }
};

pub fn access(vcpu: u8, size: u8, count: u32, data: []const u8) m.Message {
    return .{ .io_request = .{
        .vcpu = vcpu,
        .seq = 1,
        .space = .port,
        .write = data.len > 0,
        .address = 0x40,
        .size = size,
        .count = count,
        .data = data,
    } };
}

pub fn ipi(mode: u8, targets: []const u8) m.Message {
    return .{ .ipi = .{ .mode = mode, .vector = 0, .level = true, .targets = targets } };
}
