//! A pretend network for the simulators: datagrams between nodes are lost, duplicated, delayed and
//! so reordered, and directions are cut for a while, all from one seed.

const std = @import("std");

pub const nodes_max = 16;

pub const Options = struct {
    loss_percent: u8 = 0,
    duplicate_percent: u8 = 0,
    delay_min_ns: u64 = 10_000,
    delay_max_ns: u64 = 200_000,
    /// Chance in a thousand per datagram that its direction is cut.
    cut_per_mille: u16 = 0,
    cut_ns: u64 = 50_000_000,
    /// Chance in ten thousand that some nodes are not heard by the others, one way, for cut_ns.
    partition_per_myriad: u16 = 0,
    /// Chance in a thousand of a tail, ten times the longest delay.
    tail_per_mille: u16 = 0,
    /// To and from this node everything takes eight times as long.
    slow_node: ?u8 = null,
    /// Datagrams of more bytes never arrive, from that moment on; nothing heals that.
    path_bytes: usize = std.math.maxInt(usize),
    path_from_ns: u64 = 0,

    /// Draws a network between perfect and terrible.
    pub fn random(r: std.Random, nodes: u8) Options {
        return .{
            .loss_percent = if (r.boolean()) r.uintAtMost(u8, 20) else 0,
            .duplicate_percent = if (r.boolean()) r.uintAtMost(u8, 10) else 0,
            .delay_min_ns = r.intRangeAtMost(u64, 1_000, 100_000),
            .delay_max_ns = r.intRangeAtMost(u64, 100_000, 5_000_000),
            .cut_per_mille = if (r.uintLessThan(u8, 4) == 0) 2 else 0,
            .partition_per_myriad = if (r.uintLessThan(u8, 4) == 0) 5 else 0,
            .tail_per_mille = if (r.uintLessThan(u8, 3) == 0) 20 else 0,
            .slow_node = if (r.uintLessThan(u8, 4) == 0) r.uintLessThan(u8, nodes) else null,
        };
    }
};

pub const Datagram = struct {
    at_ns: u64,
    sequence: u64,
    from: u8,
    to: u8,
    bytes: []u8,

    fn order(_: void, a: Datagram, b: Datagram) std.math.Order {
        const by_time = std.math.order(a.at_ns, b.at_ns);
        return if (by_time == .eq) std.math.order(a.sequence, b.sequence) else by_time;
    }
};

pub const Network = struct {
    allocator: std.mem.Allocator,
    random: std.Random,
    options: Options,
    queue: std.PriorityQueue(Datagram, void, Datagram.order),
    sequence: u64 = 0,
    healed: bool = false,
    cut_until_ns: [nodes_max][nodes_max]u64 = @splat(@splat(0)),
    unheard: u16 = 0,
    unheard_until_ns: u64 = 0,

    pub fn init(allocator: std.mem.Allocator, random: std.Random, options: Options) Network {
        return .{
            .allocator = allocator,
            .random = random,
            .options = options,
            .queue = .empty,
        };
    }

    pub fn deinit(self: *Network) void {
        while (self.queue.pop()) |d| self.allocator.free(d.bytes);
        self.queue.deinit(self.allocator);
    }

    pub fn transmit(self: *Network, from: u8, to: u8, bytes: []const u8, now_ns: u64) void {
        const o = self.options;
        if (bytes.len > o.path_bytes and now_ns >= o.path_from_ns) return;
        if (!self.healed) {
            const cut = &self.cut_until_ns[from][to];
            if (cut.* > now_ns or self.partitioned(from, to, now_ns)) return;
            if (self.random.uintLessThan(u16, 1000) < o.cut_per_mille) cut.* = now_ns + o.cut_ns;
            if (self.random.uintLessThan(u8, 100) < o.loss_percent) return;
            if (self.random.uintLessThan(u8, 100) < o.duplicate_percent) {
                self.post(from, to, bytes, now_ns);
            }
        }
        self.post(from, to, bytes, now_ns);
    }

    fn partitioned(self: *Network, from: u8, to: u8, now_ns: u64) bool {
        const o = self.options;
        if (now_ns >= self.unheard_until_ns and o.partition_per_myriad > 0 and
            self.random.uintLessThan(u16, 10_000) < o.partition_per_myriad)
        {
            self.unheard = self.random.int(u16);
            self.unheard_until_ns = now_ns + o.cut_ns;
        }
        if (now_ns >= self.unheard_until_ns) return false;
        return self.unheard >> @intCast(from) & 1 == 1 and self.unheard >> @intCast(to) & 1 == 0;
    }

    fn post(self: *Network, from: u8, to: u8, bytes: []const u8, now_ns: u64) void {
        const o = self.options;
        var delay = self.random.intRangeAtMost(u64, o.delay_min_ns, o.delay_max_ns);
        if (o.slow_node) |slow| if (slow == from or slow == to) {
            delay *= 8;
        };
        if (o.tail_per_mille > 0 and self.random.uintLessThan(u16, 1000) < o.tail_per_mille) {
            delay += 10 * o.delay_max_ns;
        }
        self.sequence += 1;
        const copy = self.allocator.dupe(u8, bytes) catch @panic("simulator out of memory");
        self.queue.push(self.allocator, .{
            .at_ns = now_ns + delay,
            .sequence = self.sequence,
            .from = from,
            .to = to,
            .bytes = copy,
        }) catch @panic("simulator out of memory");
    }

    pub fn nextTime(self: *Network) ?u64 {
        return if (self.queue.peek()) |d| d.at_ns else null;
    }

    /// The caller frees the bytes with `allocator`.
    pub fn pop(self: *Network) ?Datagram {
        return self.queue.pop();
    }

    /// From now on nothing is lost: what was sent must arrive.
    pub fn heal(self: *Network) void {
        self.healed = true;
    }
};
