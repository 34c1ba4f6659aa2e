//! What a shape may end with: a search through every execution of an abstract machine, either
//! x86-TSO (Owens, Sarkar, Sewell 2009: a FIFO store buffer per thread, loads look into their own
//! first, fences and locked instructions wait until it is empty) or sequential consistency (no
//! buffers), which is what holds between nodes, where a page has one writer.
//!
//! An access to x that lies across two pages is two accesses, in either order: only a locked one is
//! a single access. Nothing here knows what any shape is famous for; the tests compare with that.

const std = @import("std");
const outcome_room = @import("outcome.zig");
const shapes = @import("shapes.zig");
const Case = shapes.Case;
const Histogram = outcome_room.Histogram;
const Op = shapes.Op;
const threads_max = shapes.threads_max;

pub const Order = enum { tso, sc };

/// Parts of memory that are read and written in one piece: low and high half of x (the low one is
/// all of x where it is not across pages), y.
const cells = 3;
const y_cell = 2;
const buffered_max = 2 * shapes.ops_max;
const visited_max = 1 << 14;
/// States still to be looked at; a few for each step of the longest execution.
const pending_max = 256;

const Buffered = struct { cell: u8 = 0, value: u8 = 0 };

const State = struct {
    next: [threads_max]u8 = @splat(0),
    /// Halves of the next operation that are done already, one bit each.
    done: [threads_max]u8 = @splat(0),
    /// Oldest first; a value of 0 ends it, as no store stores 0.
    buffers: [threads_max][buffered_max]Buffered = @splat(@splat(.{})),
    memory: [cells]u8 = @splat(0),
    registers: [threads_max][2][2]u8 = @splat(@splat(@splat(0))),

    /// Different for different states, never 0.
    fn key(state: *const State) u128 {
        var k: u128 = 1;
        for (state.memory) |value| k = k << 2 | value;
        for (0..threads_max) |t| {
            k = k << 2 | state.next[t];
            k = k << 2 | state.done[t];
            for (state.buffers[t]) |b| k = k << 4 | b.cell << 2 | b.value;
            for (state.registers[t]) |halves| {
                for (halves) |value| k = k << 2 | value;
            }
        }
        return k;
    }

    fn push(state: *State, thread: usize, entry: Buffered) void {
        for (&state.buffers[thread]) |*b| if (b.value == 0) {
            b.* = entry;
            return;
        };
        unreachable;
    }

    fn drain(state: *State, thread: usize) void {
        const buffer = &state.buffers[thread];
        state.memory[buffer[0].cell] = buffer[0].value;
        for (buffer[0 .. buffered_max - 1], buffer[1..]) |*b, later| b.* = later;
        buffer[buffered_max - 1] = .{};
    }

    fn read(state: *const State, thread: usize, cell: u8) u8 {
        var value = state.memory[cell];
        for (state.buffers[thread]) |b| if (b.value != 0 and b.cell == cell) {
            value = b.value;
        };
        return value;
    }
};

/// Memory for one search; too large for the stack of the built-in guest.
pub const Search = struct {
    case: *const Case,
    order: Order,
    allowed: *Histogram,
    visited: [visited_max]u128,
    count: usize,
    pending: [pending_max]State,
    waiting: usize,

    /// Fills `allowed` with every outcome the machine has for the case, each counted once.
    pub fn run(search: *Search, case: *const Case, order: Order, allowed: *Histogram) void {
        search.case = case;
        search.order = order;
        search.allowed = allowed;
        search.visited = @splat(0);
        search.count = 0;
        allowed.length = 0;
        allowed.others = 0;
        search.waiting = 0;
        search.add(&.{});
        while (search.waiting > 0) {
            search.waiting -= 1;
            const state = search.pending[search.waiting];
            search.visit(&state);
        }
    }

    fn add(search: *Search, state: *const State) void {
        if (!search.enter(state.key())) return;
        search.pending[search.waiting] = state.*;
        search.waiting += 1;
    }

    /// False when the state was known.
    fn enter(search: *Search, key: u128) bool {
        const mixed: u64 = @as(u64, @truncate(key ^ key >> 64)) *% 0x9e3779b97f4a7c15;
        var at: usize = @intCast(mixed >> 40);
        while (true) : (at += 1) {
            const slot = &search.visited[at % visited_max];
            if (slot.* == key) return false;
            if (slot.* != 0) continue;
            slot.* = key;
            search.count += 1;
            // A full table would make the search above endless.
            if (search.count == visited_max) unreachable;
            return true;
        }
    }

    /// Adds every state that one step of one thread leads to.
    fn visit(search: *Search, state: *const State) void {
        var ended = true;
        for (search.case.shape.threads, 0..) |ops, thread| {
            const buffering = state.buffers[thread][0].value != 0;
            if (buffering) {
                var after = state.*;
                after.drain(thread);
                search.add(&after);
            }
            const next = state.next[thread];
            if (buffering or next < ops.len) ended = false;
            if (next == ops.len) continue;
            const fenced = search.case.sync == .mfences and next > 0;
            if (buffering and (fenced or search.case.sync == .locked)) continue;
            search.step(state, thread, ops[next]);
        }
        if (ended) search.record(state);
    }

    fn step(search: *Search, state: *const State, thread: usize, op: Op) void {
        const location = switch (op) {
            .store => |store| store.to,
            .load => |load| load.from,
        };
        const halves: u8 = if (location == .x and search.case.placement.splits()) 2 else 1;
        if (search.case.sync == .locked) {
            var after = state.*;
            for (0..halves) |half| search.access(&after, thread, op, location, @intCast(half));
            finish(&after, thread);
            search.add(&after);
            return;
        }
        for (0..halves) |half| {
            const bit = @as(u8, 1) << @intCast(half);
            if (state.done[thread] & bit != 0) continue;
            var after = state.*;
            search.access(&after, thread, op, location, @intCast(half));
            after.done[thread] |= bit;
            if (after.done[thread] == (@as(u8, 1) << @intCast(halves)) - 1) finish(&after, thread);
            search.add(&after);
        }
    }

    fn finish(state: *State, thread: usize) void {
        state.next[thread] += 1;
        state.done[thread] = 0;
    }

    fn access(
        search: *const Search,
        state: *State,
        thread: usize,
        op: Op,
        location: shapes.Location,
        half: u8,
    ) void {
        const cell = if (location == .y) y_cell else half;
        switch (op) {
            .load => |load| {
                const value = state.read(thread, cell);
                state.registers[thread][@intFromEnum(load.into)][half] = value;
            },
            .store => |store| if (search.order == .tso and search.case.sync != .locked) {
                state.push(thread, .{ .cell = cell, .value = store.value });
            } else {
                state.memory[cell] = store.value;
            },
        }
    }

    fn record(search: *Search, state: *const State) void {
        var outcome: outcome_room.Outcome = .{};
        for (&outcome.registers, state.registers) |*out, registers| {
            for (out, registers) |*o, halves| o.* = join(halves[0], halves[1]);
        }
        outcome.memory = .{ join(state.memory[0], state.memory[1]), state.memory[y_cell] };
        if (!search.allowed.has(&outcome)) search.allowed.add(&outcome, 1);
    }
};

fn join(low: u32, high: u32) u32 {
    return high << 16 | low;
}

const testing = std.testing;

const Verdict = struct { name: []const u8, sync: shapes.Sync, tso: bool, sc: bool };

/// The published verdicts on each shape's condition.
const verdicts = [_]Verdict{
    .{ .name = "SB", .sync = .plain, .tso = true, .sc = false },
    .{ .name = "R", .sync = .plain, .tso = true, .sc = false },
    .{ .name = "SB", .sync = .mfences, .tso = false, .sc = false },
    .{ .name = "SB", .sync = .locked, .tso = false, .sc = false },
    .{ .name = "R", .sync = .mfences, .tso = false, .sc = false },
    .{ .name = "R", .sync = .locked, .tso = false, .sc = false },
};

fn expected(case: *const Case, order: Order) bool {
    for (verdicts) |v| {
        if (v.sync == case.sync and std.mem.eql(u8, v.name, case.shape.name)) {
            return if (order == .tso) v.tso else v.sc;
        }
    }
    return false; // MP, LB, S, 2+2W, IRIW
}

test "each condition is allowed exactly where it is known to be" {
    const search = try testing.allocator.create(Search);
    defer testing.allocator.destroy(search);
    var allowed: Histogram = .{};
    for (&shapes.all) |*shape| for (shapes.Sync.all) |sync| for (shapes.Placement.all) |placement| {
        const case: Case = .{ .shape = shape, .sync = sync, .placement = placement };
        const unit = outcome_room.unitOf(placement);
        for ([_]Order{ .tso, .sc }) |order| {
            search.run(&case, order, &allowed);
            try testing.expectEqual(0, allowed.others);
            var found = false;
            for (allowed.slice()) |*state| {
                if (state.outcome.satisfies(shape, unit)) found = true;
            }
            try testing.expectEqual(expected(&case, order), found);
        }
    };
}

test "numbers of outcomes, and accesses across pages may tear" {
    const search = try testing.allocator.create(Search);
    defer testing.allocator.destroy(search);
    var allowed: Histogram = .{};
    const iriw = shapes.named("IRIW").?;
    search.run(&.{ .shape = iriw, .sync = .plain, .placement = .two_pages }, .tso, &allowed);
    try testing.expectEqual(15, allowed.length);
    const sb = shapes.named("SB").?;
    search.run(&.{ .shape = sb, .sync = .plain, .placement = .same_page }, .sc, &allowed);
    try testing.expectEqual(3, allowed.length);
    // A torn x is allowed; x torn with y = 0 is not, as half of it was stored after the load.
    search.run(&.{ .shape = sb, .sync = .mfences, .placement = .across }, .tso, &allowed);
    var torn: outcome_room.Outcome = .{ .memory = .{ 0x10001, 1 } };
    torn.registers[0] = .{ 1, 0 };
    torn.registers[1] = .{ 0x10000, 0 };
    try testing.expect(allowed.has(&torn));
    torn.registers[0] = .{ 0, 0 };
    try testing.expect(!allowed.has(&torn));
    // Locked instructions do not tear each other.
    search.run(&.{ .shape = sb, .sync = .locked, .placement = .across }, .tso, &allowed);
    try testing.expectEqual(3, allowed.length);
}
