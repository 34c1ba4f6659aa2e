//! Latencies: percentiles of all samples and a power-of-two histogram, as JSON.

const std = @import("std");
const assert = std.debug.assert;

pub const Samples = struct {
    items: []u64,
    count: usize = 0,

    pub fn init(allocator: std.mem.Allocator, capacity: usize) !Samples {
        return .{ .items = try allocator.alloc(u64, @max(1, capacity)) };
    }

    pub fn deinit(self: *Samples, allocator: std.mem.Allocator) void {
        allocator.free(self.items);
    }

    pub fn add(self: *Samples, ns: u64) void {
        if (self.count == self.items.len) return;
        self.items[self.count] = ns;
        self.count += 1;
    }

    fn sort(self: *Samples) void {
        std.mem.sort(u64, self.items[0..self.count], {}, std.sort.asc(u64));
    }

    /// In microseconds; the samples are sorted.
    fn percentile(self: *const Samples, per_mille: usize) f64 {
        assert(self.count > 0);
        const index = @min(self.count - 1, self.count * per_mille / 1000);
        return @as(f64, @floatFromInt(self.items[index])) / 1000;
    }

    /// Samples below 2^k us, for k from 0; the last holds the rest.
    fn histogram(self: *const Samples) [buckets]u32 {
        var out: [buckets]u32 = @splat(0);
        for (self.items[0..self.count]) |ns| {
            const us = ns / 1000;
            out[@min(buckets - 1, 64 - @clz(us))] += 1;
        }
        return out;
    }
};

const buckets = 20;
pub const Row = struct { name: []const u8, samples: *Samples };

/// {"name":{"p50":..,"p99":..,"p999":..,"count":..,"histogram":[..]},...}
pub fn report(out: []u8, rows: []const Row) []const u8 {
    var writer: std.Io.Writer = .fixed(out);
    write(&writer, rows) catch return out[0..0];
    return writer.buffered();
}

fn write(w: *std.Io.Writer, rows: []const Row) std.Io.Writer.Error!void {
    try w.writeByte('{');
    for (rows, 0..) |row, i| {
        const s = row.samples;
        s.sort();
        if (i > 0) try w.writeByte(',');
        try w.print("\"{s}\":{{\"p50\":{d:.2},\"p99\":{d:.2},\"p999\":{d:.2},\"count\":{d}", .{
            row.name, s.percentile(500), s.percentile(990), s.percentile(999), s.count,
        });
        try w.writeAll(",\"histogram\":[");
        for (s.histogram(), 0..) |count, k| {
            if (k > 0) try w.writeByte(',');
            try w.print("{d}", .{count});
        }
        try w.writeAll("]}");
    }
    try w.writeByte('}');
}

test "percentiles and histogram of known samples" {
    var s = try Samples.init(std.testing.allocator, 1000);
    defer s.deinit(std.testing.allocator);
    for (0..1000) |i| s.add((1000 - i) * 1000);
    var out: [512]u8 = undefined;
    const text = report(&out, &.{.{ .name = "x", .samples = &s }});
    const wanted = "{\"x\":{\"p50\":501.00,\"p99\":991.00,\"p999\":1000.00,\"count\":1000," ++
        "\"histogram\":[0,1,2,4,8,";
    try std.testing.expectStringStartsWith(text, wanted);
}
