//! Interrupts between vCPUs and from each vCPU's own timer. Waiting is done by halting, so that
//! what is measured is the wake-up a guest kernel would see.

const cpu_mod = @import("../cpu.zig");
const pages = @import("../pages.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;

pub const checks = [_]Check{
    .{ .name = "ipi", .unit = "us per IPI to a halted vCPU", .parts = 2, .run = ipi },
    .{ .name = "ipi-broadcast", .unit = "us per IPI to all others, answered", .run = broadcast },
    .{ .name = "timer", .unit = "us late of a 2 ms timer", .run = oneShot },
    .{ .name = "timer-periodic", .unit = "us per tick of a 1 ms timer", .run = periodic },
};

/// There and back between vCPU 0 and the first vCPU of every other node.
pub fn ipi(context: *Context) Failed!void {
    const info = context.info;
    const peers = @min(info.nodes, 9);
    const rounds = context.scaled(200);
    context.watchdog(true);
    var taken: u64 = 0;
    for (0..@max(peers, 2) - 1) |peer| {
        const other = if (info.nodes == 1) info.last(0) else info.first(peer + 1);
        const start = cpu_mod.readTsc();
        if (context.me() == 0) {
            for (0..rounds) |_| {
                context.cpu.sendIpi(other, .ping);
                taken += 1;
                try context.waitForInterrupt(.ping, taken);
            }
            context.spent(start, rounds);
        } else if (context.me() == other) {
            for (0..rounds) |_| {
                taken += 1;
                try context.waitForInterrupt(.ping, taken);
                context.cpu.sendIpi(0, .ping);
            }
        }
    }
    context.watchdog(false);
    try context.barrier();
    try context.expect("an IPI came twice", taken, context.taken(.ping));
}

/// The all-but-self shorthand; every other vCPU answers by memory.
pub fn broadcast(context: *Context) Failed!void {
    const rounds = context.scaled(50);
    const others = context.info.vcpus - 1;
    // Two words, as the check is made twice: by x2APICs and by xAPICs.
    const answers = pages.word(context.info, .broadcast, context.cpu.xapic);
    const start = cpu_mod.readTsc();
    if (context.me() == 0) {
        for (1..rounds + 1) |round| {
            const vector: u64 = @intFromEnum(cpu_mod.Interrupt.broadcast);
            context.cpu.command(0, cpu_mod.icr.all_but_self | vector);
            try context.waitFor(answers, others * round);
        }
        context.spent(start, rounds);
    } else {
        context.watchdog(true);
        for (1..rounds + 1) |round| {
            try context.waitForInterrupt(.broadcast, round);
            _ = @atomicRmw(u64, answers, .Add, 1, .acq_rel);
        }
        context.watchdog(false);
    }
    try context.barrier();
    const taken = context.taken(.broadcast);
    try context.expect("an IPI came twice", if (context.me() == 0) 0 else rounds, taken);
}

const shot_us = 2000;
const shots = 3;

/// Every vCPU: exactly one tick for each start, never early.
pub fn oneShot(context: *Context) Failed!void {
    const cpu = context.cpu;
    setTimer(context, @intFromEnum(cpu_mod.Interrupt.timer));
    defer setTimer(context, @intFromEnum(cpu_mod.Interrupt.nap));
    for (1..shots + 1) |shot| {
        const start = cpu_mod.readTsc();
        cpu.apicWrite(cpu_mod.msr.timer_count, timerTicks(context, shot_us));
        try waitTicks(context, shot);
        const took = elapsedUs(context, start);
        if (tooEarly(took, shot_us)) return context.fail("a timer was early", shot_us, took);
        context.spent(start + shot_us * context.info.tsc_khz / 1000, 1);
    }
    try quiet(context, 0);
}

const period_us = 1000;
const periods = 10;

/// Every vCPU: no tick before its period is over, none after the stop.
pub fn periodic(context: *Context) Failed!void {
    const vector: u64 = @intFromEnum(cpu_mod.Interrupt.timer);
    setTimer(context, vector | cpu_mod.lvt_periodic);
    defer setTimer(context, @intFromEnum(cpu_mod.Interrupt.nap));
    const start = cpu_mod.readTsc();
    context.cpu.apicWrite(cpu_mod.msr.timer_count, timerTicks(context, period_us));
    try waitTicks(context, periods);
    context.spent(start, periods);
    const took = elapsedUs(context, start);
    context.cpu.apicWrite(cpu_mod.msr.timer_count, 0);
    if (tooEarly(took, periods * period_us)) {
        return context.fail("periodic ticks were early", periods * period_us, took);
    }
    // One tick may have been on its way when the timer was stopped.
    try quiet(context, 1);
}

/// The timer stopped, and what its next start will do.
fn setTimer(context: *Context, entry: u64) void {
    context.cpu.apicWrite(cpu_mod.msr.timer_count, 0);
    context.cpu.apicWrite(cpu_mod.msr.timer_lvt, entry);
}

fn timerTicks(context: *const Context, us: u64) u64 {
    return us * context.info.apic_timer_khz / 1000;
}

/// While the vCPU naps a few periods, at most `late` more ticks come.
fn quiet(context: *Context, late: u64) Failed!void {
    const before = context.taken(.timer);
    setTimer(context, @intFromEnum(cpu_mod.Interrupt.nap));
    context.cpu.nap(3 * period_us);
    const after = context.taken(.timer);
    if (after > before + late) return context.fail("a stopped timer ticked", before, after);
}

/// The first tick is awaited without a halt, which only the tick itself could end: no tick at all
/// is a failed check, not a silent machine.
fn waitTicks(context: *Context, value: u64) Failed!void {
    const start = cpu_mod.readTsc();
    const limit = context.info.wait_limit_ms * context.info.tsc_khz;
    while (context.taken(.timer) == 0) {
        if (cpu_mod.readTsc() -% start > limit) return context.stuck("a timer never ticked", 1, 0);
        cpu_mod.relax(20);
    }
    while (true) {
        const seen = cpu_mod.load(&context.cpu.events);
        if (context.taken(.timer) >= value) return;
        context.cpu.halt(seen);
    }
}

fn elapsedUs(context: *Context, start: u64) u64 {
    return (cpu_mod.readTsc() -% start) * 1000 / context.info.tsc_khz;
}

/// Two clocks of one host differ by less than a hundredth.
fn tooEarly(took_us: u64, wanted_us: u64) bool {
    return took_us < wanted_us - wanted_us / 100;
}
