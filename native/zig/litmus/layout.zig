//! Where the instances of a case lie: many to a page, over an array of pages that is spread over
//! the memory of all nodes; and in which order a batch visits them.

const std = @import("std");
const shapes = @import("shapes.zig");

pub const page = 4096;
const line = 64;
const lines = page / line;
/// Pages of one node's region; a few beyond those that groups use, for x across pages.
const group_pages = 256;
pub const region_pages = group_pages + 2;
pub const nodes_max = 8;
/// Instances of a batch at most.
pub const batch_max = 2048;
/// Borders between pages that one node's region gives to x across pages.
const inner = group_pages;

pub const Place = struct { x: u64, y: u64 };

/// How a batch visits its instances.
pub const Style = enum(u1) {
    /// All of a page before the next page: threads meet within a page while it goes to and fro.
    page_by_page,
    /// In any order: nearly every instance finds its page elsewhere.
    scattered,
};

pub const Layout = struct {
    /// Addresses of the nodes' regions; each is whole pages, and contiguous.
    regions: []const u64,
    /// Addresses where one node's memory ends and the next's begins; the pages on both sides and
    /// one more are free for x and y, and may be those of the regions.
    borders: []const u64,
    placement: shapes.Placement,
    style: Style,

    /// How many instances fit, at most batch_max.
    pub fn capacity(layout: *const Layout) usize {
        return switch (layout.placement) {
            .same_page, .two_pages => batch_max,
            .across => @min(batch_max, inner * layout.regions.len),
            .border => layout.borders.len,
        };
    }

    /// Instances of a batch for so many iterations: whole groups.
    pub fn batchOf(layout: *const Layout, iterations: u64) usize {
        const group = layout.inGroup();
        if (iterations >= layout.capacity()) return layout.capacity();
        return @intCast((iterations + group - 1) / group * group);
    }

    /// Instances that have place on one page or pair of pages.
    fn inGroup(layout: *const Layout) usize {
        return switch (layout.placement) {
            .same_page => lines / 2,
            .two_pages => lines,
            .across, .border => 1,
        };
    }

    /// Whether threads need a page for one instance only before they go on to another.
    pub fn hops(layout: *const Layout) bool {
        return layout.style == .scattered or layout.placement.splits();
    }

    /// Scattered instances use all pages and of each a few places; else few pages are full.
    fn groupOf(layout: *const Layout, instance: usize) struct { usize, usize } {
        const all = group_pages * layout.regions.len;
        return switch (layout.style) {
            .page_by_page => .{ instance / layout.inGroup(), instance % layout.inGroup() },
            .scattered => if (layout.placement == .two_pages)
                .{ instance % (all / 2), instance / (all / 2) }
            else
                .{ instance % all, instance / all },
        };
    }

    /// Page `index` of the array; neighbours are at home on different nodes.
    fn pageAt(layout: *const Layout, index: usize) u64 {
        const nodes = layout.regions.len;
        return layout.regions[index % nodes] + index / nodes * page;
    }

    pub fn place(layout: *const Layout, instance: usize) Place {
        const group, const slot = layout.groupOf(instance);
        switch (layout.placement) {
            .same_page => {
                const at = layout.pageAt(group) + 2 * slot * line;
                return .{ .x = at, .y = at + line };
            },
            .two_pages => {
                const swap = group & 1;
                return .{
                    .x = layout.pageAt(2 * group + swap) + slot * line,
                    .y = layout.pageAt(2 * group + 1 - swap) + slot * line,
                };
            },
            .across => {
                const region = layout.regions[instance % layout.regions.len];
                const border = instance / layout.regions.len;
                // y on the page of the second half of x, or far from both.
                const other = if (border & 1 == 0) border + 1 else (border + inner / 2) % inner;
                return .{
                    .x = region + (border + 1) * page - 2,
                    .y = region + other * page + line * (1 + border % (lines - 2)),
                };
            },
            .border => {
                const border = layout.borders[instance];
                // y on the page of the second half of x, or on a third one.
                const other = if (layout.style == .scattered) border + page else border;
                return .{ .x = border - 2, .y = other + line };
            },
        }
    }

    /// The order of a batch, the same for every thread that asks with the same seed.
    pub fn visit(layout: *const Layout, seed: u64, order: []u16) void {
        const size = layout.inGroup();
        const groups = order.len / size;
        std.debug.assert(order.len % size == 0);
        var random: Random = .{ .state = seed | 1 };
        for (order, 0..) |*o, i| o.* = @intCast(i);
        if (layout.style == .scattered) return random.shuffle(order);
        // The first slot of each group stands for it until all groups have their place.
        for (order[0..groups], 0..) |*o, group| o.* = @intCast(group * size);
        random.shuffle(order[0..groups]);
        var left = groups;
        while (left > 0) {
            left -= 1;
            const first = order[left];
            const slots = order[left * size ..][0..size];
            for (slots, 0..) |*o, slot| o.* = @intCast(first + slot);
            random.shuffle(slots);
        }
    }
};

/// xorshift64*: small, and the same everywhere.
pub const Random = struct {
    state: u64,

    pub fn next(random: *Random) u64 {
        var s = random.state;
        s ^= s >> 12;
        s ^= s << 25;
        s ^= s >> 27;
        random.state = s;
        return s *% 0x2545f4914f6cdd1d;
    }

    fn shuffle(random: *Random, items: []u16) void {
        var left = items.len;
        while (left > 1) : (left -= 1) {
            const other: usize = @intCast((random.next() >> 32) % left);
            std.mem.swap(u16, &items[left - 1], &items[other]);
        }
    }
};

const testing = std.testing;
const styles = [_]Style{ .page_by_page, .scattered };

test "no two locations overlap, and each lies as its placement says" {
    const regions = [_]u64{ 0, region_pages * page };
    const borders = regions[1..].*;
    for ([_]usize{ 1, 2 }) |nodes| for (shapes.Placement.all) |placement| for (styles) |style| {
        const layout: Layout = .{
            .regions = regions[0..nodes],
            .borders = borders[0 .. nodes - 1],
            .placement = placement,
            .style = style,
        };
        var used = try std.DynamicBitSet.initEmpty(testing.allocator, 4 << 20);
        defer used.deinit();
        for (0..layout.capacity()) |i| {
            const at = layout.place(i);
            for ([_]u64{ at.x, at.y }) |address| for (0..4) |byte| {
                const index: usize = @intCast(address + byte);
                try testing.expect(!used.isSet(index));
                used.set(index);
                const inside = for (regions[0..nodes]) |base| {
                    if (index >= base and index < base + region_pages * page) break true;
                } else false;
                try testing.expect(inside);
            };
            try testing.expectEqual(0, at.y % 4);
            switch (placement) {
                .same_page => try testing.expectEqual(at.x / page, at.y / page),
                .two_pages => try testing.expect(at.x / page != at.y / page),
                .across => try testing.expectEqual(page - 2, at.x % page),
                .border => try testing.expectEqual(regions[1] - 2, at.x),
            }
        }
    };
}

test "an order visits every instance once" {
    const regions = [_]u64{ 0, region_pages * page };
    const borders = regions[1..].*;
    for (shapes.Placement.all) |placement| for (styles) |style| {
        const layout: Layout = .{
            .regions = &regions,
            .borders = &borders,
            .placement = placement,
            .style = style,
        };
        var order: [batch_max]u16 = undefined;
        const batch = order[0..layout.capacity()];
        layout.visit(7, batch);
        var seen: std.StaticBitSet(batch_max) = .initEmpty();
        for (batch) |instance| seen.set(instance);
        try testing.expectEqual(batch.len, seen.count());
        if (style == .page_by_page and placement == .same_page) {
            for (batch, 0..) |instance, i| {
                try testing.expectEqual(batch[i / 32 * 32] / 32, instance / 32);
            }
        }
    };
}
