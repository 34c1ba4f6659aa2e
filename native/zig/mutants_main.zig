//! `npm run mutants`: switches every rule off alone and prints which check noticed, after how many
//! seeds and steps, as the table of docs/mutants.md. Exits with 1 when a mutant survives. A rule
//! without which an assertion fails is named before the stack; the process and the table end there.

const std = @import("std");
const hunter = @import("sim/mutants.zig");

/// Makes the rules of transport/guards.zig switchable in this program.
pub const mutants = {};

pub const panic = std.debug.FullPanic(onPanic);

/// Off now, for the panic.
var rule: []const u8 = "";

fn onPanic(message: []const u8, first_trace_address: ?usize) noreturn {
    if (rule.len > 0) {
        const said = .{ rule, hunter.seed_running, message };
        rule = "";
        std.debug.print("without `{s}`, seed {d}: assertion {s}\n", said);
    }
    std.debug.defaultPanic(message, first_trace_address);
}

pub fn main() !void {
    const print = std.debug.print;
    print("| rule | noticed by | seeds | steps |\n|---|---|---|---|\n", .{});
    var survivors: u32 = 0;
    for (hunter.names) |name| {
        rule = name;
        if (try hunter.hunt(std.heap.c_allocator, name)) |caught| {
            print("| `{s}` | {s} | {d} | {d} |\n", .{
                name, caught.check, caught.seeds, caught.steps,
            });
        } else {
            survivors += 1;
            print("| `{s}` | nothing: SURVIVED | {d} | - |\n", .{ name, hunter.seeds_max });
        }
    }
    print("{d} mutants, {d} survived\n", .{ hunter.names.len, survivors });
    if (survivors > 0) std.process.exit(1);
}
