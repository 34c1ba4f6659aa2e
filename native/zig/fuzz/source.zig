//! An input read as decisions: what the fuzzer, the corpus and the seeded mutations all feed the
//! targets with. Past its end every decision is zero, so each input is valid and ends.

const std = @import("std");

pub const Source = struct {
    bytes: []const u8,
    at: usize = 0,

    pub fn init(bytes: []const u8) Source {
        return .{ .bytes = bytes };
    }

    pub fn more(self: *const Source) bool {
        return self.at < self.bytes.len;
    }

    pub fn int(self: *Source, comptime T: type) T {
        var raw: [@sizeOf(T)]u8 = @splat(0);
        const got = self.take(raw.len);
        @memcpy(raw[0..got.len], got);
        return std.mem.readInt(T, &raw, .little);
    }

    pub fn boolean(self: *Source) bool {
        return self.int(u8) & 1 == 1;
    }

    /// Below `limit`, from one byte.
    pub fn below(self: *Source, limit: u8) u8 {
        return self.int(u8) % limit;
    }

    /// A number near the edges where arithmetic breaks, or any.
    pub fn wide(self: *Source) u64 {
        const edges = [_]u64{
            0,                    1,       std.math.maxInt(u64), std.math.maxInt(u64) - 1,
            std.math.maxInt(u48), 1 << 48, 1 << 46,              std.math.maxInt(u32),
            1 << 32,              1 << 63, 0xffff,               4096,
        };
        const choice = self.int(u8);
        if (choice < edges.len) return edges[choice];
        if (choice < 128) return self.int(u8);
        if (choice < 192) return edges[choice % edges.len] -% self.int(u8);
        return self.int(u64);
    }

    /// Up to `most` bytes of the input itself; two bytes say how many.
    pub fn slice(self: *Source, most: usize) []const u8 {
        return self.take(@min(most, self.int(u16)));
    }

    pub fn rest(self: *Source) []const u8 {
        return self.take(self.bytes.len);
    }

    fn take(self: *Source, most: usize) []const u8 {
        const length = @min(most, self.bytes.len - self.at);
        defer self.at += length;
        return self.bytes[self.at..][0..length];
    }
};

test "decisions follow the bytes and are zero behind them" {
    var source: Source = .init(&.{ 0x34, 0x12, 7, 2, 0, 'a', 'b', 'c' });
    try std.testing.expectEqual(0x1234, source.int(u16));
    try std.testing.expectEqual(2, source.below(5));
    try std.testing.expectEqualStrings("ab", source.slice(100));
    try std.testing.expectEqualStrings("c", source.rest());
    try std.testing.expect(!source.more());
    try std.testing.expectEqual(0, source.wide());
}
