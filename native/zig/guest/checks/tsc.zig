//! One time for all: a vCPU that was told a time stamp never reads an earlier one, and the counter
//! runs at the rate the guest is told.
//!
//! Nodes set their counters by clocks that agree within half a round trip, so nothing but this
//! proves the order: a stamp goes through memory from one vCPU to another and back. The quickest
//! way in each direction also bounds how far the two counters may be apart; the line tells the
//! largest such bound. Where all nodes' guests read one host's counter there is nothing to set.

const clocks = @import("../clocks.zig");
const context_mod = @import("../context.zig");
const cpu_mod = @import("../cpu.zig");
const info_mod = @import("../info.zig");
const map = @import("map");
const pages = @import("../pages.zig");
const Check = @import("../check.zig").Check;
const Context = context_mod.Context;
const Failed = context_mod.Failed;
const load = cpu_mod.load;
const store = cpu_mod.store;

pub const checks = [_]Check{
    .{ .name = "tsc", .unit = "us that two vCPUs' TSCs may differ by", .run = tsc },
};

/// Of each pair, so that the quickest of them met no interrupt.
const rounds = 20;
/// Between two readings of the PM timer: reading it takes a part in a hundred of this, or less.
const rate_ms = 100;

/// All vCPUs at once in disjoint pairs, whose numbers differ by one exclusive or after the other:
/// each pair of up to eight vCPUs, of more those that differ in one bit besides.
fn tsc(context: *Context) Failed!void {
    const vcpus = context.info.vcpus;
    const me = context.me();
    if (me == context.info.first(context.cpu.node)) try rate(context);
    try context.barrier();
    var difference: u64 = 1;
    var meeting: u64 = 0;
    while (difference < 2 * vcpus) : (difference += if (difference < 8) 1 else difference) {
        const other = me ^ difference;
        if (other < vcpus) try takeTurns(context, @min(me, other), meeting);
        meeting += 1;
        try context.barrier();
    }
    if (vcpus == 1) context.note = "none: one vCPU, only its rate is looked at";
    if (vcpus > 1 and me == 0) {
        context.result = .{ .cycles = load(bound(context)), .operations = 1 };
    }
}

/// With the vCPU that meets this one; `lower` is the one of both that begins.
fn takeTurns(context: *Context, lower: u64, meeting: u64) Failed!void {
    const stamp = word(context, lower, 0);
    // Each meeting counts its own turns, from zero.
    const turn = word(context, lower, 1 + meeting);
    const second: u64 = if (context.me() == lower) 0 else 1;
    var quickest: ?u64 = null;
    for (0..rounds) |round| {
        const mine = 2 * round + second;
        try context.waitFor(turn, mine);
        const now = cpu_mod.readTscOrdered();
        // Nobody gave the first turn.
        if (mine > 0) {
            const sent = load(stamp);
            const took = clocks.since(sent, now) orelse
                return context.fail("a TSC was before one that it follows", sent, now);
            quickest = @min(quickest orelse took, took);
        }
        store(stamp, cpu_mod.readTscOrdered());
        store(turn, mine + 1);
    }
    if (quickest) |took| _ = @atomicRmw(u64, bound(context), .Max, took, .acq_rel);
}

/// Of the page with the vCPU's result, which nobody else touches before the check is over.
fn word(context: *const Context, vcpu: u64, index: u64) *u64 {
    const result: u64 = @intFromPtr(context_mod.Result.of(context.info, vcpu));
    return cpu_mod.word(result + info_mod.page / 2 + 8 * index);
}

/// The largest of all pairs and directions.
fn bound(context: *const Context) *u64 {
    return pages.word(context.info, .tsc_bound, 0);
}

/// One vCPU of each node, all at once: nodes are hosts with counters of their own.
fn rate(context: *Context) Failed!void {
    const told_khz = context.info.tsc_khz;
    const first = sample();
    while (cpu_mod.readTsc() -% first.after < rate_ms * told_khz) context.cpu.nap(1000);
    const second = sample();
    if (second.pm -% first.pm < 2) {
        return context.fail("the PM timer stands still", first.pm, second.pm);
    }
    const rates: clocks.Rates = .of(first, second);
    if (rates.contain(told_khz)) return;
    const nearest = if (told_khz < rates.least_khz) rates.least_khz else rates.most_khz;
    return context.fail("the TSC runs at another rate, in kHz", told_khz, nearest);
}

fn sample() clocks.Sample {
    const before = cpu_mod.readTscOrdered();
    const pm = cpu_mod.port.read32(map.pm_timer);
    return .{ .before = before, .pm = pm, .after = cpu_mod.readTscOrdered() };
}
