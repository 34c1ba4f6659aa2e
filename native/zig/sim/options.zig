//! What a run of the coherence simulator is made of, and what it reports.

const std = @import("std");
const channel = @import("channel.zig");
const network = @import("network.zig");
const Elide = @import("../dsm/config.zig").Elide;
const Guards = @import("../dsm/guards.zig").Guards;

pub const Options = struct {
    seed: u64,
    nodes: u8 = 3,
    threads: u8 = 2,
    pages: u32 = 24,
    /// Pages of one instruction, and how many of them it writes.
    k_min: u32 = 1,
    k_max: u32 = 4,
    write_percent: u8 = 33,
    /// They follow each other in memory.
    walks: bool = false,
    /// Instructions each thread retires.
    instructions: u32 = 40,
    guards: Guards = .{},
    elide: Elide = .{},
    /// Production links over lossy datagrams instead of the bare channel.
    links: bool = false,
    net: ?network.Options = null,
    channel: ?channel.Options = null,
    /// Evictions, repeated and withdrawn fault events.
    mischief: bool = true,
    mischief_per_mille: u16 = 25,
    /// Requests a node may have out beside one per thread.
    extra: u32 = 1,
    /// And for the pages of gangs, half of them also for what is fetched ahead.
    gang_requests: u32 = 4,
    /// Wakes after a fault are late by up to this, one in 25.
    wake_late_ns: u64 = 500_000,
    /// The last thread of each node is a device: it ends its gather when it has its pages.
    device: bool = false,
    /// A node, and the simulated time, from which it neither acts nor hears.
    crash_node: u8 = 0,
    crash_ns: ?u64 = null,
    trace: bool = false,
    report: bool = true,
    /// Steps without any retirement after which a run counts as stalled.
    stall_steps: u64 = 1_000_000,
    /// Grants of a page to others while one thread waits for it.
    overtaken_max: u64 = std.math.maxInt(u64),

    /// Everything else as drawn, but this many nodes and pages.
    pub fn fix(self: *Options, nodes: u8, pages: u32) void {
        self.nodes = nodes;
        self.pages = pages;
        self.links = false;
        self.crash_ns = null;
        self.instructions = 120;
    }
};

pub const Result = struct {
    steps: u64 = 0,
    retired: u64 = 0,
    faults: u64 = 0,
    /// Most grants of a page to others while one thread waited for it.
    overtaken: u64 = 0,
    /// Requests for what was fetched ahead, by all nodes.
    ahead: u64 = 0,
    /// Of these: for the right to write what may be read.
    ahead_upgrades: u64 = 0,
    /// Pages of home memory granted ahead.
    touched_ahead: u64 = 0,
    /// Of all events; equal runs have equal digests.
    digest: u64 = 0,
    sim_ns: u64 = 0,
};

/// Everything about a run is drawn from its seed, so that seeds differ in what they try.
pub fn drawn(seed: u64) Options {
    var prng: std.Random.DefaultPrng = .init(seed ^ 0x5eed);
    const r = prng.random();
    const links = seed % 64 == 0;
    const many = r.uintLessThan(u8, if (links) 32 else 64) == 0;
    const several = r.uintLessThan(u8, 8) == 0;
    const most: u8 = if (links) network.nodes_max - 1 else 63;
    const nodes_most: u8 = if (many) most else if (several) 7 else 3;
    const large = r.uintLessThan(u8, 64) == 0 and !many and !links;
    const nodes = 2 + r.uintLessThan(u8, nodes_most);
    const wake_late_ns = ([_]u64{ 0, 500_000, 500_000, 20_000_000 })[r.uintLessThan(u8, 4)];
    return .{
        .seed = seed,
        .nodes = nodes,
        .threads = 1 + r.uintLessThan(u8, 3),
        .pages = if (large) 420 else 6 + r.uintLessThan(u32, 59),
        .k_max = 1 + r.uintLessThan(u32, if (large) 400 else if (several) 40 else 8),
        .write_percent = 10 + r.uintLessThan(u8, 70),
        .instructions = if (many or large) 10 else if (links) 30 else 120,
        .links = links,
        .elide = .{ .zero = r.uintLessThan(u8, 4) != 0, .same = r.uintLessThan(u8, 4) != 0 },
        .extra = r.uintLessThan(u32, 3),
        .gang_requests = if (r.boolean()) r.uintLessThan(u32, 32) else 0,
        .wake_late_ns = wake_late_ns,
        .mischief_per_mille = ([_]u16{ 10, 25, 25, 300 })[r.uintLessThan(u8, 4)],
        .device = r.uintLessThan(u8, 4) == 0,
        .crash_node = r.uintLessThan(u8, nodes),
        .crash_ns = if (r.uintLessThan(u8, 32) == 0) r.uintLessThan(u64, 20_000_000) else null,
        .walks = r.uintLessThan(u8, 4) == 0,
    };
}
