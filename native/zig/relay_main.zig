//! A bad network for tests: `relay [NAME=VALUE]...`, what it is like as in faults/direction.zig
//! (docs/faults.md tells more). Makes a network namespace for each node with a device under
//! 10.77.0.1, 10.77.0.2 and so on, and carries their packets. Prints `ready FD FD...`: node i is
//! started in /proc/PID/fd/FD.
//!
//! Lines of its input: `cut FROM TO` and `heal FROM TO` close and open a direction, and are said
//! again when done. At the end of its input it prints what it did to how many packets, and the
//! namespaces are gone with the processes in them.

const std = @import("std");
const linux = @import("sys/linux.zig");
const tun = @import("sys/tun.zig");
const words = @import("faults/words.zig");
const direction = @import("faults/direction.zig");
const Held = @import("faults/held.zig").Held;
const os = linux.os;

/// The stack-trace printer would take most of the build.
pub const std_options: std.Options = .{ .allow_stack_tracing = false };

const nodes_max = 16;
const packet_max = 9216;
/// Beyond what a queue before a slow link holds: that of all directions together.
const held_max = 8192;
const packets_per_turn = 64;
const look_ns = 50 * std.time.ns_per_ms;
const prefix = [3]u8{ 10, 77, 0 };
const tag_input = nodes_max;

/// Counts of directions, and what belongs to none.
const Totals = struct {
    sum: direction.Totals = .{},
    /// To no node: neighbours and routers that a kernel looks for.
    stray: u64 = 0,
    /// No room here, or the device took none.
    dropped: u64 = 0,
    /// How long this process did not run although it should have: cuts that were not meant.
    stalled_ms: u64 = 0,
};

const Relay = struct {
    places: []const tun.Place,
    directions: [nodes_max][nodes_max]direction.Direction,
    held: Held,
    epoll: i32,
    input: [64]u8 = undefined,
    input_length: usize = 0,
    stray: u64 = 0,
    dropped: u64 = 0,
    stalled_ns: u64 = 0,

    /// Carries packets until the input ends.
    fn run(self: *Relay) !void {
        for (self.places, 0..) |place, node| {
            try linux.epollAdd(self.epoll, place.device, os.EPOLL.IN, node);
        }
        try linux.epollAdd(self.epoll, 0, os.EPOLL.IN, tag_input);
        while (true) {
            var ready: [nodes_max + 1]os.epoll_event = undefined;
            const before_ns = linux.nowNs();
            // Looks at the clock even where nothing comes, as it may be this process that sleeps.
            const look_at_ns = before_ns + look_ns;
            const at_ns = @min(self.held.nextTime() orelse look_at_ns, look_at_ns);
            const count = linux.epollWait(self.epoll, &ready, before_ns, at_ns);
            self.stalled_ns = @max(self.stalled_ns, linux.nowNs() -| at_ns);
            for (ready[0..count]) |*event| {
                if (event.data.u64 < tag_input) {
                    self.drain(@intCast(event.data.u64));
                } else if (!try self.obey()) return;
            }
            self.release();
        }
    }

    fn drain(self: *Relay, from: u8) void {
        var packet: [packet_max]u8 = undefined;
        for (0..packets_per_turn) |_| {
            const rc = os.read(self.places[from].device, &packet, packet.len);
            const length = linux.check(rc) catch return;
            self.route(from, packet[0..length]);
        }
    }

    fn route(self: *Relay, from: u8, packet: []const u8) void {
        const to = self.destination(packet) orelse {
            self.stray += 1;
            return;
        };
        const now_ns = linux.nowNs();
        switch (self.directions[from][to].next(packet.len, now_ns)) {
            .lost, .cut, .overflowed => {},
            .carried => |carried| {
                self.hold(carried.at_ns, to, packet);
                if (carried.again_ns) |at_ns| self.hold(at_ns, to, packet);
            },
        }
    }

    /// The node an IPv4 packet is for.
    fn destination(self: *const Relay, packet: []const u8) ?u8 {
        if (packet.len < 20 or packet[0] >> 4 != 4) return null;
        if (!std.mem.eql(u8, packet[16..19], &prefix)) return null;
        const node = packet[19] -% 1;
        return if (node < self.places.len) node else null;
    }

    fn hold(self: *Relay, at_ns: u64, to: u8, packet: []const u8) void {
        if (!self.held.put(at_ns, to, packet)) self.dropped += 1;
    }

    fn release(self: *Relay) void {
        const now_ns = linux.nowNs();
        while (self.held.take(now_ns)) |packet| {
            const rc = os.write(self.places[packet.to].device, packet.bytes.ptr, packet.bytes.len);
            _ = linux.check(rc) catch {
                self.dropped += 1;
            };
        }
    }

    /// Reads commands; false at the end of the input.
    fn obey(self: *Relay) !bool {
        const room = self.input[self.input_length..];
        const got = try linux.check(os.read(0, room.ptr, room.len));
        if (got == 0) return false;
        self.input_length += got;
        while (std.mem.indexOfScalar(u8, self.input[0..self.input_length], '\n')) |end| {
            try self.command(self.input[0..end]);
            const rest = self.input[end + 1 .. self.input_length];
            std.mem.copyForwards(u8, &self.input, rest);
            self.input_length = rest.len;
        }
        if (self.input_length == self.input.len) return error.CommandTooLong;
        return true;
    }

    fn command(self: *Relay, line: []const u8) !void {
        var parts = std.mem.tokenizeScalar(u8, line, ' ');
        const verb = parts.next() orelse return error.UnknownCommand;
        const closed = std.mem.eql(u8, verb, "cut");
        if (!closed and !std.mem.eql(u8, verb, "heal")) return error.UnknownCommand;
        const from = try std.fmt.parseInt(u8, parts.next() orelse "", 10);
        const to = try std.fmt.parseInt(u8, parts.next() orelse "", 10);
        if (from >= self.places.len or to >= self.places.len) return error.UnknownNode;
        self.directions[from][to].closed = closed;
        try say("{s} {d} {d}\n", .{ verb, from, to });
    }

    fn totals(self: *const Relay) Totals {
        var all: Totals = .{
            .stray = self.stray,
            .dropped = self.dropped,
            .stalled_ms = self.stalled_ns / std.time.ns_per_ms,
        };
        for (self.directions[0..self.places.len]) |*row| {
            for (row[0..self.places.len]) |*one| {
                inline for (@typeInfo(direction.Totals).@"struct".fields) |field| {
                    @field(all.sum, field.name) += @field(one.totals, field.name);
                }
            }
        }
        return all;
    }
};

fn say(comptime format: []const u8, values: anytype) !void {
    var text: [256]u8 = undefined;
    const line = try std.fmt.bufPrint(&text, format, values);
    _ = try linux.check(os.write(1, line.ptr, line.len));
}

fn refuse(text: []const u8) noreturn {
    std.debug.print("relay: {s}\n", .{text});
    std.process.exit(2);
}

/// What the arguments say about the network, or the end of the program.
fn readNetwork(init: std.process.Init.Minimal) direction.Network {
    var arguments = init.args.iterate();
    _ = arguments.next();
    var problem: words.Problem = .{};
    const network = words.readAll(direction.Network, &arguments, &problem) catch
        refuse(problem.slice());
    if (network.nodes < 1 or network.nodes > nodes_max) refuse("nodes is from 1 to 16");
    if (network.mtu < 576 or network.mtu > packet_max) refuse("mtu is from 576 to 9216");
    return network;
}

pub fn main(init: std.process.Init.Minimal) !void {
    const network = readNetwork(init);
    var places: [nodes_max]tun.Place = undefined;
    for (places[0..network.nodes], 1..) |*place, host| {
        const address: [4]u8 = prefix ++ .{@as(u8, @intCast(host))};
        place.* = try tun.open(@bitCast(address), network.mtu);
    }
    var relay: Relay = .{
        .places = places[0..network.nodes],
        .directions = undefined,
        .held = try .init(std.heap.c_allocator, held_max, packet_max),
        .epoll = try linux.fdOf(os.epoll_create1(os.EPOLL.CLOEXEC)),
    };
    const now_ns = linux.nowNs();
    for (0..network.nodes) |from| for (0..network.nodes) |to| {
        relay.directions[from][to] = .init(network, @intCast(from), @intCast(to), now_ns);
    };
    // The network must not become slow because the nodes keep the processors busy.
    _ = linux.preferThread();
    try say("ready", .{});
    for (relay.places) |place| try say(" {d}", .{place.namespace});
    try say("\n", .{});
    try relay.run();
    const all = relay.totals();
    const sum = all.sum;
    try say("{d} packets: {d} lost, {d} doubled, {d} reordered, {d} overflowed, ", .{
        sum.packets, sum.lost, sum.doubled, sum.reordered, sum.overflowed,
    });
    try say("{d} cut off by {d} cuts, {d} dropped, {d} stray, {d} stalled (ms)\n", .{
        sum.cut, sum.cuts, all.dropped, all.stray, all.stalled_ms,
    });
}
