//! The instructions of a shape's threads, made from the table at compile time: nothing but the
//! accesses themselves and what stands between them, the same in the built-in guest and in a
//! native thread.

const std = @import("std");
const outcome = @import("outcome.zig");
const shapes = @import("shapes.zig");
const Op = shapes.Op;
const print = std.fmt.comptimePrint;

/// Runs one thread of one instance: addresses of x and y, and where EAX and EBX go.
pub const Body = *const fn (x: u64, y: u64, registers: *[2]u32) void;

fn operand(comptime location: shapes.Location) []const u8 {
    return if (location == .x) "(%%rdi)" else "(%%rsi)";
}

fn instruction(comptime op: Op, comptime sync: shapes.Sync, comptime unit: u32) []const u8 {
    switch (op) {
        .store => |store| {
            const value = store.value * outcome.scale(store.to, unit);
            const to = operand(store.to);
            if (sync != .locked) return print("movl ${d}, {s}\n", .{ value, to });
            return print("movl ${d}, %%edx\nxchgl %%edx, {s}\n", .{ value, to });
        },
        .load => |load| {
            const into = "%%" ++ @tagName(load.into);
            const from = operand(load.from);
            if (sync != .locked) return print("movl {s}, {s}\n", .{ from, into });
            return print("lock xaddl {s}, {s}\n", .{ into, from });
        },
    }
}

/// The registers are cleared first: one that is not loaded is reported as 0, and LOCK XADD adds
/// what they hold.
fn text(comptime ops: []const Op, comptime sync: shapes.Sync, comptime unit: u32) []const u8 {
    comptime var all: []const u8 = "xorl %%eax, %%eax\nxorl %%ebx, %%ebx\n";
    inline for (ops, 0..) |op, i| {
        if (i > 0 and sync == .mfences) all = all ++ "mfence\n";
        all = all ++ instruction(op, sync, unit);
    }
    return all;
}

fn Made(comptime ops: []const Op, comptime sync: shapes.Sync, comptime unit: u32) type {
    return struct {
        fn run(x: u64, y: u64, registers: *[2]u32) void {
            var eax: u32 = undefined;
            var ebx: u32 = undefined;
            asm volatile (text(ops, sync, unit)
                : [eax] "={eax}" (eax),
                  [ebx] "={ebx}" (ebx),
                : [x] "{rdi}" (x),
                  [y] "{rsi}" (y),
                : .{ .memory = true, .cc = true, .rdx = true });
            registers.* = .{ eax, ebx };
        }
    };
}

const units = [_]u32{ outcome.unitOf(.same_page), outcome.unitOf(.across) };
const Bodies = [shapes.all.len][shapes.Sync.all.len][units.len][shapes.threads_max]Body;

const table: Bodies = blk: {
    @setEvalBranchQuota(100_000);
    var bodies: Bodies = undefined;
    for (&shapes.all, 0..) |*shape, s| for (shapes.Sync.all, 0..) |sync, k| {
        for (units, 0..) |unit, u| for (shape.threads, 0..) |ops, thread| {
            bodies[s][k][u][thread] = Made(ops, sync, unit).run;
        };
    };
    break :blk bodies;
};

pub fn of(case: *const shapes.Case, thread: usize) Body {
    const offset = @intFromPtr(case.shape) - @intFromPtr(&shapes.all);
    const split = @intFromBool(case.placement.splits());
    return table[offset / @sizeOf(shapes.Shape)][@intFromEnum(case.sync)][split][thread];
}

test "one thread after the other ends as its program says" {
    var memory: [2]u32 = undefined;
    const x = @intFromPtr(&memory[0]);
    const y = @intFromPtr(&memory[1]);
    var registers: [2]u32 = undefined;
    for (shapes.Sync.all) |sync| for (shapes.Placement.all) |placement| {
        const unit = outcome.unitOf(placement);
        memory = .{ 0, 0 };
        const s: shapes.Case = .{
            .shape = shapes.named("S").?,
            .sync = sync,
            .placement = placement,
        };
        of(&s, 0)(x, y, &registers);
        try std.testing.expectEqual([2]u32{ 2 * unit, 1 }, memory);
        try std.testing.expectEqual([2]u32{ 0, 0 }, registers);
        of(&s, 1)(x, y, &registers);
        try std.testing.expectEqual([2]u32{ unit, 1 }, memory);
        try std.testing.expectEqual([2]u32{ 1, 0 }, registers);
        const mp: shapes.Case = .{
            .shape = shapes.named("MP").?,
            .sync = sync,
            .placement = placement,
        };
        of(&mp, 1)(x, y, &registers);
        try std.testing.expectEqual([2]u32{ 1, unit }, registers);
    };
}
