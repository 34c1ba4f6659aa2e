//! LOCK instructions on words that lie in two pages. A processor holds both while it works; here it
//! must also have both at once from other nodes. Some hosts refuse them by #AC (split lock
//! detection): then there is nothing to check, and the line says so.

const cpu_mod = @import("../cpu.zig");
const info_mod = @import("../info.zig");
const pages = @import("../pages.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;
const Cpu = cpu_mod.Cpu;

pub const checks = [_]Check{
    .{ .name = "alignment", .unit = "us per unaligned load refused by #AC", .run = alignment },
    .{ .name = "split-lock", .unit = "us per lock xadd over two pages", .run = splitLock },
};

/// Where ring 3 asks for it, a load from an odd address is #AC, always; the way out of a refused
/// instruction, which the next check relies on, is walked here. An emulated processor may know no
/// alignment checks at all.
fn alignment(context: *Context) Failed!void {
    const rounds = context.scaled(20);
    const address = pages.on(context.info, context.cpu.node, .split) + 8 * context.me() + 1;
    const before = cpu_mod.load(&context.cpu.refused);
    const start = cpu_mod.readTsc();
    for (0..rounds) |_| loadAligned(context.cpu, address);
    context.spent(start, rounds);
    const refused = cpu_mod.load(&context.cpu.refused) - before;
    if (refused == 0) {
        context.note = "none: this host's processor does not check alignment";
        return;
    }
    try context.expect("unaligned loads were not all refused", rounds, refused);
}

/// With the flag AC set, for this load alone.
fn loadAligned(cpu: *Cpu, address: u64) void {
    const alignment_flag = 1 << 18;
    asm volatile (
        \\lea 1f(%%rip), %%rdx
        \\mov %%rdx, (%[recover])
        \\pushfq
        \\orq %[flag], (%%rsp)
        \\popfq
        \\mov (%[word]), %%rdx
        \\1: pushfq
        \\andq %[others], (%%rsp)
        \\popfq
        \\movq $0, (%[recover])
        :
        : [word] "r" (address),
          [recover] "r" (&cpu.recover),
          [flag] "i" (alignment_flag),
          [others] "i" (~@as(i32, alignment_flag)),
        : .{ .rdx = true, .memory = true, .cc = true });
}

const rounds_max = 400;
/// Some hosts slow such instructions down to one in 10 ms.
const time_max_ms = 400;
/// Bytes of the word in the first of the two pages.
const below = 3;

/// All vCPUs add to one word over two pages, and to a word of their own in each page.
fn splitLock(context: *Context) Failed!void {
    const info = context.info;
    const border = pages.on(info, 0, .split) + info_mod.page;
    const totals = cpu_mod.word(pages.on(info, 0, .split) + 64);
    const mine = [_]*u64{
        cpu_mod.word(pages.on(info, 0, .split) + 128 + 8 * context.me()),
        cpu_mod.word(border + 128 + 8 * context.me()),
    };
    const end = cpu_mod.readTsc() + time_max_ms * info.tsc_khz;
    const start = cpu_mod.readTsc();
    var done: u64 = 0;
    var last: u64 = 0;
    while (done < context.scaled(rounds_max) and cpu_mod.readTsc() < end) {
        const before = add(context.cpu, border - below, 1) orelse {
            context.note = "none: this host refuses LOCK over two pages by #AC";
            break;
        };
        if (done > 0 and before <= last) return context.fail("a counter went back", last, before);
        last = before;
        done += 1;
        for (mine) |word| cpu_mod.store(word, done);
        cpu_mod.relax(30);
    }
    if (done > 0) context.spent(start, done);
    _ = @atomicRmw(u64, totals, .Add, done, .acq_rel);
    try context.barrier();
    const word: *align(1) volatile u64 = @ptrFromInt(border - below);
    try context.expect("an increment over two pages was lost", cpu_mod.load(totals), word.*);
    for (mine) |own| try context.expect("a store beside was lost", done, cpu_mod.load(own));
}

/// What the word was; null when the processor refused.
fn add(cpu: *Cpu, address: u64, value: u64) ?u64 {
    const refused = cpu_mod.load(&cpu.refused);
    const before = asm volatile (
        \\lea 1f(%%rip), %%rdx
        \\mov %%rdx, (%[recover])
        \\lock xaddq %[value], (%[word])
        \\1: movq $0, (%[recover])
        : [value] "=&{rax}" (-> u64),
        : [start] "{rax}" (value),
          [word] "r" (address),
          [recover] "r" (&cpu.recover),
        : .{ .rdx = true, .memory = true, .cc = true });
    return if (cpu_mod.load(&cpu.refused) == refused) before else null;
}
