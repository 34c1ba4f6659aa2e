//! LOCK instructions on pages that every vCPU wants at once. Each has a sum that only comes out
//! when no operation was lost, torn or done twice.

const cpu_mod = @import("../cpu.zig");
const pages = @import("../pages.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;
const load = cpu_mod.load;
const store = cpu_mod.store;

pub const checks = [_]Check{
    .{ .name = "counter", .unit = "us per lock xadd by all vCPUs", .run = counter },
    .{ .name = "lock", .unit = "us per turn of a lock with two counters", .run = lock },
    .{ .name = "exchange", .unit = "us per xchg of a token", .run = exchange },
    .{ .name = "pair", .unit = "us per lock cmpxchg16b", .run = pair },
    .{ .name = "bits", .unit = "us per lock bts", .run = bits },
};

const counter_rounds = 20_000;

fn counter(context: *Context) Failed!void {
    const rounds = context.scaled(counter_rounds);
    const shared = pages.word(context.info, .counter, 0);
    const sum = pages.word(context.info, .counter_sum, 0);
    var mine: u64 = 0;
    var last: u64 = 0;
    const start = cpu_mod.readTsc();
    for (0..rounds) |i| {
        const ticket = @atomicRmw(u64, shared, .Add, 1, .acq_rel);
        if (i > 0 and ticket <= last) return context.fail("a counter went back", last + 1, ticket);
        last = ticket;
        mine += ticket;
        cpu_mod.relax(30);
    }
    context.spent(start, rounds);
    _ = @atomicRmw(u64, sum, .Add, mine, .acq_rel);
    try context.barrier();
    const total = rounds * context.info.vcpus;
    try context.expect("an increment was lost", total, load(shared));
    try context.expect("a ticket was given twice", total * (total - 1) / 2, load(sum));
}

/// A lock on one page guards two plain counters on two others, at home on other nodes.
fn lock(context: *Context) Failed!void {
    const rounds = context.scaled(500);
    const latch = pages.word(context.info, .lock, 0);
    const left = pages.word(context.info, .lock_left, 1);
    const right = pages.word(context.info, .lock_right, 2);
    const start = cpu_mod.readTsc();
    for (0..rounds) |_| {
        var patience = context.patience();
        while (load(latch) != 0 or @cmpxchgStrong(u64, latch, 0, 1, .acquire, .monotonic) != null) {
            if (!patience.more()) return context.stuck("a lock was never free", 0, load(latch));
        }
        const value = load(left);
        try context.expect("two vCPUs held one lock", value, load(right));
        store(left, value + 1);
        store(right, value + 1);
        store(latch, 0);
        cpu_mod.relax(100);
    }
    context.spent(start, rounds);
    try context.barrier();
    try context.expect("a store under the lock was lost", rounds * context.info.vcpus, load(left));
}

/// Tokens wander through a pool by exchange alone: none may vanish or double.
fn exchange(context: *Context) Failed!void {
    const rounds = context.scaled(10_000);
    const slots = 8;
    var token = context.me() + 1;
    const start = cpu_mod.readTsc();
    for (0..rounds) |_| {
        const slot = pages.word(context.info, .atomic_exchange, context.cpu.nextRandom() % slots);
        token = @atomicRmw(u64, slot, .Xchg, token, .acq_rel);
        cpu_mod.relax(30);
    }
    context.spent(start, rounds);
    const held = pages.word(context.info, .atomic_exchange, slots);
    _ = @atomicRmw(u64, held, .Add, token, .acq_rel);
    try context.barrier();
    var sum = load(held);
    for (0..slots) |slot| sum += load(pages.word(context.info, .atomic_exchange, slot));
    const all = context.info.vcpus * (context.info.vcpus + 1) / 2;
    try context.expect("a token vanished or doubled", all, sum);
}

/// Both halves change together; the second is always three times the first.
fn pair(context: *Context) Failed!void {
    if (!hasCompareExchange16()) {
        context.note = "none: this processor has no CMPXCHG16B";
        return;
    }
    const rounds = context.scaled(10_000);
    const words = pages.word(context.info, .atomic_pair, 2);
    var low: u64 = 0;
    var high: u64 = 0;
    const start = cpu_mod.readTsc();
    for (0..rounds) |_| {
        while (!compareExchange16(words, &low, &high, low + 1, high + 3)) {
            try context.expect("16 bytes were torn", low * 3, high);
        }
        low += 1;
        high += 3;
        cpu_mod.relax(30);
    }
    context.spent(start, rounds);
    try context.barrier();
    const total = rounds * context.info.vcpus;
    const second: *u64 = @ptrFromInt(@intFromPtr(words) + 8);
    try context.expect("an exchange was lost", total, load(words));
    try context.expect("16 bytes were torn", total * 3, load(second));
}

/// All vCPUs say the same: what a VM's processors have is what those of all its hosts have.
fn hasCompareExchange16() bool {
    const features = asm volatile ("cpuid"
        : [ecx] "={ecx}" (-> u32),
        : [leaf] "{eax}" (@as(u32, 1)),
          [subleaf] "{ecx}" (@as(u32, 0)),
        : .{ .eax = true, .ebx = true, .edx = true });
    return features & 1 << 13 != 0;
}

/// True when stored; else low and high are what was found.
fn compareExchange16(words: *u64, low: *u64, high: *u64, new_low: u64, new_high: u64) bool {
    var stored: u8 = undefined;
    var found_low: u64 = undefined;
    var found_high: u64 = undefined;
    asm volatile (
        \\lock cmpxchg16b (%%rdi)
        \\setz %%cl
        : [stored] "={cl}" (stored),
          [found_low] "={rax}" (found_low),
          [found_high] "={rdx}" (found_high),
        : [words] "{rdi}" (words),
          [old_low] "{rax}" (low.*),
          [old_high] "{rdx}" (high.*),
          [new_low] "{rbx}" (new_low),
          [new_high] "{rcx}" (new_high),
        : .{ .memory = true, .cc = true });
    if (stored == 0) {
        low.* = found_low;
        high.* = found_high;
    }
    return stored != 0;
}

/// Neighbouring bits belong to different vCPUs.
fn bits(context: *Context) Failed!void {
    const each = 32;
    const all = context.info.vcpus;
    const base = pages.on(context.info, @intFromEnum(pages.Use.atomic_bits), .atomic_bits);
    const start = cpu_mod.readTsc();
    for (0..each) |i| {
        const bit = i * all + context.me();
        if (setBit(base, bit)) return context.fail("a bit was set before", 0, bit);
        cpu_mod.relax(30);
    }
    context.spent(start, each);
    try context.barrier();
    for (0..each * all / 64) |i| {
        try context.expect("a bit was lost", ~@as(u64, 0), load(cpu_mod.word(base + 8 * i)));
    }
}

/// Returns what the bit was.
fn setBit(base: u64, bit: u64) bool {
    return asm volatile (
        \\lock btsq %[bit], (%[base])
        \\setc %[was]
        : [was] "=q" (-> u8),
        : [bit] "r" (bit),
          [base] "r" (base),
        : .{ .memory = true, .cc = true }) != 0;
}
