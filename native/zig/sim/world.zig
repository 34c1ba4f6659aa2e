//! A world of a few nodes whose messages are delivered when a test says so, for single flows of the
//! coherence protocol. The random worlds are in coherence.zig.

const std = @import("std");
const m = @import("../wire/message.zig");
const Dsm = @import("../dsm/dsm.zig").Dsm;
const State = @import("../dsm/dsm.zig").State;
const assert = std.debug.assert;
const testing = std.testing;

const Bytes = [4096]u8;
pub const pages = 256;
const Letter = struct { from: u8, to: u8, message: m.Message, bytes: Bytes = @splat(0) };

pub const World = struct {
    arena: std.heap.ArenaAllocator,
    nodes: []Dsm,
    bytes: [][pages]Bytes,
    letters: std.ArrayList(*Letter) = .empty,
    now_ns: u64 = 1,
    maps: u32 = 0,
    fatal: []const u8 = "",

    /// Every node has the same share; page k * pages / nodes is the first of node k.
    pub fn init(nodes: u8) !*World {
        const self = try testing.allocator.create(World);
        self.* = .{ .arena = .init(testing.allocator), .nodes = undefined, .bytes = undefined };
        const a = self.arena.allocator();
        self.nodes = try a.alloc(Dsm, nodes);
        self.bytes = try a.alloc([pages]Bytes, nodes);
        const shares = try a.alloc(u32, nodes);
        @memset(shares, pages / @as(u32, nodes));
        for (self.nodes, self.bytes, 0..) |*dsm, *bytes, i| {
            dsm.* = try .init(a, .{
                .node = @intCast(i),
                .shares = shares,
                .requests = 4,
                .threads = 3,
                .puts = 1,
            });
            @memset(std.mem.asBytes(bytes), 0);
        }
        return self;
    }

    pub fn deinit(self: *World) void {
        const a = self.arena.allocator();
        for (self.nodes) |*dsm| dsm.deinit(a);
        self.arena.deinit();
        testing.allocator.destroy(self);
    }

    pub fn host(self: *World, node: u8) Host {
        return .{ .world = self, .node = node };
    }

    pub fn fault(self: *World, node: u8, page: m.Page, access: m.Access, thread: u8) void {
        self.now_ns += 10_000;
        var h = self.host(node);
        self.nodes[node].fault(&h, page, access, thread, self.now_ns);
    }

    /// Delivers the first message of this kind to this node; it must be there.
    pub fn deliver(self: *World, to: u8, kind: m.Kind) !void {
        for (self.letters.items, 0..) |letter, i| {
            if (letter.to != to or letter.message != kind) continue;
            _ = self.letters.orderedRemove(i);
            self.now_ns += 10_000;
            var h = self.host(to);
            self.nodes[to].receive(&h, letter.from, letter.message, self.now_ns);
            return;
        }
        return error.NoSuchMessage;
    }

    /// Delivers in order of sending, and lets time pass while only that helps.
    pub fn settle(self: *World) void {
        while (self.fatal.len == 0) {
            if (self.letters.items.len > 0) {
                const first = self.letters.items[0];
                self.deliver(first.to, first.message) catch unreachable;
                continue;
            }
            var at: u64 = std.math.maxInt(u64);
            for (self.nodes) |*dsm| at = @min(at, dsm.deadline() orelse at);
            if (at == std.math.maxInt(u64)) return;
            self.now_ns = @max(self.now_ns, at);
            for (self.nodes, 0..) |*dsm, i| {
                var h = self.host(@intCast(i));
                dsm.tick(&h, self.now_ns);
            }
        }
    }

    /// Longer than any residency of these small gathers.
    pub fn rest(self: *World) void {
        self.settle();
        self.now_ns += std.time.ns_per_s;
    }

    pub fn expectStates(self: *World, page: m.Page, expected: []const State) !void {
        for (expected, self.nodes) |state, *dsm| try testing.expectEqual(state, dsm.state(page));
    }
};

const Host = struct {
    world: *World,
    node: u8,

    pub fn send(self: *Host, to: u8, message: m.Message) void {
        const a = self.world.arena.allocator();
        const letter = a.create(Letter) catch unreachable;
        letter.* = .{ .from = self.node, .to = to, .message = message };
        switch (letter.message) {
            inline .data, .write_back, .put => |*body| if (body.content == .bytes) {
                letter.bytes = body.bytes[0..4096].*;
                body.bytes = &letter.bytes;
            },
            else => {},
        }
        self.world.letters.append(a, letter) catch unreachable;
    }

    pub fn bytes(self: *Host, page: m.Page) *const Bytes {
        return &self.world.bytes[self.node][page];
    }

    pub fn install(self: *Host, page: m.Page, content: *const Bytes) void {
        self.world.bytes[self.node][page] = content.*;
    }

    pub fn zero(self: *Host, page: m.Page) void {
        self.world.bytes[self.node][page] = @splat(0);
    }

    pub fn arrived(_: *Host, _: m.Page, _: State) void {}
    pub fn map(self: *Host, _: m.Page, state: State) void {
        assert(state != .invalid);
        self.world.maps += 1;
    }

    pub fn mapRun(self: *Host, first: m.Page, count: u32) void {
        for (first..first + count) |page| self.map(@intCast(page), .modified);
    }

    pub fn protect(_: *Host, _: m.Page) void {}

    pub fn drop(_: *Host, _: m.Page) void {}

    pub fn forget(self: *Host, page: m.Page) void {
        self.world.bytes[self.node][page] = @splat(0);
    }

    pub fn fatal(self: *Host, reason: []const u8) void {
        self.world.fatal = reason;
    }
};
