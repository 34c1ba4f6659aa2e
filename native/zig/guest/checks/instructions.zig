//! Instructions that touch more than one page, and pages that are instructions.

const cpu_mod = @import("../cpu.zig");
const info_mod = @import("../info.zig");
const pages = @import("../pages.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;
const load = cpu_mod.load;
const store = cpu_mod.store;

pub const checks = [_]Check{
    .{ .name = "strings", .unit = "us per 8000 bytes by rep movs between nodes", .run = strings },
    .{ .name = "unaligned", .unit = "us per store across a page border", .run = unaligned },
    .{ .name = "code", .unit = "us per function written and called", .run = code },
};

const string_bytes = 8000;
const source_offset = 37;
const target_offset = 1003;

/// Each node fills two and a half pages of its own and copies them to the next node's memory; that
/// node compares. All nodes at once.
fn strings(context: *Context) Failed!void {
    const info = context.info;
    const node = context.cpu.node;
    const source = pages.on(info, node, .strings) + source_offset;
    const rounds = context.scaled(8);
    for (0..rounds) |round| {
        if (context.me() == info.first(node)) {
            const target = pages.on(info, node + 1, .copy) + target_offset;
            for (0..string_bytes) |i| byte(source + i).* = pattern(node, round, i);
            const start = cpu_mod.readTsc();
            storeString(target - 1, 0xa5, string_bytes + 2);
            moveString(target, source, string_bytes);
            context.spent(start, 1);
        }
        try context.barrier();
        if (context.me() == info.last(node)) {
            const before = (node + info.nodes - 1) % info.nodes;
            const copy = pages.on(info, node, .copy) + target_offset;
            try context.expect("a byte before the string changed", 0xa5, byte(copy - 1).*);
            try context.expect("a byte behind the string changed", 0xa5, //
                byte(copy + string_bytes).*);
            const original = pages.on(info, before, .strings) + source_offset;
            try context.expect("strings differ", 0, compareString(copy, original, string_bytes));
            for (0..string_bytes) |i| {
                try context.expect("a byte is wrong", pattern(before, round, i), byte(copy + i).*);
            }
        }
        try context.barrier();
    }
}

fn byte(address: u64) *volatile u8 {
    return @ptrFromInt(address);
}

fn pattern(node: u64, round: u64, i: u64) u8 {
    return @truncate(i *% 37 + (i >> 8) +% node *% 101 +% round *% 17 + 1);
}

fn moveString(target: u64, source: u64, length: u64) void {
    var target_end: u64 = undefined;
    var source_end: u64 = undefined;
    var rest: u64 = undefined;
    asm volatile ("rep movsb"
        : [target_end] "={rdi}" (target_end),
          [source_end] "={rsi}" (source_end),
          [rest] "={rcx}" (rest),
        : [to] "{rdi}" (target),
          [from] "{rsi}" (source),
          [length] "{rcx}" (length),
        : .{ .memory = true });
}

fn storeString(target: u64, value: u8, length: u64) void {
    var target_end: u64 = undefined;
    var rest: u64 = undefined;
    asm volatile ("rep stosb"
        : [target_end] "={rdi}" (target_end),
          [rest] "={rcx}" (rest),
        : [to] "{rdi}" (target),
          [value] "{al}" (value),
          [length] "{rcx}" (length),
        : .{ .memory = true });
}

/// Bytes left when the first difference was found, 0 for none.
fn compareString(left: u64, right: u64, length: u64) u64 {
    var rest: u64 = undefined;
    var left_end: u64 = undefined;
    var right_end: u64 = undefined;
    var equal: u8 = undefined;
    asm volatile (
        \\repe cmpsb
        \\sete %[equal]
        : [rest] "={rcx}" (rest),
          [left_end] "={rdi}" (left_end),
          [right_end] "={rsi}" (right_end),
          [equal] "={al}" (equal),
        : [left] "{rdi}" (left),
          [right] "{rsi}" (right),
          [length] "{rcx}" (length),
        : .{ .memory = true, .cc = true });
    return if (equal != 0) 0 else rest + 1;
}

/// One vCPU stores 8 bytes across the border of two pages, at home on two nodes where memory lies
/// so, while another stores to both pages beside them.
fn unaligned(context: *Context) Failed!void {
    const info = context.info;
    const rounds = context.scaled(10_000);
    for (0..info.nodes) |node| {
        const border = borderOf(info, node);
        const crosser = if (node == 0) info.last(0) else info.first(node - 1);
        const neighbour = info.first(node);
        if (context.me() == crosser) try cross(context, border, rounds);
        if (context.me() == neighbour and neighbour != crosser) {
            try beside(context, border, rounds);
        }
        try context.barrier();
        const crossing: *align(1) volatile u64 = @ptrFromInt(border - 3);
        try context.expect("a store across pages was lost", spread(rounds), crossing.*);
        if (neighbour != crosser) {
            try context.expect("a store beside was lost", rounds, load(cpu_mod.word(border - 16)));
            try context.expect("a store beside was lost", rounds, load(cpu_mod.word(border + 16)));
        }
        try context.barrier();
    }
}

/// Address of the page border tested for the node: the start of its memory where memory of the
/// node before lies directly below.
fn borderOf(info: *const info_mod.Info, node: u64) u64 {
    const first_high = 1 << 32;
    const start = info.node[node].ram_gpa;
    const own = pages.on(info, node, .border_next);
    return if (node == 0 or start == first_high or info.node[node].area_gpa != start)
        own
    else
        start;
}

fn spread(value: u64) u64 {
    return value *% 0x0101010101010101;
}

fn cross(context: *Context, border: u64, rounds: u64) Failed!void {
    const crossing: *align(1) volatile u64 = @ptrFromInt(border - 3);
    const start = cpu_mod.readTsc();
    for (1..rounds + 1) |round| {
        crossing.* = spread(round);
        try context.expect("a store across pages was lost", spread(round), crossing.*);
        cpu_mod.relax(30);
    }
    context.spent(start, rounds);
}

fn beside(context: *Context, border: u64, rounds: u64) Failed!void {
    const below = cpu_mod.word(border - 16);
    const above = cpu_mod.word(border + 16);
    for (1..rounds + 1) |round| {
        try context.expect("a store beside was lost", round - 1, load(below));
        try context.expect("a store beside was lost", round - 1, load(above));
        store(below, round);
        store(above, round);
        cpu_mod.relax(30);
    }
}

/// `mov eax, value; ret` is written on one node and called on the next, again and again at the same
/// address: the caller held the old instructions.
fn code(context: *Context) Failed!void {
    const info = context.info;
    const rounds = context.scaled(20);
    const flag = pages.word(info, .code_flag, 0);
    const done = pages.word(info, .code_flag, 1);
    for (0..info.nodes) |node| {
        const writer = info.first(node);
        const caller = if (info.nodes == 1) info.last(0) else info.first(node + 1);
        const page = pages.on(info, node, .code);
        const base = (node + 1) << 16;
        const start = cpu_mod.readTsc();
        for (1..rounds + 1) |round| {
            const at = page + round % 3 * 8;
            const value: u32 = @truncate(base + round);
            if (context.me() == writer) {
                writeFunction(at, value);
                store(flag, base + round);
            }
            if (context.me() == caller) {
                try context.waitFor(flag, base + round);
                cpu_mod.serialize();
                const function: *const fn () callconv(.c) u32 = @ptrFromInt(at);
                try context.expect("old instructions ran", value, function());
                store(done, base + round);
            }
            if (context.me() == writer) try context.waitFor(done, base + round);
        }
        if (context.me() == writer) context.spent(start, rounds);
        try context.barrier();
    }
}

fn writeFunction(at: u64, value: u32) void {
    const move_to_eax = 0xb8;
    const near_return = 0xc3;
    byte(at).* = move_to_eax;
    @as(*align(1) volatile u32, @ptrFromInt(at + 1)).* = value;
    byte(at + 5).* = near_return;
}
