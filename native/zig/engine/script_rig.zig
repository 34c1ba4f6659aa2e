//! The engine of node 0 of three on a scripted kernel, for unit tests: its turns are taken by the
//! test's thread, faults and datagrams come when the test says so, and the peer is the production
//! link.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const linux = @import("../sys/linux.zig");
const m = @import("../wire/message.zig");
const udp = @import("../sys/udp.zig");
const uffd = @import("../sys/uffd.zig");
const Counters = @import("counters.zig").Counters;
const Engine = @import("engine.zig").Engine;
const Events = @import("events.zig").Events;
const Link = @import("../transport/link.zig").Link;
const Scripted = @import("../sys/scripted.zig").Scripted;
const testing = std.testing;

const share = 16;
/// Homes: node 0, node 1, and node 2, which never answers.
pub const own_page = 3;
pub const remote_page = share + 2;
pub const silent_page = 2 * share + 2;

/// Node 1, as node 0 sees it.
const Peer = struct {
    link: Link,
    kernel: *Scripted,
    address: udp.Address,
    next_tx: m.Tx = 1 << 56 | 1,
    /// What Data brought.
    word: ?u64 = null,

    pub fn say(self: *Peer, message: m.Message) !void {
        var encoded: [codec.message_bytes_max]u8 = undefined;
        const bytes = codec.encode(&message, &encoded);
        const now_ns = linux.nowNs();
        try self.link.send(message.classOf(), message.orderKey(), bytes, now_ns);
        self.link.poll(now_ns, self);
    }

    pub fn want(self: *Peer, page: m.Page, access: m.Access) !void {
        try self.say(.{
            .get = .{ .page = page, .tx = self.next_tx, .access = access, .version = 0, .age = 9 },
        });
        self.next_tx += 1;
    }

    pub fn transmit(self: *Peer, datagram: []const u8) void {
        self.kernel.net.arrives(self.address, datagram);
    }

    pub fn deliver(self: *Peer, encoded: []const u8) void {
        const message = codec.decode(encoded) catch unreachable;
        if (message != .data) return;
        const data = &message.data;
        const bytes = data.content == .bytes;
        self.word = if (bytes) std.mem.readInt(u64, data.bytes[0..8], .little) else 0;
    }
};

pub const Rig = struct {
    kernel: Scripted,
    events: Events,
    counters: Counters,
    engine: *Engine,
    socket: i32,
    addresses: [3]udp.Address,
    peer: Peer,

    pub fn init(self: *Rig) !void {
        self.kernel = .init(testing.allocator);
        self.kernel.install();
        self.kernel.context = self;
        self.events = try .init(testing.allocator);
        self.counters = .{};
        for (&self.addresses, 1..) |*address, port| {
            address.* = try udp.Address.parse("192.0.2.1", @intCast(port));
        }
        self.socket = try udp.open(&self.addresses[0]);
        self.engine = try Engine.init(testing.allocator, .{
            .node = 0,
            .shares = &.{ share, share, share },
            .addresses = &self.addresses,
            .vm_id = 1,
            .epoch = 1,
            .silence_ns = std.time.ns_per_hour,
            .spin_ns = 0,
        }, self.socket, &self.events, &self.counters);
        self.engine.registerThread(0);
        // Whoever wants a page gets it at once.
        self.engine.dsm.quiet = true;
        self.peer = .{
            .link = try Link.init(testing.allocator, .{
                .vm_id = 1,
                .epoch = 1,
                .self = 1,
                .peer = 0,
                .mtu = 1400,
                .heartbeat_ns = std.time.ns_per_hour,
                .nodes = 2,
            }, linux.nowNs()),
            .kernel = &self.kernel,
            .address = self.addresses[1],
        };
        // The first turn looks after the peers; the next look is far away.
        self.turn();
        self.kernel.calls = .empty;
    }

    pub fn deinit(self: *Rig) void {
        self.peer.link.deinit(testing.allocator);
        self.engine.deinit();
        linux.close(self.socket);
        self.events.deinit(testing.allocator);
        self.kernel.expectNothingLeft() catch @panic("something is left open");
        self.kernel.remove();
    }

    /// One turn of the engine, and what it sent to node 1 arrives there.
    pub fn turn(self: *Rig) void {
        self.engine.now_ns = @max(self.engine.now_ns, linux.nowNs());
        _ = self.engine.turn();
        for (self.kernel.net.sent.items) |*datagram| {
            if (!datagram.address.equal(&self.peer.address)) continue;
            self.peer.link.receive(datagram.bytes, linux.nowNs(), &self.peer);
        }
        self.kernel.net.sent = .empty;
    }

    pub fn fault(self: *Rig, page: m.Page, flags: u64) void {
        self.kernel.add(&self.kernel.faults, std.mem.zeroInit(uffd.Message, .{
            .event = uffd.event_pagefault,
            .flags = flags,
            .address = @intFromPtr(self.engine.memory.guestPage(page)),
            .thread = 1,
        }));
    }

    pub fn word(self: *Rig, page: m.Page) *align(8) u64 {
        return @ptrCast(@alignCast(self.engine.memory.aliasPage(page)));
    }

    pub fn doorbellReads(self: *Rig) usize {
        var total: usize = 0;
        for (self.kernel.calls.items) |made| {
            total += @intFromBool(made.number == .read and made.fd() == self.engine.fabric.event);
        }
        return total;
    }

    pub fn expectEvent(self: *Rig, kind: abi.EventKind, node: u8) !void {
        var event: [1]abi.Event = undefined;
        try testing.expectEqual(1, self.events.take(&event));
        try testing.expectEqual(@intFromEnum(kind), event[0].kind);
        try testing.expectEqual(node, event[0].node);
    }

    pub fn expectText(self: *Rig, expected: []const u8) !void {
        var records: [8]abi.Event = undefined;
        var text: [256]u8 = undefined;
        var length: usize = 0;
        for (records[0..self.events.take(&records)]) |*event| {
            @memcpy(text[length..][0..event.length], event.data[0..event.length]);
            length += event.length;
        }
        try testing.expectEqualStrings(expected, text[0..length]);
    }
};
