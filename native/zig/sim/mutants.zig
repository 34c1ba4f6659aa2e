//! Mutation: each rule of coherence and transport is switched off alone, and a check must notice
//! within its bounded seeds. What survives is a rule that nothing tests. docs/mutants.md.

const std = @import("std");
const coherence = @import("coherence.zig");
const dsm_guards = @import("../dsm/guards.zig");
const link_guards = @import("../transport/guards.zig");
const scenarios = @import("scenarios.zig");
const transport = @import("transport.zig");

pub const seeds_max = 200;

/// What runs now, for the panic of whoever hunts.
pub var seed_running: u64 = 0;

pub const Caught = struct { check: []const u8, seeds: u64, steps: u64 };

/// Every rule's name; those of transport/guards.zig carry its room's name.
pub const names = dsmNames() ++ [_][]const u8{"channel.page_order"} ++ linkNames();

fn dsmNames() [std.meta.fields(dsm_guards.Guards).len][]const u8 {
    var list: [std.meta.fields(dsm_guards.Guards).len][]const u8 = undefined;
    for (std.meta.fields(dsm_guards.Guards), &list) |field, *name| name.* = field.name;
    return list;
}

fn linkNames() [std.meta.fields(link_guards.Guard).len][]const u8 {
    var list: [std.meta.fields(link_guards.Guard).len][]const u8 = undefined;
    for (std.meta.fields(link_guards.Guard), &list) |field, *name| {
        name.* = "transport." ++ field.name;
    }
    return list;
}

/// Runs without the named rule until a check notices; null when none does. "" = with all rules.
pub fn hunt(allocator: std.mem.Allocator, name: []const u8) !?Caught {
    if (std.mem.startsWith(u8, name, "transport.")) return huntLink(allocator, name[10..]);
    var steps: u64 = 0;
    for (0..seeds_max) |seed| {
        seed_running = seed;
        const options = optionsFor(seed, name);
        if (coherence.runOnce(allocator, options)) |result| {
            steps += result.steps;
        } else |err| {
            if (err == error.OutOfMemory) return err;
            steps += coherence.steps_at_failure;
            return .{ .check = @errorName(err), .seeds = seed + 1, .steps = steps };
        }
    }
    return null;
}

fn optionsFor(seed: u64, name: []const u8) coherence.Options {
    var options = coherence.drawn(seed);
    options.links = false;
    options.instructions = @min(options.instructions, 30);
    options.nodes = @min(options.nodes, 5);
    options.crash_ns = null;
    options.report = false;
    options.stall_steps = 100_000;
    if (dsm_guards.Guards.without(name)) |guards| options.guards = guards else {
        options.channel = .{ .delay_min_ns = 1000, .delay_max_ns = 200_000, .keep_order = false };
    }
    // Rules of progress are missed where several nodes want the same many pages.
    if (seed % 2 == 1) {
        options.nodes = 2 + @as(u8, @intCast(seed / 2 % 2));
        options.threads = 1;
        options.pages = 60;
        options.k_min = 60;
        options.k_max = 60;
        options.write_percent = 70;
        options.mischief = false;
        options.device = false;
        options.wake_late_ns = 500_000;
    }
    // Those of eviction, where a few pages are wanted by all and given back all the time.
    if (seed % 4 == 3) {
        options.nodes = 3;
        options.pages = 3 + @as(u32, @intCast(seed / 4 % 3));
        options.k_min = 1;
        options.k_max = 3;
        options.gang_requests = 0;
        options.instructions = 200;
        options.mischief = true;
        options.mischief_per_mille = 500;
        options.wake_late_ns = 0;
        options.write_percent = 70;
        if (seed % 8 == 7) {
            options.instructions = 1000;
            options.channel = .{
                .delay_min_ns = 1_000,
                .delay_max_ns = 100_000,
                .tail_per_mille = 100,
            };
        }
    }
    // And fairness, where many want one page.
    if (seed % 8 == 5) {
        options.nodes = 8;
        options.pages = 1;
        options.k_min = 1;
        options.k_max = 1;
        options.write_percent = 100;
        options.instructions = 200;
        options.channel = .{ .delay_min_ns = 5_000, .delay_max_ns = 15_000 };
        // Each other node once for the request that waited already, once for one under way.
        options.overtaken_max = 2 * @as(u64, options.nodes);
    }
    return options;
}

fn huntLink(allocator: std.mem.Allocator, name: []const u8) !?Caught {
    link_guards.off = std.meta.stringToEnum(link_guards.Guard, name);
    defer link_guards.off = null;
    var steps: u64 = 0;
    for (0..seeds_max) |seed| {
        seed_running = seed;
        _ = transport.runCounted(allocator, seed, 300, &steps) catch |err| {
            if (err == error.OutOfMemory) return err;
            return .{ .check = @errorName(err), .seeds = seed + 1, .steps = steps };
        };
        scenarios.all(allocator) catch |err| {
            if (err == error.OutOfMemory) return err;
            return .{ .check = @errorName(err), .seeds = seed + 1, .steps = steps };
        };
    }
    return null;
}

test "with all rules nothing is noticed, without any one something is" {
    const a = std.testing.allocator;
    for (0..30) |seed| _ = try coherence.runOnce(a, optionsFor(seed, ""));
    for (names) |name| {
        if (try hunt(a, name) != null) continue;
        std.debug.print("without {s} nothing failed in {d} seeds\n", .{ name, seeds_max });
        return error.GuardNotNeeded;
    }
}
