//! The coherence simulator from the command line (`npm run sim`): `sim [--seconds N | --minutes N]
//! [--seeds N] [--seed S] [--trace] [--guard-off NAME]`. Without --seed it walks through seeds
//! until the time is over or --seeds of them are done, from --first on by --stride, so that several
//! processes share them. --bench keeps 4 nodes and 64 pages, the size for which a speed is
//! promised. The first seed that fails is run again with one line per event on stderr; the last
//! line counts seeds, steps, steps/s, failures.
//!
//! A failed assertion of the production code ends the process: its seed is named and the counts are
//! printed before the stack, so that scripts/sim.ts can replay it and go on with the seed behind
//! it. --assert-at SEED breaks one at that seed, to test this.

const std = @import("std");
const coherence = @import("sim/coherence.zig");
const Guards = @import("dsm/guards.zig").Guards;
const linux = std.os.linux;

fn nowNs() u64 {
    var ts: linux.timespec = undefined;
    _ = linux.clock_gettime(.MONOTONIC, &ts);
    return @as(u64, @intCast(ts.sec)) * std.time.ns_per_s + @as(u64, @intCast(ts.nsec));
}

pub const panic = std.debug.FullPanic(onPanic);

fn onPanic(message: []const u8, first_trace_address: ?usize) noreturn {
    if (!tally.panicked) {
        tally.panicked = true;
        tally.failures += 1;
        std.debug.print("coherence seed {d}: assertion {s}\n", .{ tally.seed, message });
        tally.print();
    }
    std.debug.defaultPanic(message, first_trace_address);
}

/// What has been done so far, also for the panic.
const Tally = struct {
    start_ns: u64 = 0,
    /// What runs now.
    seed: u64 = 0,
    seeds: u64 = 0,
    steps: u64 = 0,
    failures: u64 = 0,
    panicked: bool = false,

    fn print(self: *const Tally) void {
        const elapsed = @max(1, (nowNs() - self.start_ns) / std.time.ns_per_ms);
        std.debug.print("{d} seeds, {d} steps, {d} steps/s, {d} failures\n", .{
            self.seeds, self.steps, self.steps * 1000 / elapsed, self.failures,
        });
    }
};

var tally: Tally = .{};

const Settings = struct {
    seconds: u64 = 10,
    seeds: u64 = std.math.maxInt(u64),
    only: ?u64 = null,
    trace: bool = false,
    bench: bool = false,
    first: u64 = 1,
    stride: u64 = 1,
    assert_at: ?u64 = null,
    guards: Guards = .{},

    fn read(arguments: *std.process.Args.Iterator) !Settings {
        var self: Settings = .{};
        while (arguments.next()) |word| {
            if (std.mem.eql(u8, word, "--trace")) {
                self.trace = true;
            } else if (std.mem.eql(u8, word, "--bench")) {
                self.bench = true;
            } else {
                self.set(word, arguments.next() orelse return usage(word)) catch
                    return usage(word);
            }
        }
        return self;
    }

    fn set(self: *Settings, word: []const u8, value: []const u8) !void {
        if (std.mem.eql(u8, word, "--guard-off")) {
            self.guards = Guards.without(value) orelse return error.Usage;
            return;
        }
        const number = try std.fmt.parseInt(u64, value, 10);
        if (std.mem.eql(u8, word, "--seconds")) {
            self.seconds = number;
        } else if (std.mem.eql(u8, word, "--minutes")) {
            self.seconds = 60 * number;
        } else if (std.mem.eql(u8, word, "--seed")) {
            self.only = number;
        } else if (std.mem.eql(u8, word, "--seeds")) {
            self.seeds = number;
        } else if (std.mem.eql(u8, word, "--assert-at")) {
            self.assert_at = number;
        } else if (std.mem.eql(u8, word, "--first")) {
            self.first = number;
        } else if (std.mem.eql(u8, word, "--stride")) {
            self.stride = number;
        } else return error.Usage;
    }
};

pub fn main(init: std.process.Init.Minimal) !void {
    var arguments = init.args.iterate();
    _ = arguments.next();
    const settings = try Settings.read(&arguments);
    tally.start_ns = nowNs();
    const time_ns = settings.seconds * std.time.ns_per_s;
    tally.seed = settings.only orelse settings.first;
    while (nowNs() - tally.start_ns < time_ns and tally.seeds < settings.seeds) {
        try one(&settings);
        if (settings.only != null) break;
        tally.seed += settings.stride;
    }
    tally.print();
    if (tally.failures > 0) std.process.exit(1);
}

fn one(settings: *const Settings) !void {
    var options = coherence.drawn(tally.seed);
    options.trace = settings.trace;
    if (settings.bench) options.fix(4, 64);
    options.guards = settings.guards;
    tally.seeds += 1;
    if (settings.assert_at == tally.seed) try breakAssertion(options);
    if (coherence.runOnce(std.heap.c_allocator, options)) |result| {
        tally.steps += result.steps;
    } else |_| {
        tally.failures += 1;
        if (tally.failures > 1 or settings.trace) return;
        options.trace = true;
        _ = coherence.runOnce(std.heap.c_allocator, options) catch {};
    }
}

/// A fault of a page there is not: the production code stops at its bounds.
fn breakAssertion(options: coherence.Options) !void {
    const sim = try coherence.Sim.init(std.heap.c_allocator, options);
    sim.fault(0, 0, options.pages, false);
}

fn usage(word: []const u8) error{Usage} {
    const options = "--seconds N, --minutes N, --seeds N, --seed S, --trace, --bench, " ++
        "--guard-off NAME";
    std.debug.print("sim: {s}: use {s}\n", .{ word, options });
    return error.Usage;
}
