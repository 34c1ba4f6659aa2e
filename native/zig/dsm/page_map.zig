//! A table of few pages out of very many: fixed capacity, open addressing, no allocation after
//! init. The items lie densely, so that walking over all of them costs only what is in use.

const std = @import("std");
const Page = @import("../wire/message.zig").Page;
const assert = std.debug.assert;

/// `Item` has a field `page`.
pub fn PageMap(comptime Item: type) type {
    return struct {
        items: []Item,
        length: u32 = 0,
        /// Index into items + 1; 0 = empty. Twice the capacity, so probes stay short.
        buckets: []u32,

        const Self = @This();

        pub fn init(allocator: std.mem.Allocator, capacity: u32) !Self {
            const size = std.math.ceilPowerOfTwoAssert(u32, capacity * 2);
            const buckets = try allocator.alloc(u32, size);
            errdefer allocator.free(buckets);
            @memset(buckets, 0);
            return .{ .items = try allocator.alloc(Item, capacity), .buckets = buckets };
        }

        pub fn deinit(self: *Self, allocator: std.mem.Allocator) void {
            allocator.free(self.items);
            allocator.free(self.buckets);
        }

        pub fn slice(self: *Self) []Item {
            return self.items[0..self.length];
        }

        pub fn full(self: *const Self) bool {
            return self.length == self.items.len;
        }

        pub fn has(self: *const Self, page: Page) bool {
            return self.find(page) != null;
        }

        pub fn get(self: *Self, page: Page) ?*Item {
            const bucket = self.find(page) orelse return null;
            return &self.items[self.buckets[bucket] - 1];
        }

        /// The page must be absent. The pointer is valid until the next remove.
        pub fn put(self: *Self, item: Item) *Item {
            assert(self.length < self.items.len);
            assert(self.find(item.page) == null);
            self.items[self.length] = item;
            self.length += 1;
            var bucket = self.hash(item.page);
            while (self.buckets[bucket] != 0) bucket = self.step(bucket);
            self.buckets[bucket] = self.length;
            return &self.items[self.length - 1];
        }

        pub fn remove(self: *Self, page: Page) void {
            const bucket = self.find(page).?;
            const index = self.buckets[bucket] - 1;
            self.unlink(bucket);
            self.length -= 1;
            if (index == self.length) return;
            self.items[index] = self.items[self.length];
            const moved = self.find(self.items[index].page).?;
            self.buckets[moved] = index + 1;
        }

        /// Backward-shift deletion: no tombstones.
        fn unlink(self: *Self, start: usize) void {
            var hole = start;
            var at = self.step(start);
            while (self.buckets[at] != 0) : (at = self.step(at)) {
                const wanted = self.hash(self.items[self.buckets[at] - 1].page);
                const distance = (at -% wanted) & (self.buckets.len - 1);
                if (distance < ((at -% hole) & (self.buckets.len - 1))) continue;
                self.buckets[hole] = self.buckets[at];
                hole = at;
            }
            self.buckets[hole] = 0;
        }

        fn find(self: *const Self, page: Page) ?usize {
            var bucket = self.hash(page);
            while (self.buckets[bucket] != 0) : (bucket = self.step(bucket)) {
                if (self.items[self.buckets[bucket] - 1].page == page) return bucket;
            }
            return null;
        }

        fn hash(self: *const Self, page: Page) usize {
            const mixed = @as(u64, page) *% 0x9e3779b97f4a7c15;
            return @intCast((mixed >> 32) & (self.buckets.len - 1));
        }

        fn step(self: *const Self, bucket: usize) usize {
            return (bucket + 1) & (self.buckets.len - 1);
        }
    };
}

test "random use against a plain set" {
    const Item = struct { page: Page, value: u32 };
    const allocator = std.testing.allocator;
    var map = try PageMap(Item).init(allocator, 64);
    defer map.deinit(allocator);
    var present: [256]bool = @splat(false);
    var prng: std.Random.DefaultPrng = .init(3);
    const random = prng.random();
    for (0..20_000) |_| {
        const page = random.uintLessThan(u32, 256);
        try std.testing.expectEqual(present[page], map.get(page) != null);
        if (present[page]) {
            try std.testing.expectEqual(page * 3, map.get(page).?.value);
            map.remove(page);
            present[page] = false;
        } else if (map.length < 64) {
            _ = map.put(.{ .page = page, .value = page * 3 });
            present[page] = true;
        }
    }
}
