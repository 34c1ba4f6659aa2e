//! Counters of one node, written by its threads and read by anyone. Relaxed: a reader sees some
//! recent value of each, not a moment of all.

const std = @import("std");
const abi = @import("../abi.zig");

pub const Counters = struct {
    values: [count]std.atomic.Value(u64) = @splat(.init(0)),

    pub const count = @typeInfo(abi.Counter).@"enum".fields.len;

    pub fn add(self: *Counters, counter: abi.Counter, amount: u64) void {
        _ = self.values[@intFromEnum(counter)].fetchAdd(amount, .monotonic);
    }

    pub fn set(self: *Counters, counter: abi.Counter, value: u64) void {
        self.values[@intFromEnum(counter)].store(value, .monotonic);
    }

    pub fn read(self: *const Counters, out: []align(1) u64) usize {
        for (out[0..@min(out.len, count)], 0..) |*o, i| o.* = self.values[i].load(.monotonic);
        return count;
    }
};
