//! `giantvm bench dsm`: what a page fault costs on this machine, against the network's own round
//! trip, both taken in one run and in one placement: node 0 on one CPU, node 1 on another, every
//! wait blocking. Node 0 measures; node 1 answers commands on a plain socket, which is also the
//! echo that the round trips are taken with.

const std = @import("std");
const limits = @import("../limits.zig");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const samples_room = @import("samples.zig");
const udp = @import("../sys/udp.zig");
const Counters = @import("counters.zig").Counters;
const Engine = @import("engine.zig").Engine;
const Events = @import("events.zig").Events;
const Samples = samples_room.Samples;
const os = linux.os;
const assert = std.debug.assert;

pub const rounds_max = 20_000;
const large_bytes = 4160;
const small_bytes = 64;
const page_size = limits.page_size;
/// Pages of each node: one per round and kind of fault, and the one that goes to and fro.
const share_pages = 6 * rounds_max + 2 * walk_gap + 8;
/// Pages of a walk that are timed together, several windows of them: most pages are there when the
/// thread comes, and the first of a window is waited for.
const walk_pages = 128;
/// Behind a walk: what was fetched ahead there, two windows, is no page of the next measurement.
const walk_gap = 64;

const Kind = enum(u8) { echo_small = 1, echo_large, touch, bounce, quit };

/// First byte of a command; the numbers follow.
const Command = extern struct { kind: u8, padding: [7]u8 = @splat(0), first: u64, count: u64 };

pub const Bench = struct {
    allocator: std.mem.Allocator,
    node: u8,
    data: i32,
    plain: i32,
    rounds: usize = 0,
    peer: udp.Address = undefined,
    engine: ?*Engine = null,
    events: Events,
    counters: Counters = .{},
    thread: ?std.Thread = null,
    done: std.atomic.Value(bool) = .init(false),
    text: [16 << 10]u8 = undefined,
    length: usize = 0,

    pub fn open(allocator: std.mem.Allocator, node: u8) !*Bench {
        const here = try udp.Address.parse("127.0.0.1", 0);
        const self = try allocator.create(Bench);
        errdefer allocator.destroy(self);
        const data = try udp.open(&here);
        errdefer linux.close(data);
        const plain = try udp.open(&here);
        errdefer linux.close(plain);
        self.* = .{
            .allocator = allocator,
            .node = node,
            .data = data,
            .plain = plain,
            .events = try .init(allocator),
        };
        return self;
    }

    /// Ports of the data socket and of the command socket.
    pub fn ports(self: *const Bench) ![2]u16 {
        return .{ try udp.boundPort(self.data), try udp.boundPort(self.plain) };
    }

    pub fn start(self: *Bench, peer: [2]u16, rounds: u32) !void {
        if (rounds == 0 or rounds > rounds_max) return error.OutOfRange;
        self.rounds = rounds;
        const own = try self.ports();
        self.peer = try udp.Address.parse("127.0.0.1", peer[1]);
        var addresses: [2]udp.Address = undefined;
        addresses[self.node] = try udp.Address.parse("127.0.0.1", own[0]);
        addresses[1 - self.node] = try udp.Address.parse("127.0.0.1", peer[0]);
        self.engine = try Engine.init(self.allocator, .{
            .node = self.node,
            .shares = &.{ share_pages, share_pages },
            .addresses = &addresses,
            .vm_id = 1,
            .epoch = 1,
            .silence_ns = 10 * std.time.ns_per_s,
            .spin_ns = 0,
        }, self.data, &self.events, &self.counters);
        pin(self.node);
        try self.engine.?.start(null);
        self.thread = try kernel.spawn(1 << 20, run, .{self});
    }

    /// The result as JSON; error.Again until it is there.
    pub fn result(self: *Bench, out: []u8) !usize {
        if (!self.done.load(.acquire)) return error.Again;
        if (out.len < self.length) return error.NoBufferSpace;
        @memcpy(out[0..self.length], self.text[0..self.length]);
        return self.length;
    }

    fn run(self: *Bench) void {
        linux.blockSignals(0);
        linux.nameThread("gvm-bench");
        self.engine.?.registerThread(0);
        if (self.node == 0) self.measure() catch |err| self.fail(err) else self.serve();
        self.done.store(true, .release);
    }

    fn fail(self: *Bench, err: anyerror) void {
        const text = std.fmt.bufPrint(&self.text, "{{\"error\":\"{t}\"}}", .{err}) catch "";
        self.length = text.len;
    }

    fn word(self: *Bench, page: u64) *volatile u64 {
        return @ptrCast(self.engine.?.memory.guestPage(@intCast(page)));
    }

    // Node 1.

    fn serve(self: *Bench) void {
        var buffer: [large_bytes]u8 align(8) = @splat(0);
        while (true) {
            const got = waitFor(self.plain, &buffer);
            if (got.bytes.len < @sizeOf(Command)) continue;
            const command: Command = @as(*const Command, @ptrCast(&buffer)).*;
            const kind = std.enums.fromInt(Kind, command.kind) orelse continue;
            switch (kind) {
                .echo_small, .touch, .bounce => {},
                .echo_large => {},
                .quit => return,
            }
            if (kind == .touch) self.touch(command.first, command.count);
            if (kind == .bounce) self.bounce(command.first, command.count, 1);
            const length: usize = if (kind == .echo_large) large_bytes else small_bytes;
            udp.send(self.plain, &got.from, buffer[0..length]) catch {};
        }
    }

    fn touch(self: *Bench, first: u64, count: u64) void {
        for (first..first + count) |page| self.word(page).* = page + 1;
    }

    /// Takes every second turn on one page.
    fn bounce(self: *Bench, page: u64, turns: u64, parity: u64) void {
        const w = self.word(page);
        for (0..turns) |turn| {
            if (turn % 2 != parity) continue;
            while (w.* != turn) std.atomic.spinLoopHint();
            w.* = turn + 1;
        }
    }

    // Node 0.

    fn ask(self: *Bench, kind: Kind, first: u64, count: u64) !void {
        var buffer: [large_bytes]u8 align(8) = @splat(0);
        const command: *Command = @ptrCast(&buffer);
        command.* = .{ .kind = @intFromEnum(kind), .first = first, .count = count };
        try udp.send(self.plain, &self.peer, buffer[0..small_bytes]);
        if (kind == .quit or kind == .bounce) return;
        _ = waitFor(self.plain, &buffer);
    }

    fn measure(self: *Bench) !void {
        const n = self.rounds;
        var small = try Samples.init(self.allocator, n);
        var large = try Samples.init(self.allocator, n);
        for (0..n / 10) |_| try self.ask(.echo_small, 0, 0);
        for (0..n) |_| {
            const before = linux.nowNs();
            try self.ask(.echo_small, 0, 0);
            small.add(linux.nowNs() - before);
        }
        for (0..n) |_| {
            const before = linux.nowNs();
            try self.ask(.echo_large, 0, 0);
            large.add(linux.nowNs() - before);
        }
        var local = try Samples.init(self.allocator, n);
        // Downwards, here and below: upwards they would be a walk (dsm/ahead.zig).
        for (0..n) |i| self.timeWrite(&local, n - 1 - i, 1);
        var walk_local = try self.timeWalk(timeWrite, n + walk_gap);
        const there = share_pages;
        const written = there + 3 * n + walk_gap;
        const bounced_page = written + n + walk_gap;
        try self.ask(.touch, there, bounced_page - there);
        var read = try Samples.init(self.allocator, n);
        for (0..n) |i| self.timeRead(&read, there + n - 1 - i, 1);
        var walk_read = try self.timeWalk(timeRead, there + 2 * n);
        var walk_write = try self.timeWalk(timeWrite, written);
        var write = try Samples.init(self.allocator, n);
        for (0..n) |i| self.timeWrite(&write, there + 2 * n - 1 - i, 1);
        var upgrade = try Samples.init(self.allocator, n);
        for (0..n) |i| self.timeWrite(&upgrade, there + n - 1 - i, 1);
        var bounced = try self.timeBounce(bounced_page, n);
        try self.ask(.quit, 0, 0);
        self.length = samples_room.report(&self.text, &.{
            .{ .name = "udp_rtt_64_us", .samples = &small },
            .{ .name = "udp_rtt_us", .samples = &large },
            .{ .name = "local_fault_us", .samples = &local },
            .{ .name = "walk_local_us", .samples = &walk_local },
            .{ .name = "remote_read_us", .samples = &read },
            .{ .name = "walk_read_us", .samples = &walk_read },
            .{ .name = "walk_write_us", .samples = &walk_write },
            .{ .name = "remote_write_us", .samples = &write },
            .{ .name = "upgrade_us", .samples = &upgrade },
            .{ .name = "ping_pong_us", .samples = &bounced },
        }).len;
        const all = .{
            &small,     &large,      &local, &walk_local, &read,
            &walk_read, &walk_write, &write, &upgrade,    &bounced,
        };
        inline for (all) |s| s.deinit(self.allocator);
    }

    /// A sample is one page's part of the time.
    fn timeRead(self: *Bench, samples: *Samples, first: u64, count: u64) void {
        const before = linux.nowNs();
        // Node 1 stored this; anything else is a lost store.
        for (first..first + count) |page| assert(self.word(page).* == page + 1);
        samples.add((linux.nowNs() - before) / count);
    }

    fn timeWrite(self: *Bench, samples: *Samples, first: u64, count: u64) void {
        const before = linux.nowNs();
        for (first..first + count) |page| self.word(page).* = page + 2;
        samples.add((linux.nowNs() - before) / count);
    }

    /// As many pages as there are rounds, upwards; a sample is of `walk_pages`.
    fn timeWalk(
        self: *Bench,
        timed: *const fn (*Bench, *Samples, first: u64, count: u64) void,
        first: u64,
    ) !Samples {
        const n = self.rounds;
        var samples = try Samples.init(self.allocator, n / walk_pages + 1);
        var at: usize = 0;
        while (at < n) : (at += walk_pages) {
            timed(self, &samples, first + at, @min(walk_pages, n - at));
        }
        return samples;
    }

    /// Turns of one page between the nodes; a sample is a turn there and back, halved.
    fn timeBounce(self: *Bench, page: u64, n: usize) !Samples {
        const turns: usize = 2 * @as(usize, @min(n, 500));
        var samples = try Samples.init(self.allocator, turns / 2);
        const w = self.word(page);
        w.* = 0;
        try self.ask(.bounce, page, turns);
        var turn: u64 = 0;
        while (turn < turns) : (turn += 2) {
            const before = linux.nowNs();
            while (w.* != turn) std.atomic.spinLoopHint();
            w.* = turn + 1;
            if (turn > 0) samples.add((linux.nowNs() - before) / 2);
        }
        var buffer: [large_bytes]u8 align(8) = undefined;
        _ = waitFor(self.plain, &buffer);
        return samples;
    }
};

fn waitFor(fd: i32, buffer: []u8) udp.Received {
    while (true) {
        // The error of an earlier datagram, gone by being read.
        const next = udp.receive(fd, buffer) catch continue;
        if (next) |got| return got;
        var poll: [1]os.pollfd = .{.{ .fd = fd, .events = os.POLL.IN, .revents = 0 }};
        _ = kernel.call(.poll, .{ &poll, 1, -1 });
    }
}

/// This and all later threads of the process on one CPU, where there are several.
fn pin(node: u8) void {
    var set: [16]u64 = @splat(0);
    const size = kernel.call(.sched_getaffinity, .{ 0, @sizeOf(@TypeOf(set)), &set });
    if (os.errno(size) != .SUCCESS) return;
    var left: usize = node;
    var last: ?usize = null;
    for (0..1024) |cpu| {
        if (set[cpu / 64] & (@as(u64, 1) << @intCast(cpu % 64)) == 0) continue;
        last = cpu;
        if (left == 0) break;
        left -= 1;
    }
    const cpu = last orelse return;
    set = @splat(0);
    set[cpu / 64] = @as(u64, 1) << @intCast(cpu % 64);
    _ = kernel.call(.sched_setaffinity, .{ 0, @sizeOf(@TypeOf(set)), &set });
}
