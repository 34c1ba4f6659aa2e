//! Names for numbers, for the keys of pages_key.zig. One pass over a state gathers what is in use
//! (Names), a second writes it down by name (Writer).

const std = @import("std");
const gather = @import("../dsm/gather.zig");
const pages = @import("pages.zig");
const assert = std.debug.assert;

const txs_max = 32;
const counters_max = 32;
/// Counters further apart than this count as this far apart. One apart, the next gather begun ties
/// with the later one; further apart it stays older.
const gap_max = 2;

pub const Names = struct {
    /// With a rule off stale versions are not all alike.
    guarded: bool,
    /// Counters of ages, ascending once ready; and their names.
    counters: [counters_max]u64 = undefined,
    ranks: [counters_max]u8 = undefined,
    counters_count: u8 = 0,
    horizons: [pages.nodes_max]u8 = @splat(0),
    txs: [txs_max]u64 = undefined,
    count: u8 = 0,

    pub fn byte(_: *Names, _: u8) void {}
    pub fn flag(_: *Names, _: bool) void {}
    pub fn page(_: *Names, _: ?u8) void {}
    pub fn word(_: *Names, _: u64) void {}
    pub fn version(_: *Names, _: u64, _: u64) void {}

    pub fn counter(self: *Names, value: u64) void {
        const known = self.counters[0..self.counters_count];
        if (std.mem.indexOfScalar(u64, known, value) != null) return;
        self.counters[self.counters_count] = value;
        self.counters_count += 1;
    }

    pub fn age(self: *Names, value: gather.Age) void {
        if (value != 0 and value != gather.age_youngest) self.counter(value >> 16);
    }

    pub fn time(self: *Names, node: u8, left: u64) void {
        assert(left <= 3);
        self.horizons[node] = @max(self.horizons[node], @as(u8, @intCast(left)));
    }

    pub fn tx(self: *Names, value: u64) void {
        for (self.txs[0..self.count]) |known| if (known == value) return;
        self.txs[self.count] = value;
        self.count += 1;
    }

    pub fn ready(self: *Names) void {
        std.sort.insertion(u64, self.txs[0..self.count], {}, std.sort.asc(u64));
        const counters = self.counters[0..self.counters_count];
        std.sort.insertion(u64, counters, {}, std.sort.asc(u64));
        var name: u8 = 0;
        for (counters, self.ranks[0..counters.len], 0..) |value, *rank, i| {
            if (i > 0) name += @intCast(@min(gap_max, value - counters[i - 1]));
            rank.* = name;
        }
    }
};

pub const Writer = struct {
    names: *const Names,
    order: [2]u8,
    buffer: []u8,
    end: usize = 0,

    pub fn byte(self: *Writer, value: u8) void {
        self.buffer[self.end] = value;
        self.end += 1;
    }

    pub fn flag(self: *Writer, value: bool) void {
        self.byte(@intFromBool(value));
    }

    pub fn page(self: *Writer, value: ?u8) void {
        self.byte(if (value) |p| self.order[p] else 0xff);
    }

    /// Sets of nodes or threads: there are few.
    pub fn word(self: *Writer, value: u64) void {
        self.byte(@intCast(value));
    }

    pub fn version(self: *Writer, value: u64, current: u64) void {
        if (value >= current) return self.byte(@intCast(2 + value - current));
        self.byte(@intFromBool(!self.names.guarded and value != 0));
    }

    pub fn counter(self: *Writer, value: u64) void {
        const known = self.names.counters[0..self.names.counters_count];
        self.byte(self.names.ranks[std.mem.indexOfScalar(u64, known, value).?]);
    }

    pub fn age(self: *Writer, value: gather.Age) void {
        if (value == 0 or value == gather.age_youngest) return self.byte(0xfb);
        self.counter(value >> 16);
        self.byte(@truncate((value >> 8) << 4 | (value & 0xf)));
    }

    pub fn time(self: *Writer, _: u8, left: u64) void {
        self.byte(@intCast(left));
    }

    pub fn tx(self: *Writer, value: u64) void {
        const node: u8 = @intCast(value >> 56);
        var rank: u8 = 0;
        for (self.names.txs[0..self.names.count]) |known| {
            if (known >= value) break;
            if (known >> 56 == node) rank += 1;
        }
        self.byte(node << 4 | rank);
    }
};
