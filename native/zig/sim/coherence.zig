//! Seeded simulator of the production Dsm: 2 to 64 nodes on a bad network (wires.zig), each with
//! threads that run instructions of many pages (instructions.zig) over the same memory.
//!
//! After every call into a Dsm the pages it touched are checked against the truth (memory.zig);
//! when all threads have retired, everything must come to rest and every home must know the truth.
//! Beside the instructions it does what kernels do: repeats fault events, withdraws them, evicts
//! pages. A seed replays a run exactly. Long because a run's state has one owner.

const std = @import("std");
const audit = @import("audit.zig").audit;
const dump = @import("dump.zig").dump;
const m = @import("../wire/message.zig");
const dsm_room = @import("../dsm/dsm.zig");
const instructions = @import("instructions.zig");
const limits = @import("../limits.zig");
const memory = @import("memory.zig");
const mischief = @import("mischief.zig");
const options_room = @import("options.zig");
const Dsm = dsm_room.Dsm;
const Failure = memory.Failure;
const Host = @import("host.zig").Host;
const Thread = instructions.Thread;
const Wires = @import("wires.zig").Wires;

pub const Options = options_room.Options;
pub const Result = options_room.Result;
pub const drawn = options_room.drawn;

/// After the network has healed someone must retire within this time.
const stall_ns: u64 = 60 * std.time.ns_per_s;
const heal_ns: u64 = 2 * std.time.ns_per_s;
/// What survivors do after a node's death is watched for this long; then the VM has ended.
const aftermath_ns: u64 = std.time.ns_per_s;

const Node = struct { dsm: Dsm, threads: []Thread };

pub const Sim = struct {
    allocator: std.mem.Allocator,
    options: Options,
    prng: std.Random.DefaultPrng,
    nodes: []Node,
    truth: memory.Truth,
    wires: Wires = undefined,
    touched: std.ArrayList(u32) = .empty,
    now_ns: u64 = 1,
    healed: bool = false,
    progress_ns: u64 = 0,
    progress_step: u64 = 0,
    failure: ?Failure = null,
    fatal: []const u8 = "",
    result: Result = .{},

    pub fn init(allocator: std.mem.Allocator, options: Options) !*Sim {
        const self = try allocator.create(Sim);
        self.* = .{
            .allocator = allocator,
            .options = options,
            .prng = .init(options.seed),
            .nodes = try allocator.alloc(Node, options.nodes),
            .truth = try .init(allocator, options.nodes, options.pages),
        };
        const r = self.prng.random();
        self.wires = if (options.links) .{ .links = try .init(
            allocator,
            .init(allocator, r, options.net orelse .random(r, options.nodes)),
            options.nodes,
            self.now_ns,
        ) } else .{
            .channel = try .init(
                allocator,
                r,
                options.channel orelse .random(r, options.nodes),
                options.nodes,
                options.pages,
            ),
        };
        var shares: [memory.nodes_max]u32 = @splat(options.pages / options.nodes);
        shares[options.nodes - 1] += options.pages % options.nodes;
        for (self.nodes, 0..) |*node, i| try self.initNode(node, i, shares[0..options.nodes]);
        return self;
    }

    fn initNode(self: *Sim, node: *Node, index: usize, shares: []const u32) !void {
        const options = &self.options;
        node.* = .{
            .dsm = try .init(self.allocator, .{
                .node = @intCast(index),
                .shares = shares,
                .guards = options.guards,
                .elide = options.elide,
                .requests = options.threads + options.extra,
                .gang_requests = options.gang_requests,
                .threads = options.threads,
                .puts = 2,
                .inbox = 256,
                .parked = 64,
            }),
            .threads = try self.allocator.alloc(Thread, options.threads),
        };
        for (node.threads) |*thread| {
            thread.* = .{
                .needs = try self.allocator.alloc(instructions.Need, options.k_max),
                .left = options.instructions,
            };
            thread.draw(self.prng.random(), options);
            if (options.walks) thread.sweep(node.dsm.shares.starts[index], shares[index]);
        }
    }

    pub fn deinit(self: *Sim) void {
        const a = self.allocator;
        for (self.nodes) |*node| {
            node.dsm.deinit(a);
            for (node.threads) |*thread| a.free(thread.needs);
            a.free(node.threads);
        }
        self.wires.deinit();
        self.touched.deinit(a);
        self.truth.deinit(a);
        a.free(self.nodes);
        a.destroy(self);
    }

    /// Until every thread has retired all its instructions and everything is at rest.
    pub fn run(self: *Sim) Failure!Result {
        while (!self.retiredAll()) {
            if (self.over()) return self.result;
            try self.step();
        }
        if (self.options.crash_ns) |at| if (self.now_ns >= at) return self.result;
        self.options.crash_ns = null;
        if (self.options.seed % 2 == 0) for (self.nodes, 0..) |*node, i| {
            var host: Host = .{ .sim = self, .node = @intCast(i) };
            node.dsm.hush(&host, self.now_ns);
        };
        self.options.mischief = false;
        while (!self.atRest()) try self.step();
        try audit(self);
        self.result.sim_ns = self.now_ns;
        for (self.nodes) |*node| {
            self.result.ahead += node.dsm.stats.ahead;
            self.result.ahead_upgrades += node.dsm.stats.ahead_upgrades;
            self.result.touched_ahead += node.dsm.stats.touched_ahead;
        }
        return self.result;
    }

    /// A node has died: nobody waits for it for ever, the VM ends.
    fn over(self: *Sim) bool {
        const at = self.options.crash_ns orelse return false;
        return self.now_ns > at + aftermath_ns or (self.now_ns >= at and self.nextTime() == null);
    }

    pub fn crashed(self: *const Sim, node: usize) bool {
        const at = self.options.crash_ns orelse return false;
        return node == self.options.crash_node and self.now_ns >= at;
    }

    fn retiredAll(self: *Sim) bool {
        for (self.nodes) |*node| {
            for (node.threads) |*thread| if (thread.left > 0) return false;
        }
        return true;
    }

    fn atRest(self: *Sim) bool {
        for (self.nodes) |*node| if (!node.dsm.idle()) return false;
        return self.wires.quiet();
    }

    fn step(self: *Sim) Failure!void {
        const at = self.nextTime() orelse return error.Stalled;
        self.now_ns = @max(self.now_ns + 1, at);
        if (!self.healed and self.now_ns > heal_ns) {
            self.healed = true;
            self.progress_ns = self.now_ns;
            self.wires.heal();
        }
        for (self.nodes, 0..) |*node, i| {
            if (self.crashed(i)) continue;
            for (0..node.threads.len) |t| try self.runThread(@intCast(i), @intCast(t));
            if ((node.dsm.deadline() orelse continue) > self.now_ns) continue;
            var host: Host = .{ .sim = self, .node = @intCast(i) };
            self.result.steps += 1;
            node.dsm.tick(&host, self.now_ns);
            self.check(@intCast(i));
        }
        if (self.options.mischief) mischief.maybe(self);
        self.wires.pump(self.now_ns, self);
        if (self.failure) |failure| return failure;
        if (self.healed and self.now_ns - self.progress_ns > stall_ns) return error.Stalled;
        if (self.result.steps - self.progress_step > self.options.stall_steps) return error.Stalled;
    }

    fn nextTime(self: *Sim) ?u64 {
        const none = std.math.maxInt(u64);
        var at = self.wires.nextTime() orelse none;
        for (self.nodes, 0..) |*node, i| {
            if (self.crashed(i)) continue;
            at = @min(at, node.dsm.deadline() orelse none);
            for (node.threads) |*thread| {
                if (thread.left > 0 and thread.waits_for == null) at = @min(at, thread.ready_ns);
            }
        }
        return if (at == none) null else at;
    }

    fn runThread(self: *Sim, index: u8, number: u8) Failure!void {
        const thread = &self.nodes[index].threads[number];
        if (thread.left == 0) return;
        if (thread.waits_for != null) {
            // Every request ends, not only somebody's.
            const since = @max(thread.since_ns, heal_ns);
            if (self.now_ns > since + stall_ns) return error.Stalled;
            const overtaken = self.truth.grants[thread.waits_for.?] - thread.since_grants;
            self.result.overtaken = @max(self.result.overtaken, overtaken);
            if (overtaken > self.options.overtaken_max) return error.Starved;
            return;
        }
        if (thread.ready_ns > self.now_ns) return;
        const states = self.truth.mapped[index];
        const need = thread.lacks(states) orelse return self.retire(index, thread);
        thread.waits_for = need.page;
        thread.since_ns = self.now_ns;
        thread.since_grants = self.truth.grants[need.page];
        self.result.faults += 1;
        self.fault(index, number, need.page, need.write);
    }

    pub fn fault(self: *Sim, index: u8, number: u8, page: u32, write: bool) void {
        const access: m.Access = if (write) .write else .read;
        self.result.steps += 1;
        self.log(index, "fault", page, "thread={d} {t}", .{ number, access });
        var host: Host = .{ .sim = self, .node = index };
        self.nodes[index].dsm.fault(&host, page, access, number, self.now_ns);
        self.check(index);
    }

    fn retire(self: *Sim, index: u8, thread: *Thread) Failure!void {
        for (thread.needs[0..thread.count]) |need| {
            try self.truth.load(index, need.page);
            if (need.write) try self.truth.store(index, need.page);
        }
        self.result.steps += 1;
        self.log(index, "retire", thread.needs[0].page, "pages={d}", .{thread.count});
        const threads = self.nodes[index].threads;
        if (self.options.device and thread == &threads[threads.len - 1]) {
            self.nodes[index].dsm.endGather(@intCast(threads.len - 1), self.now_ns);
        }
        thread.left -= 1;
        self.result.retired += 1;
        self.progress_ns = self.now_ns;
        self.progress_step = self.result.steps;
        const r = self.prng.random();
        thread.ready_ns = self.now_ns + r.uintLessThan(u64, 20_000);
        thread.draw(r, &self.options);
    }

    pub fn coherent(self: *const Sim, page: u32) Failure!void {
        var held: [limits.nodes_max]dsm_room.State = undefined;
        for (self.nodes, 0..) |*node, i| held[i] = node.dsm.state(page);
        try self.truth.check(page, held[0..self.nodes.len]);
    }

    /// The pages a call has touched: coherent, and mapped as the node's Dsm believes, or less where
    /// a page is on trial (dsm/gang.zig, dsm/ahead.zig).
    pub fn check(self: *Sim, index: u8) void {
        for (self.touched.items) |page| {
            self.coherent(page) catch |err| self.fail(err);
            const held = self.nodes[index].dsm.state(page);
            const mapped = self.truth.mapped[index][page];
            const weaker = self.options.gang_requests > 0 and
                @intFromEnum(mapped) < @intFromEnum(held);
            if (mapped != held and !weaker) self.fail(error.StateDiffers);
        }
        self.touched.clearRetainingCapacity();
    }

    /// From the wires.
    pub fn deliver(self: *Sim, from: u8, to: u8, message: *const m.Message) void {
        if (self.failure != null or self.crashed(to)) return;
        self.result.steps += 1;
        self.log(to, "receive", @truncate(message.orderKey()), "from={d} {f}", .{ from, message });
        var host: Host = .{ .sim = self, .node = to };
        self.nodes[to].dsm.receive(&host, from, message.*, self.now_ns);
        self.check(to);
    }

    pub fn fail(self: *Sim, failure: Failure) void {
        if (self.failure == null) self.failure = failure;
    }

    /// Folds an event into the run's digest, by which two runs compare.
    pub fn note(self: *Sim, node: u8, kind: u8, page: u32) void {
        const event = self.now_ns << 24 ^ @as(u64, page) << 16 ^ @as(u64, kind) << 8 ^ node;
        self.result.digest = (std.math.rotl(u64, self.result.digest, 23) ^ event) *%
            0x9e3779b97f4a7c15;
    }

    /// One line, its columns in docs/simulator.md: time, step, node, event, page, detail.
    pub fn log(
        self: *Sim,
        node: u8,
        event: []const u8,
        page: u32,
        comptime detail: []const u8,
        arguments: anytype,
    ) void {
        if (!self.options.trace) return;
        const head = .{ self.now_ns, self.result.steps, node, event, page };
        const columns = "{d:>12} {d:>8} {d:>2} {s:<8} {x:>4} ";
        std.debug.print(columns ++ detail ++ "\n", head ++ arguments);
    }
};

/// Steps of the last run that failed, for the table of mutants.
pub var steps_at_failure: u64 = 0;

/// One whole run; says what failed, with the seed that replays it.
pub fn runOnce(allocator: std.mem.Allocator, options: Options) !Result {
    const sim = try Sim.init(allocator, options);
    defer sim.deinit();
    return sim.run() catch |err| {
        steps_at_failure = sim.result.steps;
        if (options.report) {
            std.debug.print("coherence seed {d}: {t} {s} after {d} steps\n", .{
                options.seed, err, sim.fatal, sim.result.steps,
            });
        }
        if (options.trace) dump(sim);
        return err;
    };
}
