//! Lists of hundreds of millions of small items: grown a chunk at a time, so that nothing is ever
//! copied and no more is held than is used.

const std = @import("std");

pub fn Chunks(comptime Item: type) type {
    return struct {
        chunks: std.ArrayList(*[size]Item) = .empty,
        length: usize = 0,

        const Self = @This();
        const shift = 16;
        const size = 1 << shift;

        pub fn deinit(self: *Self, allocator: std.mem.Allocator) void {
            for (self.chunks.items) |chunk| allocator.destroy(chunk);
            self.chunks.deinit(allocator);
        }

        pub fn append(self: *Self, allocator: std.mem.Allocator, item: Item) !void {
            if (self.length == self.chunks.items.len << shift) {
                const chunk = try allocator.create([size]Item);
                errdefer allocator.destroy(chunk);
                try self.chunks.append(allocator, chunk);
            }
            self.length += 1;
            self.at(self.length - 1).* = item;
        }

        pub fn at(self: *const Self, index: usize) *Item {
            std.debug.assert(index < self.length);
            return &self.chunks.items[index >> shift][index & (size - 1)];
        }

        pub fn bytes(self: *const Self) usize {
            return self.chunks.items.len * size * @sizeOf(Item);
        }
    };
}

test "items stay where they were put" {
    const a = std.testing.allocator;
    var list: Chunks(u32) = .{};
    defer list.deinit(a);
    for (0..200_000) |i| try list.append(a, @intCast(i * 3));
    for ([_]usize{ 0, 65_535, 65_536, 199_999 }) |i| {
        try std.testing.expectEqual(i * 3, list.at(i).*);
    }
    try std.testing.expectEqual(4 << 18, list.bytes());
}
