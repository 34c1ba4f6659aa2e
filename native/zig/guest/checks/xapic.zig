//! The older face of the local APIC: every vCPU leaves x2APIC mode, uses the registers as memory,
//! makes some of the interrupt checks again that way, and returns.

const cpu_mod = @import("../cpu.zig");
const commands = @import("commands.zig");
const interrupts = @import("interrupts.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;
const msr = cpu_mod.msr;

pub const checks = [_]Check{
    .{ .name = "xapic", .unit = "us per access to the APIC's page", .run = enter },
    .{
        .name = "xapic-ipi",
        .unit = "us per IPI to a halted vCPU",
        .parts = 2, //
        .run = interrupts.ipi,
    },
    .{
        .name = "xapic-broadcast",
        .unit = "us per IPI to all others, answered", //
        .run = interrupts.broadcast,
    },
    .{
        .name = "xapic-logical",
        .unit = "us per IPI to a flat set, answered", //
        .run = commands.logical,
    },
    .{ .name = "xapic-self", .unit = "us per IPI to itself", .run = commands.self },
    .{ .name = "xapic-timer", .unit = "us late of a 2 ms timer", .run = interrupts.oneShot },
    .{ .name = "x2apic", .unit = "us to return to x2APIC mode", .run = leave },
};

const base_enable = 1 << 11;
const base_x2apic = 1 << 10;
const spurious = 0x1ff;

/// Both modes are reached from "off" alone (SDM 11.12.5); there the APIC forgets its registers.
fn setMode(context: *Context, bits: u64) void {
    const cpu = context.cpu;
    const off = cpu.readMsr(msr.apic_base) & ~@as(u64, base_enable | base_x2apic);
    cpu.writeMsr(msr.apic_base, off);
    cpu.writeMsr(msr.apic_base, off | base_enable);
    if (bits & base_x2apic != 0) cpu.writeMsr(msr.apic_base, off | bits);
    cpu.xapic = @intFromBool(bits & base_x2apic == 0);
    cpu.apicWrite(msr.spurious, spurious);
    cpu.apicWrite(msr.timer_divide, cpu_mod.divide_by_1);
    cpu.apicWrite(msr.timer_lvt, @intFromEnum(cpu_mod.Interrupt.nap));
}

/// Into xAPIC mode; registers read back what was written, ids are the machine's.
fn enter(context: *Context) Failed!void {
    const cpu = context.cpu;
    const version = cpu.apicRead(msr.apic_version);
    setMode(context, base_enable);
    const rounds = context.scaled(8);
    const start = cpu_mod.readTsc();
    for (0..rounds) |round| {
        try context.expect("an xAPIC has another id", context.me(), //
            cpu.apicRead(msr.apic_id) >> 24);
        try context.expect("an xAPIC has another version", version, //
            cpu.apicRead(msr.apic_version));
        const count = round << 8 | context.me();
        cpu.apicWrite(msr.timer_lvt, count & 0xff | lvt_masked);
        try context.expect("a register kept another value", count & 0xff | lvt_masked, //
            cpu.apicRead(msr.timer_lvt));
    }
    context.spent(start, rounds * 4);
    cpu.apicWrite(msr.timer_lvt, @intFromEnum(cpu_mod.Interrupt.nap));
    try enterFlat(context);
    // Destinations are right only after the last vCPU has said where it is to be found.
    try context.barrier();
}

const lvt_masked = 1 << 16;

/// The flat model: one bit of eight for each vCPU.
fn enterFlat(context: *Context) Failed!void {
    const bit = @as(u64, 1) << @intCast(24 + context.me() % 8);
    context.cpu.apicWrite(msr.destination_format, 0xffff_ffff);
    context.cpu.apicWrite(msr.logical_id, bit);
    const found = context.cpu.apicRead(msr.logical_id);
    try context.expect("a logical id was not kept", bit, found);
}

fn leave(context: *Context) Failed!void {
    const start = cpu_mod.readTsc();
    setMode(context, base_enable | base_x2apic);
    context.spent(start, 1);
    try context.expect("an x2APIC has another id", context.me(), //
        context.cpu.apicRead(msr.apic_id));
    const cluster = context.me() >> 4 << 16 | @as(u64, 1) << @intCast(context.me() & 15);
    try context.expect("an x2APIC has another logical id", cluster, //
        context.cpu.apicRead(msr.logical_id));
    try context.barrier();
}
