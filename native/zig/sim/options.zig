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
    /// Requests a node may have out beside one per thread.
    extra: u32 = 1,
    /// And for the pages of gangs.
    gang_requests: u32 = 4,
    trace: bool = false,
    report: bool = true,
    /// Steps without any retirement after which a run counts as stalled.
    stall_steps: u64 = 1_000_000,
};

pub const Result = struct {
    steps: u64 = 0,
    retired: u64 = 0,
    faults: u64 = 0,
    /// Of all events; equal runs have equal digests.
    digest: u64 = 0,
    sim_ns: u64 = 0,
};

/// Node count, threads, pages, instruction sizes and network of a run, all drawn from its seed.
pub fn drawn(seed: u64) Options {
    var prng: std.Random.DefaultPrng = .init(seed ^ 0x5eed);
    const r = prng.random();
    return .{
        .seed = seed,
        .nodes = 2 + r.uintLessThan(u8, if (r.uintLessThan(u8, 8) == 0) 7 else 3),
        .threads = 1 + r.uintLessThan(u8, 3),
        .pages = 6 + r.uintLessThan(u32, 58),
        .k_max = 1 + r.uintLessThan(u32, if (r.uintLessThan(u8, 8) == 0) 40 else 8),
        .write_percent = 10 + r.uintLessThan(u8, 70),
        .instructions = 30,
        .links = seed % 256 == 0,
        .elide = .{ .zero = r.uintLessThan(u8, 4) != 0, .same = r.uintLessThan(u8, 4) != 0 },
        .extra = r.uintLessThan(u32, 3),
        .gang_requests = if (r.boolean()) r.uintLessThan(u32, 32) else 0,
    };
}
