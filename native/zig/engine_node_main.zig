//! One node of the linearizability tests: `engine-node [NAME=VALUE]...`, options below. The
//! production engine over real sockets, and two threads that add to and load the same counters as
//! the threads of all other nodes. Each operation is noted with the time before and after it; what
//! the history must look like is for tests/dsm/history.ts to say.
//!
//! Prints `address HOST:PORT`, reads the addresses of all nodes in one line, runs, prints one line
//! `counter kind value begin end` for each operation and `done`, and serves its pages until its
//! input ends or has another line: only then has no other node a page to ask for. That barrier is
//! not one in shared memory, as it must hold where a test has broken the memory. Last come the
//! engine's counters, one line `total NAME VALUE` each. Wherever it reads, a line `clock` is
//! answered by `clock NS`, the time as operations are noted with: how far hosts' clocks are apart.

const std = @import("std");
const abi = @import("abi.zig");
const linux = @import("sys/linux.zig");
const udp = @import("sys/udp.zig");
const Counters = @import("engine/counters.zig").Counters;
const Engine = @import("engine/engine.zig").Engine;
const Events = @import("engine/events.zig").Events;
const Guards = @import("dsm/guards.zig").Guards;
const Operation = @import("engine/worker.zig").Operation;
const Worker = @import("engine/worker.zig").Worker;
const share_pages = @import("engine/worker.zig").share_pages;
const transport_guards = @import("transport/guards.zig");
const words = @import("faults/words.zig");
const os = linux.os;

/// The transport's guards can be switched off here, too.
pub const mutants = {};
/// The stack-trace printer would take most of the build.
pub const std_options: std.Options = .{ .allow_stack_tracing = false };

const Options = struct {
    node: u8,
    nodes: u8,
    seed: u64,
    /// Of each thread.
    operations: u32,
    /// Of a thread, one operation in eight: a load that leaves the others time to ask.
    pause: words.Time = .{ .ns = 20_000 },
    /// The address to bind to; the kernel chooses the port.
    here: []const u8 = "127.0.0.1",
    /// Operations must be bounded: a page that never comes ends the process with what it was.
    patience: words.Time = .{ .ns = 10 * std.time.ns_per_s },
    /// A peer that says nothing for so long is lost, and the run with it.
    silence: words.Time = .{ .ns = 2 * std.time.ns_per_s },
    /// How many pages of memory a process may take; 0 = all.
    taken: u32 = 0,
    /// A rule to switch off, of dsm/guards.zig or transport/guards.zig.
    guard: []const u8 = "",
};

const nodes_max = 8;
const threads = 2;
const Ending = union(enum) { through, late, failed: []const u8, lost: u8 };

/// Until all threads are through, which each says by an event, or something else ends the run:
/// the engine, a peer that it holds for lost, or the time.
fn awaitEnding(events: *Events, patience_ns: u64, text: *[abi.Event.data_max]u8) Ending {
    const deadline = linux.nowNs() + patience_ns;
    var through: u32 = 0;
    while (through < threads) {
        const left_ns = deadline -| linux.nowNs();
        if (left_ns == 0) return .late;
        var bell: [1]os.pollfd = .{.{ .fd = events.pipe[0], .events = os.POLL.IN, .revents = 0 }};
        _ = os.poll(&bell, 1, @intCast(left_ns / std.time.ns_per_ms + 1));
        var rung: [16]u8 = undefined;
        _ = os.read(events.pipe[0], &rung, rung.len);
        var list: [8]abi.Event = undefined;
        while (true) {
            const count = events.take(&list);
            if (count == 0) break;
            for (list[0..count]) |*event| switch (@as(abi.EventKind, @enumFromInt(event.kind))) {
                .stopped => through += 1,
                .engine_error => {
                    text.* = event.data;
                    return .{ .failed = text[0..event.length] };
                },
                .peer_silent, .peer_refused => return .{ .lost = event.node },
                else => {},
            };
        }
    }
    return .through;
}

fn print(comptime format: []const u8, values: anytype) !void {
    var text: [160]u8 = undefined;
    try writeAll(try std.fmt.bufPrint(&text, format, values));
}

fn writeAll(bytes: []const u8) !void {
    var rest = bytes;
    while (rest.len > 0) rest = rest[try linux.check(os.write(1, rest.ptr, rest.len))..];
}

/// One line of the input, without its end; empty when the input has ended.
fn readLine(buffer: []u8) ![]const u8 {
    var length: usize = 0;
    while (length < buffer.len) : (length += 1) {
        const got = try linux.check(os.read(0, buffer[length..].ptr, 1));
        if (got == 0 or buffer[length] == '\n') break;
    }
    return buffer[0..length];
}

/// The next line that is no question for the time.
fn readAnswering(buffer: []u8) ![]const u8 {
    while (true) {
        const line = try readLine(buffer);
        if (!std.mem.eql(u8, line, "clock")) return line;
        try print("clock {d}\n", .{linux.nowNs()});
    }
}

fn printLog(allocator: std.mem.Allocator, log: []const Operation) !void {
    const line_max = 100;
    const text = try allocator.alloc(u8, log.len * line_max);
    defer allocator.free(text);
    var length: usize = 0;
    for (log) |*entry| {
        const line = try std.fmt.bufPrint(text[length..][0..line_max], "{d} {t} {d} {d} {d}\n", .{
            entry.counter, entry.kind, entry.value, entry.begin_ns, entry.end_ns,
        });
        length += line.len;
    }
    try writeAll(text[0..length]);
}

/// The addresses of all nodes from one line, `HOST:PORT` each.
fn readAddresses(line: []const u8, addresses: []udp.Address) !void {
    var parts = std.mem.tokenizeScalar(u8, line, ' ');
    for (addresses) |*address| {
        const text = parts.next() orelse return error.Usage;
        const colon = std.mem.lastIndexOfScalar(u8, text, ':') orelse return error.Usage;
        const port = try std.fmt.parseInt(u16, text[colon + 1 ..], 10);
        address.* = try udp.Address.parse(text[0..colon], port);
    }
}

fn readOptions(init: std.process.Init.Minimal) Options {
    var arguments = init.args.iterate();
    _ = arguments.next();
    var problem: words.Problem = .{};
    const options = words.readAll(Options, &arguments, &problem) catch refuse(problem.slice());
    if (options.node >= options.nodes or options.nodes > nodes_max) refuse("no such node");
    return options;
}

fn refuse(text: []const u8) noreturn {
    std.debug.print("engine-node: {s}\n", .{text});
    std.process.exit(2);
}

/// Switches the named rule off, whichever room it belongs to.
fn guardsOf(name: []const u8) Guards {
    if (Guards.without(name)) |guards| return guards;
    transport_guards.off = std.meta.stringToEnum(transport_guards.Guard, name) orelse
        refuse("no such guard");
    return .{};
}

/// Tells why and what there is to know about it: the last messages, the counters.
fn tellBadEnd(engine: *Engine, options: *const Options, ending: Ending) void {
    const log = std.debug.print;
    switch (ending) {
        .through => return,
        .late => {
            engine.trace.dump(options.node);
            log("node {d}: operations take too long; {any}\n", .{ options.node, engine.dsm.stats });
        },
        .failed => |reason| log("node {d}: {s}\n", .{ options.node, reason }),
        .lost => |peer| log("node {d}: node {d} is lost\n", .{ options.node, peer }),
    }
    for (engine.links, 0..) |*link, peer| if (link.*) |*l| {
        log("link to {d}: {any} {any} {any}\n", .{ peer, l.stats, l.rtt, l.congestion });
    };
}

fn printTotals(counters: *const Counters) !void {
    var values: [Counters.count]u64 = undefined;
    _ = counters.read(&values);
    for (values, 0..) |value, i| {
        const counter: abi.Counter = @enumFromInt(i);
        try print("total {t} {d}\n", .{ counter, value });
    }
}

pub fn main(init: std.process.Init.Minimal) !void {
    const allocator = std.heap.c_allocator;
    const options = readOptions(init);
    const guards = guardsOf(options.guard);
    const here = try udp.Address.parse(options.here, 0);
    const socket = try udp.open(&here);
    try print("address {s}:{d}\n", .{ options.here, try udp.boundPort(socket) });
    var line: [512]u8 = undefined;
    var addresses: [nodes_max]udp.Address = undefined;
    try readAddresses(try readAnswering(&line), addresses[0..options.nodes]);
    const shares: [nodes_max]u32 = @splat(share_pages);
    var events: Events = try .init(allocator);
    var counters: Counters = .{};
    const engine = try Engine.init(allocator, .{
        .node = options.node,
        .shares = shares[0..options.nodes],
        .addresses = addresses[0..options.nodes],
        .vm_id = options.seed,
        .epoch = 1,
        .silence_ns = options.silence.ns,
        .spin_ns = 0,
        .guards = guards,
        .taken_max_pages = options.taken,
    }, socket, &events, &counters);
    try engine.start(null);

    const count = options.operations;
    const log = try allocator.alloc(Operation, threads * @as(usize, count));
    var workers: [threads]Worker = undefined;
    for (&workers, 0..) |*worker, i| {
        worker.* = .{
            .engine = engine,
            .slot = @intCast(i),
            .nodes = options.nodes,
            .pause_ns = options.pause.ns,
            .random = .init(options.seed +% 1000 * @as(u64, options.node) + i),
            .log = log[i * count ..][0..count],
        };
        (try std.Thread.spawn(.{ .stack_size = 1 << 20 }, Worker.run, .{worker})).detach();
    }
    var text: [abi.Event.data_max]u8 = undefined;
    const ending = awaitEnding(&events, options.patience.ns, &text);
    tellBadEnd(engine, &options, ending);
    switch (ending) {
        .through => {},
        .late => std.process.exit(3),
        .failed, .lost => std.process.exit(4),
    }
    try printLog(allocator, log);
    try writeAll("done\n");
    _ = try readAnswering(&line);
    engine.join();
    try printTotals(&counters);
    engine.deinit();
}
