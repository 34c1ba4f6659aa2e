//! The two networks under the simulated nodes: the channel of channel.zig, or the production Link
//! and codec over datagrams that are lost, duplicated, delayed and cut.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const Message = @import("../wire/message.zig").Message;
const Link = @import("../transport/link.zig").Link;
const Channel = @import("channel.zig").Channel;
const Network = @import("network.zig").Network;
/// Runs over links stay small: each link keeps windows of megabytes.
const nodes_max = @import("network.zig").nodes_max;

pub const Wires = union(enum) {
    channel: Channel,
    links: Links,

    pub fn deinit(self: *Wires) void {
        switch (self.*) {
            inline else => |*wires| wires.deinit(),
        }
    }

    pub fn send(self: *Wires, from: u8, to: u8, message: *const Message, now_ns: u64) void {
        switch (self.*) {
            inline else => |*wires| wires.send(from, to, message, now_ns),
        }
    }

    pub fn nextTime(self: *Wires) ?u64 {
        return switch (self.*) {
            inline else => |*wires| wires.nextTime(),
        };
    }

    /// Lets everything due arrive: post.deliver(from, to, message).
    pub fn pump(self: *Wires, now_ns: u64, post: anytype) void {
        switch (self.*) {
            .channel => |*channel| while (channel.nextTime()) |at| {
                if (at > now_ns) break;
                const letter = channel.pop().?;
                defer channel.release(&letter);
                post.deliver(letter.from, letter.to, channel.messageOf(&letter));
            },
            .links => |*links| links.pump(now_ns, post),
        }
    }

    /// From now on everything arrives in bounded time.
    pub fn heal(self: *Wires) void {
        switch (self.*) {
            .channel => |*channel| channel.healed = true,
            .links => |*links| links.net.heal(),
        }
    }

    /// No message is under way.
    pub fn quiet(self: *Wires) bool {
        return switch (self.*) {
            .channel => |*channel| channel.letters.count() == 0,
            .links => |*links| links.quiet(),
        };
    }
};

pub const Links = struct {
    allocator: std.mem.Allocator,
    net: Network,
    nodes: u8,
    table: [nodes_max][nodes_max]?Link = @splat(@splat(null)),

    pub fn init(allocator: std.mem.Allocator, net: Network, nodes: u8, now_ns: u64) !Links {
        var self: Links = .{ .allocator = allocator, .net = net, .nodes = nodes };
        for (0..nodes) |from| for (0..nodes) |to| if (from != to) {
            self.table[from][to] = try Link.init(allocator, .{
                .vm_id = 1,
                .epoch = 1,
                .self = @intCast(from),
                .peer = @intCast(to),
                .mtu = 1400,
                .heartbeat_ns = 200_000_000,
                .nodes = nodes,
            }, now_ns);
        };
        return self;
    }

    pub fn deinit(self: *Links) void {
        for (&self.table) |*row| for (row) |*link| if (link.*) |*l| l.deinit(self.allocator);
        self.net.deinit();
    }

    pub fn send(self: *Links, from: u8, to: u8, message: *const Message, now_ns: u64) void {
        var buffer: [codec.message_bytes_max]u8 = undefined;
        const encoded = codec.encode(message, &buffer);
        const link = &self.table[from][to].?;
        // The credits bound what may be owed to a peer (limits.zig).
        link.send(message.classOf(), message.orderKey(), encoded, now_ns) catch unreachable;
        self.poll(from, to, now_ns);
    }

    fn poll(self: *Links, from: u8, to: u8, now_ns: u64) void {
        var host: Transmit = .{ .links = self, .from = from, .to = to, .now_ns = now_ns };
        self.table[from][to].?.poll(now_ns, &host);
    }

    fn nextTime(self: *Links) ?u64 {
        var at = self.net.nextTime() orelse std.math.maxInt(u64);
        for (&self.table) |*row| for (row) |*link| if (link.*) |*l| {
            at = @min(at, l.deadline() orelse at);
        };
        return at;
    }

    fn pump(self: *Links, now_ns: u64, post: anytype) void {
        while (self.net.nextTime()) |at| {
            if (at > now_ns) break;
            const d = self.net.pop().?;
            defer self.allocator.free(d.bytes);
            var host: Deliver(@TypeOf(post)) = .{ .post = post, .from = d.from, .to = d.to };
            self.table[d.to][d.from].?.receive(d.bytes, now_ns, &host);
            self.poll(d.to, d.from, now_ns);
        }
        for (&self.table, 0..) |*row, from| for (row, 0..) |*link, to| if (link.*) |*l| {
            const at = l.deadline() orelse continue;
            if (at <= now_ns) self.poll(@intCast(from), @intCast(to), now_ns);
        };
    }

    fn quiet(self: *Links) bool {
        for (&self.table) |*row| for (row) |*link| if (link.*) |*l| {
            if (!l.idle()) return false;
        };
        return true;
    }
};

const Transmit = struct {
    links: *Links,
    from: u8,
    to: u8,
    now_ns: u64,

    pub fn transmit(self: *Transmit, datagram: []const u8) void {
        self.links.net.transmit(self.from, self.to, datagram, self.now_ns);
    }
};

fn Deliver(comptime Post: type) type {
    return struct {
        post: Post,
        from: u8,
        to: u8,

        pub fn deliver(self: *@This(), bytes: []const u8) void {
            const message = codec.decode(bytes) catch unreachable;
            self.post.deliver(self.from, self.to, &message);
        }
    };
}
