//! A small world of the production Dsm: up to 3 nodes and 2 pages, one or two threads a node, a few
//! operations each. What may happen: a letter arrives, a thread begins an operation or goes on with
//! it, a node is called at its deadline; any of them with 0 to 3 units of time before it.
//!
//! Time is small and whole. The gap of a gather is one unit, its residency none, one or two, as
//! long as its first fault took; each node has its own clock. A unit that nobody looked at is the
//! same as one that passes before the node's next event, so only that one is kept (`pointless`).
//!
//! Long because it is all that graph.zig asks of a world, and the state it is made of.

const std = @import("std");
const dsm_room = @import("../dsm/dsm.zig");
const memory = @import("../sim/memory.zig");
const graph = @import("graph.zig");
const key = @import("pages_key.zig");
const lanes = @import("lanes.zig");
const Op = @import("ops.zig").Op;
const truth = @import("pages_truth.zig");
const Dsm = dsm_room.Dsm;
const Host = @import("pages_host.zig").Host;
const assert = std.debug.assert;

pub const nodes_max = 3;
pub const pages_max = 2;
pub const threads_max = 2;
/// Stores of all threads together, and the value nothing was stored over.
const values_max = 32;
const never = std.math.maxInt(u64);
const arena_bytes = 64 << 10;

pub const Failure = memory.Failure || error{
    /// More messages under way than a bounded protocol may have.
    TooManyMessages,
    /// A gather's count of those who wait for it is wrong.
    WrongCount,
    /// From here nothing comes to rest any more.
    Stuck,
};

pub const Options = struct {
    /// Pages of each node, as many as there are nodes.
    shares: []const u32,
    threads: u8 = 1,
    /// Operations each thread begins.
    ops: u8 = 2,
    alphabet: []const Op,
    /// One operation after the other of each thread, as indices into the alphabet; null: any.
    programs: ?[]const u8 = null,
    guards: dsm_room.Guards = .{},
    /// Requests and Puts of one node; the tables hold N x (R + P) as in production.
    extra: u32 = 0,
    puts: u32 = 1,
    gang_requests: u32 = 0,
    /// How often time may pass although something else could happen; null: always. It may pass
    /// freely when nothing else can.
    early: ?u8 = null,
    gap: u64 = 1,
    stay: u64 = 2,
};

pub const Kind = enum(u2) { deliver, start, run, tick };

/// deliver: a = sender * 4 + receiver, b = page. start, run: a = node * 4 + thread, b = operation.
pub const Event = packed struct(u16) { kind: Kind, delta: u2 = 0, a: u4, b: u8 = 0 };

pub const Thread = struct {
    left: u8,
    op: ?Op = null,
    waits_for: ?u8 = null,
};

/// All of the state that is not a Dsm's, the letters aside.
pub const Shared = struct {
    mapped: [nodes_max][pages_max]dsm_room.State = @splat(@splat(.invalid)),
    /// Number of the store that the bytes of a node show, and of the last one.
    values: [nodes_max][pages_max]u8 = @splat(@splat(0)),
    last: [pages_max]u8 = @splat(0),
    threads: [nodes_max][threads_max]Thread = undefined,
    now: [nodes_max]u64 = @splat(100),
    early: u8 = 0,
};

/// A Dsm and the memory it uses from one event to the next, which lies where it lies until the end.
const Node = struct {
    dsm: Dsm,
    arena: []u8,
    used: []u8,

    fn regions(self: *Node) [4 + 3 * threads_max][]u8 {
        var list: [4 + 3 * threads_max][]u8 = @splat(&.{});
        list[0..4].* = .{
            std.mem.asBytes(&self.dsm),
            self.used,
            std.mem.sliceAsBytes(self.dsm.local),
            std.mem.sliceAsBytes(self.dsm.entries),
        };
        for (self.dsm.gangs, 0..) |*gang, t| {
            assert(gang.length <= pages_max);
            list[4 + 3 * t ..][0..3].* = .{
                std.mem.sliceAsBytes(gang.members[0..pages_max]),
                std.mem.asBytes(&gang.length),
                std.mem.asBytes(&gang.hand),
            };
        }
        return list;
    }
};

pub const World = struct {
    pub const Failure = @import("pages.zig").Failure;

    allocator: std.mem.Allocator,
    options: Options,
    nodes: []Node,
    pages: u8,
    shared: Shared = .{},
    lanes: lanes.Lanes = .{},
    /// Where a key is written: fresh memory for each would be filled first.
    scratch: [1024]u8 = undefined,
    /// A page of bytes for each value, so that a pointer into it is the value.
    blocks: []memory.Bytes,
    failure: ?World.Failure = null,
    fatal: []const u8 = "",
    /// For `pointless`: when each node's last limit in time is, an event with the least time before
    /// it, and what it leads to after 1, 2, 3 more units.
    horizons: [nodes_max]u8 = @splat(0),
    base: ?Event = null,
    aged: [4]u64 = undefined,
    covered: dsm_room.Stats = .{},
    letters_most: u8 = 0,
    /// Prints what the events do.
    trace: bool = false,

    pub fn init(allocator: std.mem.Allocator, options: Options) !*World {
        assert(options.shares.len <= nodes_max and options.threads <= threads_max);
        const self = try allocator.create(World);
        self.* = .{
            .allocator = allocator,
            .options = options,
            .nodes = try allocator.alloc(Node, options.shares.len),
            .pages = 0,
            .blocks = try allocator.alloc(memory.Bytes, values_max),
        };
        self.shared.early = options.early orelse 0;
        for (options.shares) |share| self.pages += @intCast(share);
        assert(self.pages <= pages_max);
        for (self.nodes, 0..) |*node, i| try self.initNode(node, @intCast(i));
        return self;
    }

    fn initNode(self: *World, node: *Node, index: u8) !void {
        const o = &self.options;
        node.arena = try self.allocator.alloc(u8, arena_bytes);
        var fixed: std.heap.FixedBufferAllocator = .init(node.arena);
        node.dsm = try .init(fixed.allocator(), .{
            .node = index,
            .shares = o.shares,
            .guards = o.guards,
            .requests = o.threads + o.extra,
            .gang_requests = o.gang_requests,
            .puts = o.puts,
            .threads = o.threads,
            .inbox = 16,
            .parked = pages_max,
            .gathers = .{
                .gap_min_ns = o.gap,
                .gap_max_ns = o.gap,
                .multiple_max = 1,
                // At least two fault costs of at least one unit: the cap alone decides.
                .cap_max_ns = o.stay,
            },
        });
        assert(o.stay <= 2);
        // Gangs lie behind it, of which few members are used, and the inbox, empty between events.
        node.used = node.arena[0 .. @intFromPtr(node.dsm.gangs.ptr) - @intFromPtr(node.arena.ptr)];
        for (0..o.threads) |t| {
            self.shared.threads[index][t] = .{ .left = o.ops };
            // Gangs form over many instructions; here the habit is there from the start. Every
            // second page is on trial when it comes.
            if (o.gang_requests == 0) continue;
            for (0..self.pages) |page| {
                _ = node.dsm.gangs[t].noteFault(@intCast(page), .write);
                if (page % 2 == 0) node.dsm.gangs[t].members[page].used();
            }
        }
    }

    pub fn deinit(self: *World) void {
        const a = self.allocator;
        for (self.nodes) |*node| {
            var fixed: std.heap.FixedBufferAllocator = .init(node.arena);
            node.dsm.deinit(fixed.allocator());
            a.free(node.arena);
        }
        a.free(self.nodes);
        a.free(self.blocks);
        a.destroy(self);
    }

    pub fn imageBytes(self: *World) usize {
        var size: usize = @sizeOf(Shared) + @sizeOf(lanes.Lanes);
        for (self.nodes) |*node| for (node.regions()) |region| {
            size += region.len;
        };
        return size;
    }

    pub fn save(self: *World, image: []u8) void {
        @memcpy(image[0..@sizeOf(Shared)], std.mem.asBytes(&self.shared));
        var at: usize = @sizeOf(Shared);
        for (self.nodes) |*node| for (node.regions()) |region| {
            @memcpy(image[at..][0..region.len], region);
            at += region.len;
        };
        for (self.nodes) |*node| assert(node.dsm.inbox_length == 0);
        // Last, as only those under way are copied.
        image[at] = self.lanes.count;
        const letters = std.mem.sliceAsBytes(self.lanes.slice());
        @memcpy(image[at + 1 ..][0..letters.len], letters);
    }

    pub fn restore(self: *World, image: []const u8) void {
        self.restoreSome(image, null);
    }

    pub fn restoreAfter(self: *World, image: []const u8, code: graph.Code) void {
        self.restoreSome(image, nodeOf(@bitCast(code)));
    }

    fn restoreSome(self: *World, image: []const u8, only: ?u8) void {
        @memcpy(std.mem.asBytes(&self.shared), image[0..@sizeOf(Shared)]);
        var at: usize = @sizeOf(Shared);
        for (self.nodes, 0..) |*node, i| for (node.regions()) |region| {
            if ((only orelse i) == i) @memcpy(region, image[at..][0..region.len]);
            at += region.len;
        };
        self.lanes.count = image[at];
        const letters = std.mem.sliceAsBytes(self.lanes.letters[0..self.lanes.count]);
        @memcpy(letters, image[at + 1 ..][0..letters.len]);
        self.failure = null;
    }

    /// The one node an event calls.
    pub fn nodeOf(event: Event) u8 {
        return switch (event.kind) {
            .deliver => event.a & 3,
            .start, .run, .tick => event.a >> 2,
        };
    }

    pub fn classOf(code: graph.Code) graph.Class {
        const event: Event = @bitCast(code);
        if (event.kind == .start) return .start;
        return if (event.delta > 0) .timed else .prompt;
    }

    /// Each without time first, as `pointless` compares the others with it.
    pub fn events(self: *World, buffer: []graph.Code) []graph.Code {
        var list: std.ArrayList(graph.Code) = .initBuffer(buffer);
        self.base = null;
        const free = self.options.early == null or self.shared.early > 0 or !self.prompt();
        self.horizons = if (free) key.horizons(self) else @splat(0);
        const horizons = &self.horizons;
        for (self.lanes.slice(), 0..) |letter, i| {
            if (!self.lanes.leads(i)) continue;
            const a: u4 = @intCast(@as(u8, letter.from) << 2 | letter.to);
            offer(&list, .{ .kind = .deliver, .a = a, .b = letter.page }, horizons[letter.to]);
        }
        for (self.nodes, 0..) |*node, i| {
            const horizon = horizons[i];
            if (node.dsm.deadline()) |at| {
                const least = at -| self.shared.now[i];
                if (least == 0 or free) offerTicks(&list, i, least, horizon);
            }
            for (0..self.options.threads) |t| self.offerThread(&list, i, t, horizon);
        }
        return list.items;
    }

    /// Whether anything can happen without time, new operations aside.
    fn prompt(self: *const World) bool {
        if (self.lanes.count > 0) return true;
        for (self.nodes, 0..) |*node, i| {
            if ((node.dsm.deadline() orelse never) <= self.shared.now[i]) return true;
            for (self.shared.threads[i][0..self.options.threads]) |*thread| {
                if (thread.op != null and thread.waits_for == null) return true;
            }
        }
        return false;
    }

    fn offerThread(
        self: *World,
        list: *std.ArrayList(graph.Code),
        node: usize,
        number: usize,
        horizon: u8,
    ) void {
        const thread = &self.shared.threads[node][number];
        const a: u4 = @intCast(node << 2 | number);
        if (thread.waits_for != null) return;
        if (thread.op != null) return offer(list, .{ .kind = .run, .a = a }, horizon);
        if (thread.left == 0) return;
        if (self.options.programs) |programs| {
            const place = (node * self.options.threads + number + 1) * self.options.ops;
            const b = programs[place - thread.left];
            return offer(list, .{ .kind = .start, .a = a, .b = b }, horizon);
        }
        for (0..self.options.alphabet.len) |op| {
            offer(list, .{ .kind = .start, .a = a, .b = @intCast(op) }, horizon);
        }
    }

    fn offerTicks(list: *std.ArrayList(graph.Code), node: usize, least: u64, horizon: u8) void {
        for (least..@max(least, horizon) + 1) |delta| {
            const a: u4 = @intCast(node << 2);
            const tick: Event = .{ .kind = .tick, .delta = @intCast(delta), .a = a };
            list.appendAssumeCapacity(@bitCast(tick));
        }
    }

    fn offer(list: *std.ArrayList(graph.Code), event: Event, horizon: u8) void {
        for (0..@as(usize, horizon) + 1) |delta| {
            var timed = event;
            timed.delta = @intCast(delta);
            list.appendAssumeCapacity(@bitCast(timed));
        }
    }

    pub fn apply(self: *World, code: graph.Code) World.Failure!bool {
        const event: Event = @bitCast(code);
        const index = nodeOf(event);
        const node = &self.nodes[index];
        node.dsm.stats = .{};
        if (event.delta > 0 and self.options.early != null and self.prompt()) {
            self.shared.early -= 1;
        }
        self.shared.now[index] += event.delta;
        const now = self.shared.now[index];
        var host: Host = .{ .world = self, .node = index };
        var took = true;
        switch (event.kind) {
            .deliver => {
                const letter = self.lanes.pop(event.a >> 2, index, event.b).?;
                node.dsm.receive(&host, letter.from, letter.message, now);
            },
            .start, .run => took = try self.proceed(event, &host, now),
            .tick => node.dsm.tick(&host, now),
        }
        inline for (@typeInfo(dsm_room.Stats).@"struct".fields) |field| {
            @field(self.covered, field.name) += @field(node.dsm.stats, field.name);
        }
        self.letters_most = @max(self.letters_most, self.lanes.count);
        if (self.failure) |failure| return failure;
        if (took) try truth.check(self);
        return took;
    }

    /// A thread begins an operation or looks at it again: it faults on the first page it lacks, or
    /// does everything in this moment.
    fn proceed(self: *World, event: Event, host: *Host, now: u64) World.Failure!bool {
        const number: u8 = event.a & 3;
        const thread = &self.shared.threads[host.node][number];
        const dsm = &self.nodes[host.node].dsm;
        if (event.kind == .start) {
            thread.op = self.options.alphabet[event.b];
            thread.left -= 1;
        }
        const op = thread.op.?;
        if (op.kind == .evict) {
            thread.op = null;
            return dsm.evict(host, op.first, now);
        }
        for (0..op.count()) |i| {
            const need = op.need(@intCast(i));
            const state = self.shared.mapped[host.node][need.page];
            if (state == .modified or (state == .shared and !need.write)) continue;
            thread.waits_for = need.page;
            dsm.fault(host, need.page, if (need.write) .write else .read, number, now);
            return true;
        }
        thread.op = null;
        for (0..op.count()) |i| try truth.use(self, host.node, op.need(@intCast(i)));
        return true;
    }

    /// Whether the time that passed before this event was looked at by nobody.
    pub fn pointless(self: *World, code: graph.Code, print: u64) bool {
        const event: Event = @bitCast(code);
        if (self.base) |base| if (base.kind == event.kind and base.a == event.a and
            base.b == event.b)
        {
            assert(event.delta > base.delta);
            return self.aged[event.delta - base.delta] == print;
        };
        self.base = event;
        const node = nodeOf(event);
        const now = &self.shared.now[node];
        for (1..@as(usize, self.horizons[node] -| event.delta) + 1) |delta| {
            now.* += delta;
            self.aged[delta] = key.fingerprint(self);
            now.* -= delta;
        }
        return false;
    }

    /// One line of a counterexample; its columns are in docs/exploration.md.
    pub fn show(self: *World, step: usize, code: graph.Code) void {
        const event: Event = @bitCast(code);
        const head = .{ step, nodeOf(event), event.delta, @tagName(event.kind) };
        std.debug.print("{d:>4} {d:>2} {d} {s:<8} ", head);
        switch (event.kind) {
            .deliver => for (self.lanes.slice()) |letter| {
                if (letter.from != event.a >> 2 or letter.to != nodeOf(event)) continue;
                if (letter.page != event.b) continue;
                const body = .{ event.b, letter.from, letter.message };
                return std.debug.print("{x:>2} from={d} {f}\n", body);
            },
            .start => std.debug.print(" - thread={d} {f}\n", .{
                event.a & 3, self.options.alphabet[event.b],
            }),
            .run => std.debug.print(" - thread={d}\n", .{event.a & 3}),
            .tick => std.debug.print(" -\n", .{}),
        }
    }

    pub fn fingerprint(self: *World) u64 {
        return key.fingerprint(self);
    }

    pub fn atRest(self: *World) World.Failure!bool {
        return truth.atRest(self);
    }
};
