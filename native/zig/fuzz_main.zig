//! Fuzz targets from the command line: `fuzz NAME --hex BYTES` runs one input, `fuzz NAME --seed S
//! --runs N` inputs made from the corpus by a seed, `fuzz NAME` the corpus alone. What breaks a
//! target, also by a panic, is printed as a line for its corpus. `npm run fuzz` searches longer and
//! guided by coverage, and replays with this program what it found (docs/fuzzing.md).

const std = @import("std");
const targets = @import("fuzz/targets.zig");
const Corpus = @import("fuzz/corpus.zig").Corpus;
const Mutator = @import("fuzz/mutate.zig").Mutator;

const allocator = std.heap.c_allocator;

/// What runs now, for the panic.
var running: []const u8 = &.{};
var breaks: bool = false;

pub const panic = std.debug.FullPanic(onPanic);

fn onPanic(message: []const u8, first_trace_address: ?usize) noreturn {
    if (!breaks) {
        breaks = true;
        std.debug.print("breaks {x}\n", .{running});
    }
    std.debug.defaultPanic(message, first_trace_address);
}

pub fn main(init: std.process.Init.Minimal) !void {
    var arguments = init.args.iterate();
    _ = arguments.next();
    const name = arguments.next() orelse return usage();
    const target = for (&targets.all) |*each| {
        if (std.mem.eql(u8, each.name, name)) break each;
    } else return usage();
    var hex: ?[]const u8 = null;
    var seed: u64 = 1;
    var runs: u64 = 0;
    while (arguments.next()) |word| {
        const value = arguments.next() orelse return usage();
        if (std.mem.eql(u8, word, "--hex")) {
            hex = value;
        } else if (std.mem.eql(u8, word, "--seed")) {
            seed = try std.fmt.parseInt(u64, value, 10);
        } else if (std.mem.eql(u8, word, "--runs")) {
            runs = try std.fmt.parseInt(u64, value, 10);
        } else return usage();
    }
    if (hex) |text| {
        const buffer = try allocator.alloc(u8, text.len / 2);
        defer allocator.free(buffer);
        return one(target, try std.fmt.hexToBytes(buffer, text));
    }
    var corpus = try Corpus.parse(allocator, target.corpus);
    defer corpus.deinit();
    for (corpus.inputs) |input| try one(target, input);
    var prng: std.Random.DefaultPrng = .init(seed);
    var mutator: Mutator = .{ .random = prng.random() };
    for (0..runs) |_| try one(target, mutator.next(corpus.inputs));
}

fn one(target: *const targets.Target, input: []const u8) !void {
    running = input;
    errdefer std.debug.print("breaks {x}\n", .{input});
    try target.run(allocator, input);
}

fn usage() error{Usage} {
    std.debug.print("fuzz NAME [--hex BYTES | --seed S --runs N], NAME one of", .{});
    for (&targets.all) |*target| std.debug.print(" {s}", .{target.name});
    std.debug.print("\n", .{});
    return error.Usage;
}
