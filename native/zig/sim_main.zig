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

const Settings = struct {
    seconds: u64 = 10,
    only: ?u64 = null,
    trace: bool = false,
    bench: bool = false,
    first: u64 = 1,
    stride: u64 = 1,
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
    const start = nowNs();
    var seeds: u64 = 0;
    var steps: u64 = 0;
    var failures: u64 = 0;
    var seed: u64 = settings.only orelse settings.first;
    while (nowNs() - start < settings.seconds * std.time.ns_per_s) : (seed += settings.stride) {
        var options = coherence.drawn(seed);
        options.trace = settings.trace;
        if (settings.bench) options.fix(4, 64);
        options.guards = settings.guards;
        seeds += 1;
        if (coherence.runOnce(std.heap.c_allocator, options)) |result| {
            steps += result.steps;
        } else |_| {
            failures += 1;
            if (failures == 1 and !settings.trace) {
                options.trace = true;
                _ = coherence.runOnce(std.heap.c_allocator, options) catch {};
            }
        }
        if (settings.only != null) break;
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
