//! Seeded simulator of the production Dsm over the production Link, 2 to 4 nodes on a bad network.
//!
//! Simulated threads run instructions that need k pages at once (some for writing): a thread faults on
//! the first page it lacks, sleeps until it is mapped and a wake delay passed, and starts the
//! instruction again; it retires when it has them all in one moment. So every revocation in between
//! is a restart, as on real hardware. A seed replays a run exactly.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const Message = @import("../wire/message.zig").Message;
const Dsm = @import("../dsm/dsm.zig").Dsm;
const State = @import("../dsm/dsm.zig").State;
const Guards = @import("../dsm/guards.zig").Guards;
const Link = @import("../transport/link.zig").Link;
const memory = @import("memory.zig");
const network = @import("network.zig");
const Failure = memory.Failure;

pub const Options = struct {
    seed: u64,
    nodes: u8 = 3,
    threads: u8 = 2,
    pages: u32 = 24,
    /// Pages of one instruction at most.
    k_max: u32 = 4,
    /// Instructions each thread retires.
    instructions: u32 = 40,
    guards: Guards = .{},
    net: ?network.Options = null,
    evictions: bool = true,
    trace: bool = false,
    report: bool = true,
};

pub const Result = struct { steps: u64, retired: u64, restarts: u64, sim_ns: u64 };

const Need = struct { page: u32, write: bool };

const Thread = struct {
    needs: []Need,
    count: u32 = 0,
    left: u32,
    /// Set while it sleeps in a fault.
    waits_for: ?u32 = null,
    /// When it looks at its instruction again.
    ready_ns: u64 = 0,
};

const Node = struct {
    dsm: Dsm,
    /// One page of memory each; the value is in the first 8 bytes, its check in the last.
    bytes: [][4096]u8,
    links: [memory.nodes_max]?Link = @splat(null),
    threads: []Thread,
};

pub const Sim = struct {
    allocator: std.mem.Allocator,
    options: Options,
    prng: std.Random.DefaultPrng,
    nodes: []Node,
    truth: memory.Truth,
    net: network.Network = undefined,
    now_ns: u64 = 1,
    failure: ?Failure = null,
    fatal: []const u8 = "",
    result: Result = .{ .steps = 0, .retired = 0, .restarts = 0, .sim_ns = 0 },

    pub fn init(allocator: std.mem.Allocator, options: Options) !*Sim {
        const self = try allocator.create(Sim);
        self.* = .{
            .allocator = allocator,
            .options = options,
            .prng = .init(options.seed),
            .nodes = try allocator.alloc(Node, options.nodes),
            .truth = try .init(allocator, options.nodes, options.pages),
        };
        const random = self.prng.random();
        self.net = .init(allocator, random, options.net orelse .random(random));
        var shares: [memory.nodes_max]u32 = undefined;
        const each = options.pages / options.nodes;
        for (0..options.nodes) |i| shares[i] = each;
        shares[options.nodes - 1] = options.pages - each * (options.nodes - 1);
        for (self.nodes, 0..) |*node, i| try self.initNode(node, i, shares[0..options.nodes]);
        return self;
    }

    fn initNode(self: *Sim, node: *Node, index: usize, shares: []const u32) !void {
        node.* = .{
            .dsm = try .init(self.allocator, .{
                .node = @intCast(index),
                .shares = shares,
                .guards = self.options.guards,
            }),
            .bytes = try self.allocator.alloc([4096]u8, self.options.pages),
            .threads = try self.allocator.alloc(Thread, self.options.threads),
        };
        for (node.bytes) |*page| @memset(page, 0);
        for (node.threads) |*thread| {
            thread.* = .{
                .needs = try self.allocator.alloc(Need, self.options.k_max),
                .left = self.options.instructions,
            };
            self.draw(thread);
        }
        for (0..shares.len) |peer| if (peer != index) {
            node.links[peer] = try Link.init(self.allocator, .{
                .vm_id = 1,
                .epoch = 1,
                .self = @intCast(index),
                .peer = @intCast(peer),
                .mtu = 1400,
                .heartbeat_ns = 200_000_000,
            }, self.now_ns);
        };
    }

    pub fn deinit(self: *Sim) void {
        const a = self.allocator;
        for (self.nodes) |*node| {
            node.dsm.deinit(a);
            a.free(node.bytes);
            for (node.threads) |*thread| a.free(thread.needs);
            a.free(node.threads);
            for (&node.links) |*link| if (link.*) |*l| l.deinit(a);
        }
        self.net.deinit();
        self.truth.deinit(a);
        a.free(self.nodes);
        a.destroy(self);
    }

    /// A new instruction: up to k distinct pages, a third of them for writing.
    fn draw(self: *Sim, thread: *Thread) void {
        const random = self.prng.random();
        const wanted = 1 + random.uintLessThan(u32, self.options.k_max);
        thread.count = 0;
        while (thread.count < wanted) {
            const page = random.uintLessThan(u32, self.options.pages);
            const known = for (thread.needs[0..thread.count]) |need| {
                if (need.page == page) break true;
            } else false;
            if (known and wanted < self.options.pages) continue;
            thread.needs[thread.count] = .{ .page = page, .write = random.uintLessThan(u8, 3) == 0 };
            thread.count += 1;
        }
    }

    /// Runs until every thread retired all its instructions.
    pub fn run(self: *Sim) Failure!Result {
        const limit_steps: u64 = 40_000_000;
        var heal_at: u64 = 5_000_000_000;
        while (!self.done()) : (self.result.steps += 1) {
            if (self.failure) |failure| return failure;
            if (self.now_ns > heal_at) {
                self.net.heal();
                heal_at = std.math.maxInt(u64);
            }
            if (self.now_ns > 2_000_000_000_000 or self.result.steps > limit_steps) {
                return error.Stalled;
            }
            self.step();
        }
        if (self.failure) |failure| return failure;
        self.result.sim_ns = self.now_ns;
        return self.result;
    }

    fn done(self: *Sim) bool {
        for (self.nodes) |*node| {
            for (node.threads) |*thread| if (thread.left > 0) return false;
        }
        return true;
    }

    fn step(self: *Sim) void {
        self.now_ns = @max(self.now_ns, self.nextTime());
        for (self.nodes, 0..) |*node, i| {
            for (node.threads, 0..) |*thread, t| self.runThread(@intCast(i), @intCast(t), thread);
            if (node.dsm.deadline()) |at| if (at <= self.now_ns) {
                var host: Host = .{ .sim = self, .node = @intCast(i) };
                node.dsm.tick(&host, self.now_ns);
            };
            self.maybeEvict(@intCast(i));
        }
        while (self.net.nextTime()) |at| {
            if (at > self.now_ns) break;
            const d = self.net.pop().?;
            defer self.allocator.free(d.bytes);
            var host: Deliver = .{ .sim = self, .node = d.to, .from = d.from };
            self.nodes[d.to].links[d.from].?.receive(d.bytes, self.now_ns, &host);
        }
        for (self.nodes, 0..) |*node, i| for (&node.links, 0..) |*link, peer| if (link.*) |*l| {
            var host: Transmit = .{ .sim = self, .from = @intCast(i), .to = @intCast(peer) };
            l.poll(self.now_ns, &host);
        };
    }

    fn maybeEvict(self: *Sim, index: u8) void {
        const random = self.prng.random();
        if (!self.options.evictions or random.uintLessThan(u8, 50) != 0) return;
        var host: Host = .{ .sim = self, .node = index };
        const page = random.uintLessThan(u32, self.options.pages);
        _ = self.nodes[index].dsm.evict(&host, page, self.now_ns);
    }

    fn nextTime(self: *Sim) u64 {
        var at: u64 = std.math.maxInt(u64);
        if (self.net.nextTime()) |t| at = @min(at, t);
        for (self.nodes) |*node| {
            if (node.dsm.deadline()) |t| at = @min(at, t);
            for (&node.links) |*link| if (link.*) |*l| {
                at = @min(at, l.deadline().?);
            };
            for (node.threads) |*thread| {
                if (thread.left > 0 and thread.waits_for == null) at = @min(at, thread.ready_ns);
            }
        }
        return @max(at, self.now_ns + 1);
    }

    fn runThread(self: *Sim, index: u8, number: u8, thread: *Thread) void {
        if (thread.left == 0 or thread.waits_for != null or thread.ready_ns > self.now_ns) return;
        const states = self.truth.mapped[index];
        for (thread.needs[0..thread.count]) |need| {
            const enough = states[need.page] == .modified or
                (states[need.page] == .shared and !need.write);
            if (enough) continue;
            thread.waits_for = need.page;
            self.result.restarts += 1;
            var host: Host = .{ .sim = self, .node = index };
            const access: @import("../wire/message.zig").Access = if (need.write) .write else .read;
            self.nodes[index].dsm.fault(&host, need.page, access, number, self.now_ns);
            return;
        }
        self.retire(index, thread);
    }

    fn retire(self: *Sim, index: u8, thread: *Thread) void {
        for (thread.needs[0..thread.count]) |need| {
            const bytes = &self.nodes[index].bytes[need.page];
            const value = valueOf(bytes) catch |err| return self.fail(err);
            self.truth.load(need.page, value) catch |err| return self.fail(err);
            if (!need.write) continue;
            setValue(bytes, value + 1);
            self.truth.store(need.page, value + 1);
        }
        thread.left -= 1;
        self.result.retired += 1;
        thread.ready_ns = self.now_ns + self.prng.random().uintLessThan(u64, 20_000);
        self.draw(thread);
    }

    fn fail(self: *Sim, failure: Failure) void {
        if (self.failure == null) self.failure = failure;
    }

    fn log(self: *Sim, comptime format: []const u8, arguments: anytype) void {
        if (self.options.trace) std.debug.print("{d:>12} " ++ format ++ "\n", .{self.now_ns} ++ arguments);
    }
};

/// The value stands at both ends of the page, so a torn page shows.
fn valueOf(bytes: *const [4096]u8) Failure!u64 {
    const first = std.mem.readInt(u64, bytes[0..8], .little);
    const last = std.mem.readInt(u64, bytes[4088..4096], .little);
    return if (first == last) first else error.LostStore;
}

fn setValue(bytes: *[4096]u8, value: u64) void {
    std.mem.writeInt(u64, bytes[0..8], value, .little);
    std.mem.writeInt(u64, bytes[4088..4096], value, .little);
}

/// Effects of one node's Dsm.
const Host = struct {
    sim: *Sim,
    node: u8,

    pub fn send(self: *Host, to: u8, message: Message) void {
        var buffer: [codec.message_bytes_max]u8 = undefined;
        const encoded = codec.encode(&message, &buffer);
        const link = &self.sim.nodes[self.node].links[to].?;
        self.sim.log("{d} -> {d} {f}", .{ self.node, to, message });
        link.send(message.classOf(), message.orderKey(), encoded, self.sim.now_ns) catch unreachable;
    }

    pub fn bytes(self: *Host, page: u32) *const [4096]u8 {
        return &self.sim.nodes[self.node].bytes[page];
    }

    pub fn install(self: *Host, page: u32, content: *const [4096]u8) void {
        if (self.sim.truth.mapped[self.node][page] != .invalid) {
            self.sim.fail(error.InstalledUnderMapping);
        }
        self.sim.nodes[self.node].bytes[page] = content.*;
    }

    pub fn zero(self: *Host, page: u32) void {
        const none: [4096]u8 = @splat(0);
        self.install(page, &none);
    }

    pub fn map(self: *Host, page: u32, state: State) void {
        const sim = self.sim;
        sim.log("{d} map {d} {t}", .{ self.node, page, state });
        const value = valueOf(&sim.nodes[self.node].bytes[page]) catch |err| return sim.fail(err);
        sim.truth.map(self.node, page, state, value) catch |err| return sim.fail(err);
        const random = sim.prng.random();
        for (sim.nodes[self.node].threads) |*thread| {
            if (thread.waits_for != page) continue;
            thread.waits_for = null;
            // Most wakes are quick, some are late (facts of real schedulers).
            const late = random.uintLessThan(u8, 25) == 0;
            thread.ready_ns = sim.now_ns + random.uintLessThan(u64, if (late) 500_000 else 15_000);
        }
    }

    pub fn protect(self: *Host, page: u32) void {
        self.sim.truth.mapped[self.node][page] = .shared;
    }

    pub fn drop(self: *Host, page: u32) void {
        self.sim.truth.mapped[self.node][page] = .invalid;
    }

    pub fn fatal(self: *Host, reason: []const u8) void {
        self.sim.fatal = reason;
        self.sim.fail(error.Fatal);
    }
};

const Deliver = struct {
    sim: *Sim,
    node: u8,
    from: u8,

    pub fn deliver(self: *Deliver, bytes: []const u8) void {
        const message = codec.decode(bytes) catch unreachable;
        var host: Host = .{ .sim = self.sim, .node = self.node };
        self.sim.nodes[self.node].dsm.receive(&host, self.from, message, self.sim.now_ns);
    }
};

const Transmit = struct {
    sim: *Sim,
    from: u8,
    to: u8,

    pub fn transmit(self: *Transmit, datagram: []const u8) void {
        self.sim.net.transmit(self.from, self.to, datagram, self.sim.now_ns);
    }
};

/// One whole run; prints what failed, with the seed that replays it.
pub fn runOnce(allocator: std.mem.Allocator, options: Options) !Result {
    const sim = try Sim.init(allocator, options);
    defer sim.deinit();
    return sim.run() catch |err| {
        if (options.report) {
            std.debug.print("coherence seed {d}: {t} {s}\n", .{ options.seed, err, sim.fatal });
        }
        return err;
    };
}

fn expectClean(options: Options) !Result {
    return runOnce(std.testing.allocator, options);
}

test "random instructions over bad networks stay coherent" {
    for (0..24) |seed| {
        var prng: std.Random.DefaultPrng = .init(seed);
        _ = try expectClean(.{
            .seed = seed,
            .nodes = 2 + prng.random().uintLessThan(u8, 3),
            .threads = 1 + prng.random().uintLessThan(u8, 3),
            .k_max = 1 + prng.random().uintLessThan(u32, 8),
        });
    }
}

test "instructions that need 400 pages at once finish on all nodes that fight for them" {
    const quiet: network.Options = .{ .delay_min_ns = 5_000, .delay_max_ns = 20_000 };
    for ([_]u8{ 2, 3 }) |nodes| {
        const result = try expectClean(.{
            .seed = 7 + @as(u64, nodes),
            .nodes = nodes,
            .threads = 1,
            .pages = 420,
            .k_max = 400,
            .instructions = 3,
            .net = quiet,
            .evictions = false,
        });
        try std.testing.expectEqual(@as(u64, nodes) * 3, result.retired);
    }
}

test "a seed replays exactly" {
    const a = try expectClean(.{ .seed = 77 });
    const b = try expectClean(.{ .seed = 77 });
    try std.testing.expectEqual(a, b);
}
