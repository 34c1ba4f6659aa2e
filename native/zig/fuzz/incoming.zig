//! Reassembly: the parts of some messages in any order and number, with parts between them that no
//! sender makes. Each message must come once, whole, after the one it names; what is refused leaves
//! no trace, so all of them come in the end.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const limits = @import("../limits.zig");
const Incoming = @import("../transport/incoming.zig").Incoming;
const Part = @import("../transport/frame.zig").Part;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;
const messages_max = 24;
const keys = 4;

const Plan = struct { total: u32, count: u8, after: u8 };

const Case = struct {
    plans: [messages_max]Plan = undefined,
    /// Before they were split anew the last time.
    earlier: [messages_max]Plan = undefined,
    length: u8 = 0,
    incoming: Incoming,
    delivered: std.StaticBitSet(messages_max) = .initEmpty(),
    failure: ?anyerror = null,

    /// The host of Incoming: which message it is stands in its first byte.
    pub fn deliver(self: *Case, bytes: []const u8) void {
        self.take(bytes) catch |err| {
            self.failure = err;
        };
    }

    fn take(self: *Case, bytes: []const u8) !void {
        const index = bytes[0];
        try expect(index < self.length and !self.delivered.isSet(index));
        const plan = self.plans[index];
        try expect(bytes.len == plan.total);
        for (bytes[1..], 1..) |byte, i| try expect(byte == pattern(index, i));
        if (plan.after > 0) try expect(self.delivered.isSet(plan.after - 1));
        self.delivered.set(index);
    }
};

fn partOf(index: u8, plan: Plan, piece: u8, buffer: []u8) Part {
    for (buffer[0..plan.total], 0..) |*byte, i| {
        byte.* = if (i == 0) index else pattern(index, i);
    }
    const each = (plan.total + plan.count - 1) / plan.count;
    const start = piece * each;
    return .{
        .number = @as(u64, index) + 1,
        .after = plan.after,
        .total = plan.total,
        .index = piece,
        .count = plan.count,
        .bytes = buffer[start..@min(start + each, plan.total)],
    };
}

fn pattern(index: u8, at: usize) u8 {
    return @truncate(at *% 7 +% index);
}

pub fn run(allocator: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    var case: Case = .{ .incoming = try Incoming.init(allocator) };
    defer case.incoming.deinit(allocator);
    draw(&case, &source);
    var buffer: [512]u8 = undefined;
    while (source.more()) {
        const index = source.below(case.length);
        // The sender splits it anew; what was split before may still come.
        if (source.below(16) == 0) smaller(&case, index);
        const plan = if (source.below(4) == 0) case.earlier[index] else case.plans[index];
        var part = partOf(index, plan, source.below(plan.count), &buffer);
        if (source.below(3) == 0) try strange(&case, &source, &part) else {
            try expect(case.incoming.accept(&part, &case) != .refused);
        }
        if (case.failure) |failure| return failure;
    }
    for (0..case.length) |index| for (0..case.plans[index].count) |piece| {
        const part = partOf(@intCast(index), case.plans[index], @intCast(piece), &buffer);
        try expect(case.incoming.accept(&part, &case) != .refused);
    };
    if (case.failure) |failure| return failure;
    try expect(case.delivered.count() == case.length);
    try expect(case.incoming.base == @as(u64, case.length) + 1);
}

/// One part more, where none of them is empty then.
fn smaller(case: *Case, index: u8) void {
    const plan = &case.plans[index];
    const count = plan.count + 1;
    const each = (plan.total + count - 1) / count;
    if (count > limits.fragments_max or (count - 1) * each >= plan.total) return;
    case.earlier[index] = plan.*;
    plan.count = count;
}

/// Messages of up to four parts; those of one key are chained, as a sender chains them.
fn draw(case: *Case, source: *Source) void {
    case.length = 1 + source.below(messages_max);
    var last: [keys]u8 = @splat(0);
    for (case.plans[0..case.length], 1..) |*plan, number| {
        const key = source.below(keys + 1);
        const count = 1 + source.below(limits.fragments_max);
        // Whole parts and a rest: the last part has at least a byte.
        const each: u32 = 2 + source.below(60);
        const total = each * (count - 1) + 1 + source.int(u8) % each;
        plan.* = .{ .total = total, .count = count, .after = 0 };
        if (key == keys) continue;
        plan.after = last[key];
        last[key] = @intCast(number);
    }
    case.earlier = case.plans;
}

/// A part that contradicts itself or the window.
fn strange(case: *Case, source: *Source, part: *Part) !void {
    switch (source.below(6)) {
        0 => part.total = 0,
        1 => part.total = codec.message_bytes_max + 1 + @as(u32, source.int(u16)),
        2 => part.number = case.incoming.base +| limits.link_messages +| source.wide() % (1 << 40),
        3 => part.bytes = part.bytes[1..],
        4 => {
            part.total = 1;
            part.count = limits.fragments_max;
            part.index = source.below(limits.fragments_max);
            part.bytes = part.bytes[0..1];
        },
        else => {
            part.total += 1000;
            if (part.count == 1) part.count = 2;
        },
    }
    try expect(case.incoming.accept(part, case) != .fresh);
}
