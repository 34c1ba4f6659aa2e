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
    .{ .name = "timer", .unit = "us late of a 2 ms timer", .run = timer },
};

/// There and back between vCPU 0 and the first vCPU of every other node.
fn ipi(context: *Context) Failed!void {
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
    try context.expect("an IPI came twice", taken, context.cpu.count(.ping));
}

/// The all-but-self shorthand; every other vCPU answers by memory.
fn broadcast(context: *Context) Failed!void {
    const all_but_self = 3 << 18;
    const rounds = context.scaled(50);
    const others = context.info.vcpus - 1;
    const answers = pages.word(context.info, .broadcast, 0);
    const start = cpu_mod.readTsc();
    if (context.me() == 0) {
        for (1..rounds + 1) |round| {
            const request = all_but_self | @as(u64, @intFromEnum(cpu_mod.Interrupt.broadcast));
            context.cpu.writeMsr(cpu_mod.msr.icr, request);
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
    const taken = context.cpu.count(.broadcast);
    try context.expect("an IPI came twice", if (context.me() == 0) 0 else rounds, taken);
}

const shot_us = 2000;
const period_us = 1000;
const ticks = 10;

/// One-shot: exactly one tick, never early. Periodic: as many as periods, until stopped.
fn timer(context: *Context) Failed!void {
    const cpu = context.cpu;
    const info = context.info;
    const vector: u64 = @intFromEnum(cpu_mod.Interrupt.timer);
    const per_us = info.apic_timer_khz / 1000;
    cpu.writeMsr(cpu_mod.msr.timer_count, 0);
    cpu.writeMsr(cpu_mod.msr.timer_lvt, vector);
    const before = cpu.count(.timer);
    for (1..4) |shot| {
        const start = cpu_mod.readTsc();
        cpu.writeMsr(cpu_mod.msr.timer_count, shot_us * per_us);
        try waitTicks(context, before + shot);
        const took = elapsedUs(context, start);
        if (tooEarly(took, shot_us)) return context.fail("a timer was early", shot_us, took);
        context.spent(start + shot_us * info.tsc_khz / 1000, 1);
    }
    const start = cpu_mod.readTsc();
    cpu.writeMsr(cpu_mod.msr.timer_lvt, vector | cpu_mod.lvt_periodic);
    cpu.writeMsr(cpu_mod.msr.timer_count, period_us * per_us);
    try waitTicks(context, before + 3 + ticks);
    const took = elapsedUs(context, start);
    cpu.writeMsr(cpu_mod.msr.timer_count, 0);
    const stopped = cpu.count(.timer);
    cpu.writeMsr(cpu_mod.msr.timer_lvt, @intFromEnum(cpu_mod.Interrupt.nap));
    if (tooEarly(took, ticks * period_us)) {
        return context.fail("periodic ticks were early", ticks * period_us, took);
    }
    cpu.nap(3 * period_us);
    // One tick may have been on its way when the timer was stopped.
    if (cpu.count(.timer) > stopped + 1) {
        return context.fail("a stopped timer ticked", stopped, cpu.count(.timer));
    }
}

/// Halting is all there is to do: without its tick a vCPU would wait for ever, and the machine's
/// owner sees which check did not end.
fn waitTicks(context: *Context, value: u64) Failed!void {
    while (true) {
        const seen = cpu_mod.load(&context.cpu.events);
        if (context.cpu.count(.timer) >= value) return;
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
