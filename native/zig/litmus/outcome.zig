//! What one instance of a shape ended with: every register, and x and y as they are in memory when
//! all threads are done. A lost store shows in the latter, whatever the shape is about.
//!
//! Also the histogram of them, and how often the condition held.

const std = @import("std");
const shapes = @import("shapes.zig");
const Shape = shapes.Shape;

pub const Outcome = struct {
    /// By thread, then register.
    registers: [shapes.threads_max][2]u32 = @splat(@splat(0)),
    /// x, y.
    memory: [2]u32 = @splat(0),

    pub fn equal(a: *const Outcome, b: *const Outcome) bool {
        for (a.registers, b.registers) |left, right| {
            if (left[0] != right[0] or left[1] != right[1]) return false;
        }
        return a.memory[0] == b.memory[0] and a.memory[1] == b.memory[1];
    }

    /// Whether the shape's condition holds. `unit` is what the value 1 of x looks like.
    pub fn satisfies(outcome: *const Outcome, shape: *const Shape, unit: u32) bool {
        for (shape.condition) |term| switch (term) {
            .memory => |wanted| {
                const value = wanted.value * scale(wanted.location, unit);
                if (outcome.memory[@intFromEnum(wanted.location)] != value) return false;
            },
            .register => |wanted| {
                const found = outcome.registers[wanted.thread][@intFromEnum(wanted.register)];
                const from = source(shape, wanted.thread, wanted.register);
                if (found != wanted.value * scale(from, unit)) return false;
            },
        };
        return true;
    }
};

/// Value 1 of x: one in each half where x lies across two pages, so that a torn access shows.
pub fn unitOf(placement: shapes.Placement) u32 {
    return if (placement.splits()) 0x10001 else 1;
}

pub fn scale(location: shapes.Location, unit: u32) u32 {
    return if (location == .x) unit else 1;
}

/// Where the register of the thread is loaded from.
pub fn source(shape: *const Shape, thread: u2, register: shapes.Register) shapes.Location {
    for (shape.threads[thread]) |op| {
        if (op == .load and op.load.into == register) return op.load.from;
    }
    unreachable;
}

/// Distinct outcomes of one shape are at most as many as this in any model; a broken memory may
/// show more, which are then counted together.
pub const states_max = 160;

pub const State = struct { outcome: Outcome, count: u64 };

/// How often each outcome came, in the order of first appearance.
pub const Histogram = struct {
    states: [states_max]State = undefined,
    length: usize = 0,
    /// Outcomes there was no room for.
    others: u64 = 0,

    pub fn slice(self: *const Histogram) []const State {
        return self.states[0..self.length];
    }

    pub fn add(self: *Histogram, outcome: *const Outcome, count: u64) void {
        for (self.states[0..self.length]) |*state| if (state.outcome.equal(outcome)) {
            state.count += count;
            return;
        };
        if (self.length == states_max) {
            self.others += count;
            return;
        }
        self.states[self.length] = .{ .outcome = outcome.*, .count = count };
        self.length += 1;
    }

    pub fn has(self: *const Histogram, outcome: *const Outcome) bool {
        for (self.slice()) |*state| if (state.outcome.equal(outcome)) return true;
        return false;
    }

    pub fn total(self: *const Histogram) u64 {
        var sum = self.others;
        for (self.slice()) |*state| sum += state.count;
        return sum;
    }

    /// How many of the outcomes counted here are not among the allowed ones.
    pub fn outside(self: *const Histogram, allowed: *const Histogram) u64 {
        var sum = self.others;
        for (self.slice()) |*state| {
            if (!allowed.has(&state.outcome)) sum += state.count;
        }
        return sum;
    }
};

test "a histogram counts, and finds what is not allowed" {
    var allowed: Histogram = .{};
    var seen: Histogram = .{};
    const zero: Outcome = .{};
    const one: Outcome = .{ .memory = .{ 1, 0 } };
    allowed.add(&zero, 1);
    seen.add(&zero, 1);
    seen.add(&one, 1);
    seen.add(&one, 1);
    try std.testing.expectEqual(2, seen.length);
    try std.testing.expectEqual(3, seen.total());
    try std.testing.expectEqual(2, seen.outside(&allowed));
    for (0..states_max + 5) |i| {
        const other: Outcome = .{ .memory = .{ 7, @intCast(i) } };
        seen.add(&other, 1);
    }
    try std.testing.expectEqual(7, seen.others);
    try std.testing.expectEqual(2 + states_max + 5, seen.outside(&allowed));
}

test "conditions compare with the value as it lies across pages" {
    const mp = shapes.named("MP").?;
    var outcome: Outcome = .{};
    outcome.registers[1] = .{ 1, 0 };
    try std.testing.expect(outcome.satisfies(mp, 1));
    try std.testing.expect(outcome.satisfies(mp, 0x10001));
    outcome.registers[1] = .{ 1, 0x10000 };
    try std.testing.expect(!outcome.satisfies(mp, 0x10001));
    const s = shapes.named("S").?;
    outcome = .{ .memory = .{ 0x20002, 1 } };
    outcome.registers[1] = .{ 1, 0 };
    try std.testing.expect(outcome.satisfies(s, 0x10001));
    try std.testing.expect(!outcome.satisfies(s, 1));
}
