//! Packet numbers in any order against a plain set: what the short list says of those it has not
//! forgotten is true.

const std = @import("std");
const limits = @import("../limits.zig");
const Ranges = @import("../transport/ranges.zig").Ranges;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;
const span = 512;

pub fn run(_: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    // The highest numbers there are, or any: arithmetic on them must not wrap.
    const top: u64 = std.math.maxInt(u64) - (span - 1);
    const base = if (source.boolean()) top else source.int(u32);
    var set: std.StaticBitSet(span) = .initEmpty();
    var seen: Ranges = .{};
    while (source.more()) {
        const offset = source.int(u16) % span;
        const floor = seen.floor;
        const known = base + offset < floor or set.isSet(offset);
        try expect(seen.add(base + offset) == !known);
        set.set(offset);
        try expect(seen.floor >= floor);
        try check(&seen, &set, base);
    }
}

fn check(seen: *const Ranges, set: *const std.StaticBitSet(span), base: u64) !void {
    const items = seen.slice();
    try expect(items.len <= limits.ack_ranges);
    var told: std.StaticBitSet(span) = .initEmpty();
    for (items, 0..) |range, i| {
        try expect(range.first <= range.last and range.first >= seen.floor);
        if (i > 0) try expect(range.last < items[i - 1].first - 1);
        for (range.first - base..range.last - base + 1) |offset| told.set(offset);
    }
    for (0..span) |offset| {
        if (base + offset < seen.floor) continue;
        try expect(told.isSet(offset) == set.isSet(offset));
    }
}
