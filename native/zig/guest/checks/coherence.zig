//! The promises of coherence one by one, each in the situation in which a broken rule of the
//! protocol shows as a wrong value. vCPUs meet by the device meanwhile: what is broken must be
//! seen, not hung in.
//!
//! The pages that are tested hold nothing else, and everything else here is memory of one vCPU.

const cpu_mod = @import("../cpu.zig");
const info_mod = @import("../info.zig");
const pages = @import("../pages.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;
const load = cpu_mod.load;
const store = cpu_mod.store;

pub const checks = [_]Check{
    .{ .name = "copies", .unit = "us per page read anew", .run = copies },
    .{ .name = "races", .unit = "us per store two nodes make at once", .run = races },
    .{ .name = "held", .unit = "us per store while others hold the page", .run = held },
};

/// Pages of so many homes, and so many writers: all of a small cluster, some of a large one.
const homes_max = 4;
const writers_max = 4;

/// All nodes hold copies of a page of each home; one node stores twice, and after each store one
/// other node reads first, then all. Whoever reads the bytes it held before has been left behind:
/// not told to drop them, told "same" of another version, or read past a writer that went on.
fn copies(context: *Context) Failed!void {
    const info = context.info;
    const active = context.me() == info.first(context.cpu.node);
    var value: u64 = 1;
    for (0..context.scaled(2)) |_| {
        for (0..@min(info.nodes, writers_max)) |writer| {
            for (1..@max(@min(info.nodes, writers_max), 2)) |distance| {
                const first_reader = (writer + distance) % info.nodes;
                for (0..2) |_| {
                    if (active and context.cpu.node == writer) storeCopies(context, value);
                    try context.meet();
                    if (active and context.cpu.node == first_reader) try readCopies(context, value);
                    try context.meet();
                    if (active) try readCopies(context, value);
                    try context.meet();
                    value += 1;
                }
            }
        }
    }
}

fn copyOf(context: *const Context, home: u64) *u64 {
    return cpu_mod.word(pages.on(context.info, home, .copies) + 8 * home);
}

fn storeCopies(context: *Context, value: u64) void {
    for (0..@min(context.info.nodes, homes_max)) |home| store(copyOf(context, home), value);
}

fn readCopies(context: *Context, value: u64) Failed!void {
    const homes = @min(context.info.nodes, homes_max);
    const start = cpu_mod.readTsc();
    for (0..homes) |home| {
        try context.expect("a stale copy was read", value, load(copyOf(context, home)));
    }
    context.spent(start, homes);
}

const races_usual = 12;
/// Fresh pages for it; the others are for the check after it.
const races_max = 512;
/// Longest difference between the two stores, in `pause` instructions.
const pauses_max = 4000;

/// A page that its home alone has read; now the home and the next node store to it at the same
/// moment, each its own word. One must wait for the other, else there are two pages.
fn races(context: *Context) Failed!void {
    const info = context.info;
    const rounds = @min(context.hunted(races_usual), races_max);
    for (0..@min(info.nodes, writers_max)) |node| {
        const home = info.first(node);
        const other = neighbour(context, node);
        const active = context.me() == home or context.me() == other;
        for (0..rounds) |round| {
            const page = pages.fresh(info, node, round);
            const mine: u64 = if (context.me() == home) 0 else 8;
            if (context.me() == home) {
                try context.expect("a page was not empty", 0, load(cpu_mod.word(page)));
            }
            try context.meet();
            if (active) {
                cpu_mod.relax(context.cpu.nextRandom() % pauses_max);
                const start = cpu_mod.readTsc();
                store(cpu_mod.word(page + mine), round + 1);
                context.spent(start, 1);
            }
            try context.meet();
            if (active and home != other) for ([_]u64{ 0, 8 }) |offset| {
                const found = load(cpu_mod.word(page + offset));
                try context.expect("a store was lost", round + 1, found);
            };
        }
    }
}

const held_usual = 8;
/// Pages read in each round before and after the one that counts. None is used again soon: what a
/// vCPU keeps losing and reading would be fetched for it beforehand.
const gathered = [_]u64{ 8, 4 };
const held_pages = gathered[0] + gathered[1];
const held_cycle = (info_mod.fresh_pages - races_max) / held_pages;

/// A node that has gathered pages may keep them for a moment. Another stores to one of them, then
/// sends an interrupt. The store has retired before, so whoever has the interrupt reads what was
/// stored: the writer has waited until the page was given up.
fn held(context: *Context) Failed!void {
    const info = context.info;
    const rounds = context.hunted(held_usual);
    for (0..@min(info.nodes, writers_max)) |node| {
        const writer = info.first(node);
        const reader = neighbour(context, node);
        var pings = context.taken(.ping);
        for (0..rounds) |round| {
            if (writer == reader) break;
            if (context.me() == writer) takeBack(context, node, round);
            try context.meet();
            pings += 1;
            if (context.me() == reader) try gather(context, node, round, pings);
            if (context.me() == writer) try storeHeld(context, node, round, pings);
            try context.meet();
        }
    }
}

/// The vCPU beside the first of `node`: of the next node, or where there is none of the same.
fn neighbour(context: *const Context, node: u64) u64 {
    const info = context.info;
    return if (info.nodes == 1) info.last(0) else info.first(node + 1);
}

fn heldWord(context: *const Context, node: u64) *u64 {
    return cpu_mod.word(pages.on(context.info, node, .held));
}

/// The word's values: before the round's store, and its store.
fn before(round: u64) u64 {
    return 2 * round + 1;
}

fn after(round: u64) u64 {
    return 2 * round + 2;
}

/// From the reader, which therefore must fetch again what it reads in this round.
fn takeBack(context: *Context, node: u64, round: u64) void {
    store(heldWord(context, node), before(round));
    if (round < held_cycle) return;
    for (0..held_pages) |i| store(gatheredWord(context, node, round, i), round / held_cycle);
}

fn gatheredWord(context: *const Context, node: u64, round: u64, i: u64) *u64 {
    const index = races_max + round % held_cycle * held_pages + i;
    return cpu_mod.word(pages.fresh(context.info, node, index));
}

fn storeHeld(context: *Context, node: u64, round: u64, pings: u64) Failed!void {
    try awaitPing(context, pings);
    const start = cpu_mod.readTsc();
    store(heldWord(context, node), after(round));
    context.spent(start, 1);
    context.cpu.sendIpi(neighbour(context, node), .ping);
}

fn gather(context: *Context, node: u64, round: u64, pings: u64) Failed!void {
    const word = heldWord(context, node);
    for (0..gathered[0]) |i| try readGathered(context, node, round, i);
    context.cpu.sendIpi(context.info.first(node), .ping);
    // The new value already: then this round was too slow.
    const found = load(word);
    if (found != after(round)) try context.expect("a stale copy was read", before(round), found);
    for (gathered[0]..held_pages) |i| {
        if (context.taken(.ping) == pings) break;
        try readGathered(context, node, round, i);
    }
    try awaitPing(context, pings);
    try context.expect("a store retired beside an old copy", after(round), load(word));
}

fn readGathered(context: *Context, node: u64, round: u64, i: u64) Failed!void {
    const found = load(gatheredWord(context, node, round, i));
    try context.expect("a stale copy was read", round / held_cycle, found);
}

/// Without a halt, at which a node would give up what it keeps.
fn awaitPing(context: *Context, count: u64) Failed!void {
    const start = cpu_mod.readTsc();
    const limit = context.info.wait_limit_ms * context.info.tsc_khz;
    while (context.taken(.ping) < count) {
        if (cpu_mod.readTsc() -% start > limit) {
            return context.stuck("an interrupt never came", count, context.taken(.ping));
        }
        cpu_mod.relax(20);
    }
}
