//! `npm run explore`: every state of small worlds of the production code (docs/exploration.md).
//!
//!     explore [NAME ...] [--small] [--memory-mib N] [--minutes N] [--levels] [--guard-off RULE]
//!     explore NAME --path EVENTS
//!     explore --drawn N          of N worlds with drawn programs, how many deadlock
//!
//! Without names all worlds, one line each and their sum last. A search ends at a bound of memory
//! or processor time, too; --levels tells how far it is. A counterexample is the shortest: one line
//! per event, then the row of events that --path replays. --guard-off (of the pages; may be
//! repeated) must make worlds fail. Exits with 1 when anything was found.

const std = @import("std");
const ends = @import("explore/ends.zig");
const graph = @import("explore/graph.zig");
const links = @import("explore/links.zig");
const pages = @import("explore/pages.zig");
const runs = @import("explore/runs.zig");
const trail = @import("explore/trail.zig");
const worlds = @import("explore/worlds.zig");
const Guards = @import("dsm/guards.zig").Guards;
const linux = std.os.linux;
const say = std.debug.print;

pub const std_options: std.Options = .{ .allow_stack_tracing = false, .signal_stack_size = null };
pub const panic = std.debug.FullPanic(onPanic);

/// Where an assertion fails, the path to it is the counterexample.
var confess: ?*const fn () void = null;

fn onPanic(message: []const u8, _: ?usize) noreturn {
    say("assertion: {s}\n", .{message});
    if (confess) |print| {
        confess = null;
        print();
    }
    std.c.abort();
}

const Words = struct {
    names: std.ArrayList([]const u8) = .empty,
    small: bool = false,
    bound: graph.Bound = .{ .late = &late },
    guards: Guards = .{},
    path: ?[]graph.Code = null,
    drawn: u32 = 0,
    /// Of processor time, for each world.
    minutes: u64 = 2,
};

/// When the world that is explored must stop, in milliseconds of processor time.
var stop_ms: u64 = 0;

fn late() bool {
    return processorMs() >= stop_ms;
}

fn tellLevel(depth: u32, states: usize) void {
    say("  depth {d} complete, {d} states found, {d} s of processor time\n", .{
        depth, states, processorMs() / 1000,
    });
}

pub fn main(init: std.process.Init.Minimal) !void {
    const words = try read(init.args);
    if (words.drawn > 0) return drawn(words.drawn);
    var sum: Sum = .{};
    for (&runs.all) |*run| {
        var wanted = words.names.items.len == 0 and (run.small or !words.small);
        for (words.names.items) |name| wanted = wanted or std.mem.eql(u8, name, run.name);
        if (wanted) try one(run, &words, &sum);
    }
    if (words.path != null) return;
    say("{d} worlds, {d} states, {d} complete, {d} not, {d} failures\n", .{
        sum.worlds, sum.states, sum.worlds - sum.bounded, sum.bounded, sum.failures,
    });
    if (sum.failures > 0) std.process.exit(1);
}

fn read(args: std.process.Args) !Words {
    const a = std.heap.c_allocator;
    var words: Words = .{};
    var arguments = args.iterate();
    _ = arguments.next();
    while (arguments.next()) |word| {
        if (std.mem.eql(u8, word, "--small")) {
            words.small = true;
        } else if (std.mem.eql(u8, word, "--levels")) {
            words.bound.level = &tellLevel;
        } else if (!std.mem.startsWith(u8, word, "--")) {
            if (runs.find(word) == null) return usage(word);
            try words.names.append(a, word);
        } else {
            const value = arguments.next() orelse return usage(word);
            if (std.mem.eql(u8, word, "--memory-mib")) {
                const mib = std.fmt.parseInt(u32, value, 10) catch return usage(word);
                words.bound.bytes = @as(usize, mib) << 20;
            } else if (std.mem.eql(u8, word, "--minutes")) {
                words.minutes = std.fmt.parseInt(u32, value, 10) catch return usage(word);
            } else if (std.mem.eql(u8, word, "--guard-off")) {
                if (Guards.without(value) == null) return usage(word);
                inline for (@typeInfo(Guards).@"struct".fields) |field| {
                    const named = std.mem.eql(u8, value, field.name);
                    if (named) @field(words.guards, field.name) = false;
                }
            } else if (std.mem.eql(u8, word, "--drawn")) {
                words.drawn = std.fmt.parseInt(u32, value, 10) catch return usage(word);
            } else if (std.mem.eql(u8, word, "--path")) {
                words.path = trail.parse(a, value) catch return usage(word);
            } else return usage(word);
        }
    }
    if (words.path != null and words.names.items.len != 1) return usage("--path");
    return words;
}

fn usage(word: []const u8) error{Usage} {
    say("explore: {s}: use [NAME ...] --small, --memory-mib N, --minutes N, " ++
        "--levels, --guard-off RULE, NAME --path EVENTS; names are\n", .{word});
    for (&runs.all) |*run| say("    {s}\n", .{run.name});
    return error.Usage;
}

fn drawn(count: u32) !void {
    var any = false;
    for ([_]Guards{
        .{ .hurry = false, .answer_before_request = false },
        .{ .hurry = false },
        .{ .answer_before_request = false },
        .{},
    }) |guards| {
        var deadlocked: u32 = 0;
        for (0..count) |number| {
            const a = std.heap.c_allocator;
            if (try worlds.deadlocks(a, number, guards)) deadlocked += 1;
        }
        say("hurry {}, answer before request {}: {d} of {d} drawn worlds deadlock\n", .{
            guards.hurry, guards.answer_before_request, deadlocked, count,
        });
        any = guards.allOn() and deadlocked > 0;
    }
    if (any) std.process.exit(1);
}

fn one(run: *const runs.Run, words: *const Words, sum: *Sum) !void {
    switch (run.what) {
        .pages => |options| {
            var guarded = options;
            guarded.guards = words.guards;
            return look(pages.World, run.name, guarded, words, sum);
        },
        .links => |options| return look(links.World, run.name, options, words, sum),
    }
}

/// What all worlds came to.
const Sum = struct {
    worlds: u32 = 0,
    states: u64 = 0,
    bounded: u32 = 0,
    failures: u32 = 0,
};

fn look(
    comptime World: type,
    name: []const u8,
    options: anytype,
    words: *const Words,
    sum: *Sum,
) !void {
    const a = std.heap.c_allocator;
    if (words.path) |codes| return counterexample(World, name, options, codes);
    const world = try World.init(a, options);
    defer world.deinit();
    const Search = graph.Graph(World);
    var search: Search = try .init(a, world);
    defer search.deinit();
    const Confession = struct {
        var of: *Search = undefined;
        fn print() void {
            const codes = of.trail(a, of.trying.state) catch return;
            trail.print(codes);
            if (of.trying.event) |event| say("then {x}\n", .{event});
        }
    };
    Confession.of = &search;
    confess = &Confession.print;
    defer confess = null;
    const start = processorMs();
    stop_ms = start + words.minutes * 60_000;
    const outcome = try search.explore(words.bound);
    const end: ends.Ends = if (outcome == .found) .{} else try ends.look(a, &search);
    tell(name, &search, outcome != .bounded, processorMs() - start);
    sum.worlds += 1;
    sum.states += search.fingerprints.length;
    if (outcome == .bounded) sum.bounded += 1;
    const failure: Search.Found = if (outcome == .found)
        outcome.found
    else if (end.stuck orelse end.circling) |state|
        .{ .failure = error.Stuck, .state = state, .event = null }
    else
        return say("\n", .{});
    sum.failures += 1;
    say(": {t}, {d} states are stuck, {d} circle\n", .{
        failure.failure, end.stuck_states, end.circling_states,
    });
    const codes = try std.mem.concat(a, graph.Code, &.{
        try search.trail(a, failure.state),
        if (failure.event) |event| &.{event} else &.{},
    });
    try counterexample(World, name, options, codes);
}

fn tell(name: []const u8, search: anytype, whole: bool, ms: u64) void {
    say("{s}: {d} states, {d} edges, depth {d}, ", .{
        name, search.fingerprints.length, search.edges.length, search.depth,
    });
    if (whole) say("all looked", .{}) else say("not all: {d} looked, of endings only theirs", .{
        search.fans.length,
    });
    say(", {d} MiB, {d} ms", .{ search.bytes() >> 20, ms });
}

fn counterexample(
    comptime World: type,
    name: []const u8,
    options: anytype,
    codes: []const graph.Code,
) !void {
    const world = try World.init(std.heap.c_allocator, options);
    defer world.deinit();
    trail.replay(world, codes) catch |err| say("     {t}\n", .{err});
    say("{s} --path ", .{name});
    trail.print(codes);
}

fn processorMs() u64 {
    var ts: linux.timespec = undefined;
    _ = linux.clock_gettime(.PROCESS_CPUTIME_ID, &ts);
    return @as(u64, @intCast(ts.sec)) * 1000 + @as(u64, @intCast(ts.nsec)) / 1_000_000;
}

test {
    _ = @import("explore/explore_test.zig");
}
