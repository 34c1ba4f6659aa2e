//! Accesses to a device that lives on one node, from every node. The device counts, so an access
//! that was done twice or not at all shows.

const cpu_mod = @import("../cpu.zig");
const Check = @import("../check.zig").Check;
const Context = @import("../context.zig").Context;
const Failed = @import("../context.zig").Failed;

pub const checks = [_]Check{
    .{ .name = "mmio", .unit = "us per MMIO access", .run = mmio },
    .{ .name = "mmio-fifo", .unit = "us per read with a side effect", .run = fifo },
    .{ .name = "ports", .unit = "us per port access", .run = ports },
};

/// Offsets in the probe device (native/zig/devices): eight registers that keep what was stored,
/// the number of accesses to them, a queue.
const registers = 8;
const counter_offset = 0x40;
const fifo_offset = 0x48;

/// One vCPU of every node, one after the other: what was stored comes back, counted once each.
fn mmio(context: *Context) Failed!void {
    const info = context.info;
    const rounds = context.scaled(4);
    for (0..info.nodes) |node| {
        if (context.me() == info.last(node)) {
            const itself = read(context, counter_offset);
            const own = read(context, counter_offset) - itself;
            const before = read(context, counter_offset);
            const start = cpu_mod.readTsc();
            for (0..rounds) |round| {
                for (0..registers) |i| write(context, 8 * i, value(context, node, round, i));
                for (0..registers) |i| {
                    const found = read(context, 8 * i);
                    try context.expect("a register kept another value", //
                        value(context, node, round, i), found);
                }
            }
            context.spent(start, rounds * registers * 2);
            const accesses = read(context, counter_offset) - before - own;
            try context.expect("accesses were lost or doubled", rounds * registers * 2, accesses);
        }
        try context.barrier();
    }
}

fn value(context: *const Context, node: u64, round: u64, i: u64) u64 {
    return (context.info.seed +% node *% 1000 +% round *% 10 +% i) *% 0x9e3779b97f4a7c15;
}

/// A read takes an entry out of the queue: done twice, the next one would be gone.
fn fifo(context: *Context) Failed!void {
    const info = context.info;
    const entries = 8;
    for (0..info.nodes) |node| {
        if (context.me() == info.first(node)) {
            for (0..entries) |i| write(context, fifo_offset, node << 8 | i);
            const start = cpu_mod.readTsc();
            for (0..entries) |i| {
                try context.expect("the queue skipped or repeated an entry", node << 8 | i, //
                    read(context, fifo_offset));
            }
            context.spent(start, entries);
        }
        try context.barrier();
    }
}

/// Bytes and double words through ports, which only ring 0 may touch.
fn ports(context: *Context) Failed!void {
    const info = context.info;
    const rounds = context.scaled(2);
    const first: u16 = @truncate(info.probe_port);
    for (0..info.nodes) |node| {
        if (context.me() == info.first(node)) {
            const start = cpu_mod.readTsc();
            for (0..rounds) |round| {
                for (0..4) |i| {
                    const sent: u8 = @truncate(node * 16 + round * 4 + i + 1);
                    const address: u16 = first + @as(u16, @truncate(i));
                    cpu_mod.port.write8(address, sent);
                    try context.expect("a port kept another byte", sent, //
                        cpu_mod.port.read8(address));
                }
                const sent: u32 = @truncate(0x12345678 +% node *% 0x01010101 +% round);
                cpu_mod.port.write32(first + 4, sent);
                try context.expect("a port kept another word", sent, //
                    cpu_mod.port.read32(first + 4));
            }
            context.spent(start, rounds * 10);
        }
        try context.barrier();
    }
}

fn at(context: *const Context, offset: u64) *volatile u64 {
    return @ptrFromInt(context.info.probe_gpa + offset);
}

fn read(context: *const Context, offset: u64) u64 {
    return at(context, offset).*;
}

fn write(context: *const Context, offset: u64, new: u64) void {
    at(context, offset).* = new;
}
