//! The built-in guest: every vCPU of every node checks memory, interrupts, timers and devices
//! against what one PC promises, and says so in one line per check with its cost.
//!
//! Output, one per line: `check NAME ok|fail COST UNIT TEXT`, last `verdict pass|fail`; then the
//! machine is powered off with code 0 or 1. Lines that start otherwise are for people.

const std = @import("std");
const cpu_mod = @import("cpu.zig");
const context_mod = @import("context.zig");
const console_mod = @import("console.zig");
const entry = @import("entry.zig");
const litmus = @import("litmus.zig");
const pages = @import("pages.zig");
const Check = @import("check.zig").Check;
const Context = context_mod.Context;
const Cpu = cpu_mod.Cpu;

comptime {
    _ = entry;
}

/// Nothing here unwinds or formats: a safety check that fires is an illegal instruction.
pub const panic = std.debug.no_panic;

const checks = @import("checks/memory.zig").checks ++
    @import("checks/atomics.zig").checks ++
    @import("checks/instructions.zig").checks ++
    @import("checks/interrupts.zig").checks ++
    @import("checks/devices.zig").checks;

/// Ring 3 of each vCPU, for the rest of its life.
pub fn userMain(cpu: *Cpu) callconv(.c) noreturn {
    var context: Context = .{ .cpu = cpu, .info = cpu.info };
    const out: console_mod.Console = .{ .info = cpu.info };
    if (cpu.index == 0) {
        describe(out);
        context.begin();
        const started = startProcessors(&context);
        report(&context, "start", "us per vCPU by INIT and SIPI", 1, started);
    } else {
        cpu_mod.store(pages.word(cpu.info, .online, cpu.index), apicId(cpu) + 1);
    }
    if (runsLitmus(&context)) while (true) cpu.halt(cpu_mod.load(&cpu.events));
    for (&checks) |*check| {
        meet(&context, check.name);
        context.begin();
        check.run(&context) catch {};
        context_mod.Result.of(cpu.info, cpu.index).* = context.result;
        meet(&context, check.name);
        if (cpu.index == 0) collect(&context, check);
    }
    if (cpu.index == 0) {
        out.text("verdict pass\n");
        console_mod.powerOff(cpu.info, 0);
    }
    while (true) cpu.halt(cpu_mod.load(&cpu.events));
}

/// Litmus shapes instead of the checks, where the command line asks for them.
fn runsLitmus(context: *Context) bool {
    const request = litmus.requested() catch |err| {
        litmus.end(context, litmus.explain(err));
        return true;
    };
    litmus.run(context, &(request orelse return false));
    return true;
}

fn apicId(cpu: *Cpu) u64 {
    return cpu.readMsr(cpu_mod.msr.apic_id);
}

fn describe(out: console_mod.Console) void {
    const info = out.info;
    out.text("GiantVM built-in guest: ");
    out.number(info.nodes);
    out.text(if (info.nodes == 1) " node, " else " nodes, ");
    out.number(info.vcpus);
    out.text(if (info.vcpus == 1) " vCPU\n" else " vCPUs\n");
    for (info.node[0..info.nodes], 0..) |node, index| {
        out.text("node ");
        out.number(index);
        out.text(": vCPUs ");
        out.number(node.first_vcpu);
        out.text("-");
        out.number(node.first_vcpu + node.vcpus - 1);
        out.text(", ");
        out.number(node.ram_bytes >> 20);
        out.text(" MiB from ");
        out.hex(node.ram_gpa);
        out.text("\n");
    }
}

/// INIT and SIPI to one vCPU after the other; each answers with its APIC id.
fn startProcessors(context: *Context) context_mod.Failed!void {
    const cpu = context.cpu;
    const init_request = 0x4500;
    const startup_request = 0x4600 | entry.sipi_vector;
    try context.expect("vCPU 0 has another APIC id", 0, apicId(cpu));
    for (1..context.info.vcpus) |vcpu| {
        const start = cpu_mod.readTsc();
        cpu.writeMsr(cpu_mod.msr.icr, vcpu << 32 | init_request);
        cpu.writeMsr(cpu_mod.msr.icr, vcpu << 32 | startup_request);
        const online = pages.word(context.info, .online, vcpu);
        try context.waitFor(online, 1);
        try context.expect("a vCPU has another APIC id", vcpu + 1, cpu_mod.load(online));
        context.spent(start, 1);
    }
}

fn meet(context: *Context, name: []const u8) void {
    context.barrier() catch |failure| report(context, name, "us", 1, failure);
}

/// Sums what all vCPUs left behind and prints the check's line.
fn collect(context: *Context, check: *const Check) void {
    var sum: context_mod.Result = undefined;
    sum.ok = 1;
    sum.cycles = 0;
    sum.operations = 0;
    for (0..context.info.vcpus) |vcpu| {
        const one = context_mod.Result.of(context.info, vcpu);
        sum.cycles += one.cycles;
        sum.operations += one.operations;
        if (one.ok == 0 and sum.ok == 1) {
            const operations = sum.operations;
            const cycles = sum.cycles;
            sum = one.*;
            sum.operations = operations;
            sum.cycles = cycles;
        }
    }
    context.result = sum;
    const outcome: context_mod.Failed!void = if (sum.ok == 1) {} else error.Failed;
    report(context, check.name, check.unit, check.parts, outcome);
}

/// Several vCPUs may fail at once and only one should speak: the first. Should that one be stuck in
/// the very failure, the others speak up after a while.
fn takeFailure(context: *Context) void {
    const taken = pages.word(context.info, .failure, 0);
    if (@atomicRmw(u64, taken, .Xchg, 1, .acq_rel) == 0) return;
    var patience = context.patience();
    while (patience.more()) {}
}

/// One line; a failure ends the machine at once.
fn report(
    context: *Context,
    name: []const u8,
    unit: []const u8,
    parts: u64,
    outcome: context_mod.Failed!void,
) void {
    const out: console_mod.Console = .{ .info = context.info };
    const result = &context.result;
    const ticks_per_us = context.info.tsc_khz;
    const operations = @max(1, result.operations * parts);
    if (outcome) {} else |_| takeFailure(context);
    out.text("check ");
    out.text(name);
    out.text(if (outcome) " ok " else |_| " fail ");
    out.thousandths(result.cycles / operations * 1_000_000 / ticks_per_us);
    out.text(" ");
    out.text(unit);
    if (outcome) {
        out.text("\n");
    } else |_| {
        out.text(" - ");
        out.text(result.text[0..result.text_length]);
        out.text(": expected ");
        out.hex(result.expected);
        out.text(", found ");
        out.hex(result.found);
        out.text(", seen by vCPU ");
        out.number(context.cpu.index);
        out.text("\nverdict fail\n");
        console_mod.powerOff(context.info, 1);
    }
}
