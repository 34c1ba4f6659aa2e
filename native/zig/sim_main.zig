//! The coherence simulator from the command line (`npm run sim`): `sim [--seconds N | --minutes N]
//! [--seed S] [--trace] [--guard-off NAME]`. Without --seed it walks through seeds until the time
//! is over, from --first on by --stride, so that several processes share them. --bench keeps 4
//! nodes and 64 pages, the size for which a speed is promised. The first seed that fails is run
//! again with one line per event on stderr; the last line counts seeds, steps, steps/s, failures.

const std = @import("std");
const coherence = @import("sim/coherence.zig");
const Guards = @import("dsm/guards.zig").Guards;
const linux = std.os.linux;

fn nowNs() u64 {
    var ts: linux.timespec = undefined;
    _ = linux.clock_gettime(.MONOTONIC, &ts);
    return @as(u64, @intCast(ts.sec)) * std.time.ns_per_s + @as(u64, @intCast(ts.nsec));
}

pub fn main(init: std.process.Init.Minimal) !void {
    var seconds: u64 = 10;
    var only: ?u64 = null;
    var trace = false;
    var bench = false;
    var first: u64 = 1;
    var stride: u64 = 1;
    var guards: Guards = .{};
    var arguments = init.args.iterate();
    _ = arguments.next();
    while (arguments.next()) |word| {
        if (std.mem.eql(u8, word, "--trace")) {
            trace = true;
            continue;
        }
        if (std.mem.eql(u8, word, "--bench")) {
            bench = true;
            continue;
        }
        const value = arguments.next() orelse return usage(word);
        if (std.mem.eql(u8, word, "--seconds")) {
            seconds = std.fmt.parseInt(u64, value, 10) catch return usage(word);
        } else if (std.mem.eql(u8, word, "--minutes")) {
            seconds = 60 * (std.fmt.parseInt(u64, value, 10) catch return usage(word));
        } else if (std.mem.eql(u8, word, "--seed")) {
            only = std.fmt.parseInt(u64, value, 10) catch return usage(word);
        } else if (std.mem.eql(u8, word, "--first")) {
            first = std.fmt.parseInt(u64, value, 10) catch return usage(word);
        } else if (std.mem.eql(u8, word, "--stride")) {
            stride = std.fmt.parseInt(u64, value, 10) catch return usage(word);
        } else if (std.mem.eql(u8, word, "--guard-off")) {
            guards = Guards.without(value) orelse return usage(word);
        } else return usage(word);
    }
    const start = nowNs();
    var seeds: u64 = 0;
    var steps: u64 = 0;
    var failures: u64 = 0;
    var seed: u64 = only orelse first;
    while (nowNs() - start < seconds * std.time.ns_per_s) : (seed += stride) {
        var options = coherence.drawn(seed);
        options.trace = trace;
        if (bench) options.fix(4, 64);
        options.guards = guards;
        seeds += 1;
        if (coherence.runOnce(std.heap.c_allocator, options)) |result| {
            steps += result.steps;
        } else |_| {
            failures += 1;
            if (failures == 1 and !trace) {
                options.trace = true;
                _ = coherence.runOnce(std.heap.c_allocator, options) catch {};
            }
        }
        if (only != null) break;
    }
    const elapsed = @max(1, (nowNs() - start) / std.time.ns_per_ms);
    std.debug.print("{d} seeds, {d} steps, {d} steps/s, {d} failures\n", .{
        seeds, steps, steps * 1000 / elapsed, failures,
    });
    if (failures > 0) std.process.exit(1);
}

fn usage(word: []const u8) error{Usage} {
    const options = "--seconds N, --minutes N, --seed S, --trace, --bench, --guard-off NAME";
    std.debug.print("sim: {s}: use {s}\n", .{ word, options });
    return error.Usage;
}
