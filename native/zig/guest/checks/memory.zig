//! What coherent memory promises: no store is lost, none is seen late, each page is one page.
//!
//! Every value read is known beforehand, so one stale or lost word fails its check for certain.

const cpu_mod = @import("../cpu.zig");
const pages = @import("../pages.zig");
const info_mod = @import("../info.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;
const load = cpu_mod.load;
const store = cpu_mod.store;

pub const checks = [_]Check{
    .{ .name = "read-mostly", .unit = "us per new value read by all", .run = readMostly },
    .{ .name = "messages", .unit = "us per message between nodes", .run = messages },
    .{ .name = "ping-pong", .unit = "us per turn of one page", .parts = 2, .run = pingPong },
    .{ .name = "false-sharing", .unit = "us per store to a shared page", .run = falseSharing },
};

/// Sent without waiting, while the reader samples.
const free_messages = 20_000;

const words_per_page = info_mod.page / 8;

/// All hold a copy, one stores, all must see it: the check that finds a copy left behind.
fn readMostly(context: *Context) Failed!void {
    const rounds = context.scaled(30);
    const stride = 16;
    for (1..rounds + 1) |round| {
        const writer = context.info.first(round);
        if (context.me() == writer) {
            for (0..words_per_page / stride) |i| {
                store(pages.word(context.info, .read_mostly, i * stride), round << 32 | i);
            }
        }
        try context.barrier();
        const start = cpu_mod.readTsc();
        for (0..words_per_page / stride) |i| {
            const found = load(pages.word(context.info, .read_mostly, i * stride));
            try context.expect("a stale copy was read", round << 32 | i, found);
        }
        context.spent(start, 1);
        try context.barrier();
    }
}

/// From each node to the next: data on two pages, then a flag on a third. Whoever sees the flag
/// must see the data. First in lock step, so that the reader holds copies that must go; then the
/// writer runs freely and the reader samples.
fn messages(context: *Context) Failed!void {
    const info = context.info;
    for (0..info.nodes) |node| {
        const writer = info.first(node);
        const reader = if (info.nodes == 1) info.last(0) else info.first(node + 1);
        if (writer != reader) {
            const base = (node + 1) << 32;
            if (context.me() == writer) try sendMessages(context, base);
            if (context.me() == reader) try receiveMessages(context, base);
        }
        try context.barrier();
    }
}

fn sendMessages(context: *Context, base: u64) Failed!void {
    const flag = pages.word(context.info, .message_flag, 0);
    const left = pages.word(context.info, .message_left, 5);
    const right = pages.word(context.info, .message_right, 500);
    const steps = context.scaled(50);
    const start = cpu_mod.readTsc();
    for (1..steps + 1) |step| {
        store(left, base + step);
        store(right, ~(base + step));
        store(flag, base + step);
        try context.waitFor(pages.word(context.info, .message_ack, 0), base + step);
    }
    context.spent(start, steps);
    for (steps + 1..context.scaled(free_messages) + steps + 1) |step| {
        store(left, base + step);
        store(right, ~(base + step));
        store(flag, base + step);
        cpu_mod.relax(context.cpu.nextRandom() % 256);
    }
}

fn receiveMessages(context: *Context, base: u64) Failed!void {
    const flag = pages.word(context.info, .message_flag, 0);
    const left = pages.word(context.info, .message_left, 5);
    const right = pages.word(context.info, .message_right, 500);
    const steps = context.scaled(50);
    for (1..steps + 1) |step| {
        try context.waitFor(flag, base + step);
        try context.expect("a flag overtook its message", base + step, load(left));
        try context.expect("a flag overtook its message", ~(base + step), load(right));
        store(pages.word(context.info, .message_ack, 0), base + step);
    }
    const end = base + steps + context.scaled(free_messages);
    var seen = base + steps;
    var patience = context.patience();
    while (seen < end) {
        const now = load(flag);
        if (now < seen) return context.fail("a flag went back", seen, now);
        const data_left = load(left);
        const data_right = ~load(right);
        if (data_left < now) return context.fail("a flag overtook its message", now, data_left);
        if (data_right < now) return context.fail("a flag overtook its message", now, data_right);
        if (now > seen) patience.progress();
        seen = now;
        if (!patience.more()) return context.stuck("a store never became visible", end, now);
    }
}

/// Two vCPUs of different nodes write one page in turn.
fn pingPong(context: *Context) Failed!void {
    const info = context.info;
    const peers = @min(info.nodes, 9);
    const turns = context.scaled(200);
    const ball = pages.word(info, .ping_pong, 64);
    var base: u64 = 0;
    for (0..@max(peers, 2) - 1) |peer| {
        const other = if (info.nodes == 1) info.last(0) else info.first(peer + 1);
        const start = cpu_mod.readTsc();
        if (other != 0 and (context.me() == 0 or context.me() == other)) {
            const mine: u64 = if (context.me() == 0) 0 else 1;
            for (0..turns) |turn| {
                const at = base + 2 * turn + mine;
                try context.waitFor(ball, at);
                try context.expect("a turn was taken twice", at, load(ball));
                store(ball, at + 1);
            }
            if (mine == 0) context.spent(start, turns);
        }
        base += 2 * turns;
        try context.barrier();
    }
}

/// Every vCPU its own word, all words in one page, plain stores: a page merged from two writers or
/// taken from under a writer loses one.
fn falseSharing(context: *Context) Failed!void {
    const stores = context.scaled(30_000);
    const mine = pages.word(context.info, .false_sharing, context.me() * 2);
    const start = cpu_mod.readTsc();
    for (0..stores) |i| {
        try context.expect("a store was lost", i, load(mine));
        store(mine, i + 1);
        cpu_mod.relax(20);
    }
    context.spent(start, stores);
    try context.barrier();
    for (0..context.info.vcpus) |vcpu| {
        const found = load(pages.word(context.info, .false_sharing, vcpu * 2));
        try context.expect("a store was lost", stores, found);
    }
}
