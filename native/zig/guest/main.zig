//! The built-in guest: every vCPU of every node checks memory, interrupts, timers and devices
//! against what one PC promises, and says so in one line per check with its cost.
//!
//! Output, one per line: `check NAME ok|fail COST UNIT TEXT`, last `verdict pass|fail`; then the
//! machine is powered off with code 0 or 1. Lines that start otherwise are for people.

const std = @import("std");
const cpu_mod = @import("cpu.zig");
const context_mod = @import("context.zig");
const console_mod = @import("console.zig");
const device = @import("device.zig");
const entry = @import("entry.zig");
const litmus = @import("litmus.zig");
const Check = @import("check.zig").Check;
const Context = context_mod.Context;
const Cpu = cpu_mod.Cpu;

comptime {
    _ = entry;
}

/// Nothing here unwinds or formats: a safety check that fires is an illegal instruction.
pub const panic = std.debug.no_panic;

/// Coherence comes first: what it finds broken would only mislead the others.
const checks = @import("checks/coherence.zig").checks ++
    @import("checks/memory.zig").checks ++
    @import("checks/atomics.zig").checks ++
    @import("checks/instructions.zig").checks ++
    @import("checks/split.zig").checks ++
    @import("checks/tsc.zig").checks ++
    @import("checks/interrupts.zig").checks ++
    @import("checks/commands.zig").checks ++
    @import("checks/xapic.zig").checks ++
    @import("checks/devices.zig").checks;

/// Ring 3 of each vCPU, for the rest of its life.
pub fn userMain(cpu: *Cpu) callconv(.c) noreturn {
    var context: Context = .{ .cpu = cpu, .info = cpu.info };
    const out: console_mod.Console = .{ .info = cpu.info };
    if (cpu.index == 0) {
        describe(out);
        context.begin();
        const started = startProcessors(&context);
        report(&context, &start_check, started);
    } else {
        device.tell(cpu.info, greeting(cpu.index, apicId(cpu)));
    }
    if (runsLitmus(&context)) while (true) cpu.halt(cpu_mod.load(&cpu.events));
    for (&checks) |*check| {
        context.begin();
        meet(&context, check);
        check.run(&context) catch |failure| report(&context, check, failure);
        context_mod.Result.of(cpu.info, cpu.index).* = context.result;
        meet(&context, check);
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

const start_check: Check = .{
    .name = "start",
    .unit = "us per vCPU by INIT and SIPI",
    .run = startProcessors,
};

fn greeting(vcpu: u64, apic_id: u64) u64 {
    return vcpu << 32 | apic_id;
}

/// INIT and SIPI to one vCPU after the other; each answers with its APIC id.
fn startProcessors(context: *Context) context_mod.Failed!void {
    const cpu = context.cpu;
    const init_request = 0x4500;
    const startup_request = 0x4600 | entry.sipi_vector;
    try context.expect("vCPU 0 has another APIC id", 0, apicId(cpu));
    for (1..context.info.vcpus) |vcpu| {
        const start = cpu_mod.readTsc();
        cpu.command(vcpu, init_request);
        cpu.command(vcpu, startup_request);
        var patience = context.patience();
        while (device.told(context.info) >> 32 != vcpu) {
            if (!patience.more()) return context.stuck("a vCPU never started", vcpu, //
                device.told(context.info) >> 32);
        }
        try context.expect("a vCPU has another APIC id", greeting(vcpu, vcpu), //
            device.told(context.info));
        context.spent(start, 1);
    }
}

fn meet(context: *Context, check: *const Check) void {
    context.meet() catch |failure| report(context, check, failure);
}

/// Sums what all vCPUs left behind and prints the check's line.
fn collect(context: *Context, check: *const Check) void {
    var sum: context_mod.Result = .{ .cycles = 0, .operations = 0 };
    for (0..context.info.vcpus) |vcpu| {
        const one = context_mod.Result.of(context.info, vcpu);
        sum.cycles += one.cycles;
        sum.operations += one.operations;
    }
    context.result = sum;
    report(context, check, {});
}

/// Several vCPUs may fail at once and only one should speak: the first. Should that one be stuck in
/// the very failure, the others speak up after a while.
fn takeFailure(context: *Context) void {
    if (device.first(context.info)) return;
    var patience = context.patience();
    while (patience.more()) {}
}

/// One line; a failure ends the machine at once.
fn report(context: *Context, check: *const Check, outcome: context_mod.Failed!void) void {
    const out: console_mod.Console = .{ .info = context.info };
    const result = &context.result;
    const ticks_per_us = context.info.tsc_khz;
    const operations = @max(1, result.operations * check.parts);
    if (outcome) {} else |_| takeFailure(context);
    out.text("check ");
    out.text(check.name);
    out.text(if (outcome) " ok " else |_| " fail ");
    out.thousandths(result.cycles / operations * 1_000_000 / ticks_per_us);
    out.text(" ");
    out.text(check.unit);
    if (outcome) {
        if (context.note.len > 0) out.text(" - ");
        out.text(context.note);
        out.text("\n");
    } else |_| {
        tellFailure(context, out);
        out.text("\nverdict fail\n");
        console_mod.powerOff(context.info, 1);
    }
}

fn tellFailure(context: *const Context, out: console_mod.Console) void {
    const failure = &context.failure;
    out.text(switch (failure.kind) {
        .wrong_value => " - wrong value: ",
        .no_progress => " - no progress: ",
    });
    out.text(failure.text);
    out.text(": expected ");
    out.hex(failure.expected);
    out.text(", found ");
    out.hex(failure.found);
    out.text(", seen by vCPU ");
    out.number(context.cpu.index);
}
