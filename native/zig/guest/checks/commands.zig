//! Interrupt commands of the other kinds: logical destinations, shorthands, NMI. Each vCPU counts
//! what reached it, so one too many shows as well as one too few.

const cpu_mod = @import("../cpu.zig");
const pages = @import("../pages.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;

pub const checks = [_]Check{
    .{ .name = "ipi-logical", .unit = "us per IPI to a logical set, answered", .run = logical },
    .{ .name = "ipi-self", .unit = "us per IPI to itself", .run = self },
    .{ .name = "ipi-all", .unit = "us per IPI to all, itself included", .run = everyone },
    .{ .name = "nmi", .unit = "us per NMI to a halted vCPU, answered", .run = nmi },
};

/// Sets of vCPUs by their bit in the logical id: every second, the others, all.
const masks = [_]u64{ 0x5555, 0xaaaa, 0xffff };

/// Bit of a vCPU in its logical id, and how many there are: x2APICs have clusters of 16, the flat
/// model of xAPICs 8 bits that vCPUs beyond the eighth share.
fn bits(context: *const Context) u64 {
    return if (context.cpu.xapic == 0) 16 else 8;
}

fn inMask(context: *const Context, vcpu: u64, mask: u64) bool {
    const width = bits(context);
    return mask >> @intCast(vcpu % width) & 1 != 0;
}

/// vCPU 0 sends to each set in turn; who is reached answers by memory.
pub fn logical(context: *Context) Failed!void {
    const info = context.info;
    const rounds = context.scaled(30);
    const answers = pages.word(info, .broadcast, 2 + context.cpu.xapic);
    var expected: u64 = 0;
    var answered: u64 = 0;
    context.watchdog(true);
    const start = cpu_mod.readTsc();
    for (0..rounds) |round| {
        const mask = masks[round % masks.len];
        for (0..info.vcpus) |vcpu| answered += @intFromBool(inMask(context, vcpu, mask));
        if (context.me() == 0) sendLogical(context, mask);
        if (inMask(context, context.me(), mask)) {
            expected += 1;
            try context.waitForInterrupt(.logical, expected);
            _ = @atomicRmw(u64, answers, .Add, 1, .acq_rel);
        }
        if (context.me() == 0) try context.waitFor(answers, answered);
    }
    if (context.me() == 0) context.spent(start, rounds);
    context.watchdog(false);
    try context.barrier();
    const taken = context.taken(.logical);
    try context.expect("an IPI went to another set", expected, taken);
}

fn sendLogical(context: *Context, mask: u64) void {
    const low = cpu_mod.icr.logical | @as(u64, @intFromEnum(cpu_mod.Interrupt.logical));
    if (context.cpu.xapic != 0) return context.cpu.command(mask & 0xff, low);
    const clusters = (context.info.vcpus + 15) / 16;
    for (0..clusters) |cluster| context.cpu.command(cluster << 16 | mask, low);
}

/// Every vCPU at once by the self shorthand: nobody else's comes.
pub fn self(context: *Context) Failed!void {
    const rounds = context.scaled(30);
    context.watchdog(true);
    const start = cpu_mod.readTsc();
    for (1..rounds + 1) |round| {
        context.cpu.command(0, cpu_mod.icr.self | @as(u64, @intFromEnum(cpu_mod.Interrupt.self)));
        try context.waitForInterrupt(.self, round);
    }
    context.spent(start, rounds);
    context.watchdog(false);
    try context.barrier();
    try context.expect("an IPI to itself went astray", rounds, context.taken(.self));
}

/// The shorthand that includes the sender, from the last vCPU.
fn everyone(context: *Context) Failed!void {
    const rounds = context.scaled(20);
    const sender = context.info.vcpus - 1;
    const answers = pages.word(context.info, .broadcast, 4);
    context.watchdog(true);
    const start = cpu_mod.readTsc();
    for (1..rounds + 1) |round| {
        if (context.me() == sender) {
            const vector: u64 = @intFromEnum(cpu_mod.Interrupt.broadcast);
            context.cpu.command(0, cpu_mod.icr.all | vector);
        }
        try context.waitForInterrupt(.broadcast, round);
        _ = @atomicRmw(u64, answers, .Add, 1, .acq_rel);
        // The next one must not come while this one is still being served somewhere: one vector
        // keeps one interrupt.
        if (context.me() == sender) try context.waitFor(answers, round * context.info.vcpus);
    }
    if (context.me() == sender) context.spent(start, rounds);
    context.watchdog(false);
    try context.barrier();
    try context.expect("an IPI came twice", rounds, context.taken(.broadcast));
}

/// To the last vCPU of every node in turn, which answers by an NMI to vCPU 0.
fn nmi(context: *Context) Failed!void {
    const info = context.info;
    const rounds = context.scaled(20);
    var expected: u64 = 0;
    context.watchdog(true);
    for (0..@min(info.nodes, 8)) |node| {
        const other = info.last(node);
        if (other == 0) continue;
        const start = cpu_mod.readTsc();
        if (context.me() == 0) {
            for (0..rounds) |_| {
                context.cpu.command(other, cpu_mod.icr.nmi);
                expected += 1;
                try context.waitForInterrupt(.nmi, expected);
            }
            context.spent(start, rounds);
        } else if (context.me() == other) {
            for (0..rounds) |_| {
                expected += 1;
                try context.waitForInterrupt(.nmi, expected);
                context.cpu.command(0, cpu_mod.icr.nmi);
            }
        }
    }
    context.watchdog(false);
    try context.barrier();
    try context.expect("an NMI came twice", expected, context.taken(.nmi));
}
