//! One node of the linearizability test: `engine-node NODE NODES SEED OPERATIONS [GUARD-OFF]`. The
//! production engine over real sockets, and two threads that add to and load the same counters as
//! the threads of all other nodes. Each operation is noted with the time before and after it; what
//! the history must look like is for tests/dsm/history.ts to say.
//!
//! Prints `port N`, reads the ports of all nodes in one line, runs, prints one line `counter kind
//! value begin end` for each operation and `done`, and serves its pages until its input ends: only
//! then has no other node a page to ask for. That barrier is not one in shared memory, as it must
//! hold where a test has broken the memory.

const std = @import("std");
const limits = @import("limits.zig");
const linux = @import("sys/linux.zig");
const udp = @import("sys/udp.zig");
const Counters = @import("engine/counters.zig").Counters;
const Engine = @import("engine/engine.zig").Engine;
const Events = @import("engine/events.zig").Events;
const Guards = @import("dsm/guards.zig").Guards;
const os = linux.os;

const nodes_max = 8;
const threads = 2;
const share_pages = 16;
/// Pages with counters in each share, and where the counters are in a page, its last word included.
const pages_per_node = 2;
const offsets = [_]usize{ 0, 8, 2048, limits.page_size - 8 };
const counters_per_node: u32 = pages_per_node * offsets.len;
const patience_ns = 10 * std.time.ns_per_s;

const Kind = enum(u8) { add = 'a', load = 'l' };
const Operation = struct { counter: u32, kind: Kind, value: u64, begin_ns: u64, end_ns: u64 };

const Worker = struct {
    engine: *Engine,
    slot: u8,
    nodes: u32,
    random: std.Random.DefaultPrng,
    log: []Operation,

    fn run(self: *Worker) void {
        linux.blockSignals(0);
        self.engine.registerThread(self.slot);
        for (self.log) |*entry| {
            entry.* = self.operate();
            // Load, not a wait: a thread that has its pages would be through before others begin.
            if (self.random.random().uintLessThan(u8, 8) == 0) pause();
        }
        _ = finished.fetchAdd(1, .release);
        linux.futexWake(&finished);
    }

    fn word(self: *Worker, page: usize, offset: usize) *u64 {
        return @ptrCast(@alignCast(&self.engine.memory.guestPage(@intCast(page))[offset]));
    }

    fn operate(self: *Worker) Operation {
        const random = self.random.random();
        const counter = random.uintLessThan(u32, self.nodes * counters_per_node);
        const share = counter / counters_per_node;
        const page = share * share_pages + counter / offsets.len % pages_per_node;
        const w = self.word(page, offsets[counter % offsets.len]);
        const kind: Kind = if (random.boolean()) .add else .load;
        const begin_ns = linux.nowNs();
        // The access is not made before the clock was read, nor the clock read before its end.
        asm volatile ("lfence" ::: .{ .memory = true });
        const value = switch (kind) {
            .add => @atomicRmw(u64, w, .Add, 1, .seq_cst),
            .load => @atomicLoad(u64, w, .seq_cst),
        };
        asm volatile ("lfence" ::: .{ .memory = true });
        const end_ns = linux.nowNs();
        return .{
            .counter = counter,
            .kind = kind,
            .value = value,
            .begin_ns = begin_ns,
            .end_ns = end_ns,
        };
    }
};

fn pause() void {
    const time: os.timespec = .{ .sec = 0, .nsec = 20_000 };
    _ = os.nanosleep(&time, null);
}

var finished: std.atomic.Value(u32) = .init(0);

/// Operations must be bounded: a page that never comes ends the process with what it was.
fn waitForWorkers() error{Stuck}!void {
    const deadline = linux.nowNs() + patience_ns;
    while (true) {
        const count = finished.load(.acquire);
        if (count == threads) return;
        if (linux.nowNs() >= deadline) return error.Stuck;
        linux.futexWait(&finished, count, deadline);
    }
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

pub fn main(init: std.process.Init.Minimal) !void {
    const allocator = std.heap.c_allocator;
    var arguments = init.args.iterate();
    _ = arguments.next();
    const node = try std.fmt.parseInt(u8, arguments.next() orelse return error.Usage, 10);
    const nodes = try std.fmt.parseInt(u8, arguments.next() orelse return error.Usage, 10);
    const seed = try std.fmt.parseInt(u64, arguments.next() orelse return error.Usage, 10);
    const count = try std.fmt.parseInt(u32, arguments.next() orelse return error.Usage, 10);
    const guard = arguments.next();
    if (node >= nodes or nodes > nodes_max) return error.Usage;

    const here = try udp.Address.parse("127.0.0.1", 0);
    const socket = try udp.open(&here);
    try print("port {d}\n", .{try udp.boundPort(socket)});
    var line: [256]u8 = undefined;
    var ports = std.mem.tokenizeScalar(u8, try readLine(&line), ' ');
    var addresses: [nodes_max]udp.Address = undefined;
    for (addresses[0..nodes]) |*address| {
        const port = try std.fmt.parseInt(u16, ports.next() orelse return error.Usage, 10);
        address.* = try udp.Address.parse("127.0.0.1", port);
    }
    const shares: [nodes_max]u32 = @splat(share_pages);
    var events: Events = try .init(allocator);
    var counters: Counters = .{};
    const engine = try Engine.init(allocator, .{
        .node = node,
        .shares = shares[0..nodes],
        .addresses = addresses[0..nodes],
        .vm_id = seed,
        .epoch = 1,
        .silence_ns = patience_ns,
        .spin_ns = 0,
        .guards = if (guard) |name| Guards.without(name) orelse return error.Usage else .{},
    }, socket, &events, &counters);
    try engine.start(null);

    const log = try allocator.alloc(Operation, threads * @as(usize, count));
    var workers: [threads]Worker = undefined;
    for (&workers, 0..) |*worker, i| {
        worker.* = .{
            .engine = engine,
            .slot = @intCast(i),
            .nodes = nodes,
            .random = .init(seed +% 1000 * @as(u64, node) + i),
            .log = log[i * count ..][0..count],
        };
        (try std.Thread.spawn(.{ .stack_size = 1 << 20 }, Worker.run, .{worker})).detach();
    }
    try waitForWorkers();
    try printLog(allocator, log);
    try writeAll("done\n");
    _ = try readLine(&line);
    engine.join();
    engine.deinit();
}
