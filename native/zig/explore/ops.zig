//! What a simulated thread does, one operation at a time: hand a page back, use one page, or run
//! one instruction that needs two pages in the same moment.

const std = @import("std");

pub const Need = struct { page: u8, write: bool };

pub const Op = packed struct(u8) {
    kind: enum(u2) { evict, one, both },
    first: u2,
    second: u2 = 0,
    write_first: bool = false,
    write_second: bool = false,

    pub fn need(self: Op, which: u1) Need {
        return if (which == 0)
            .{ .page = self.first, .write = self.write_first }
        else
            .{ .page = self.second, .write = self.write_second };
    }

    /// Pages needed at once.
    pub fn count(self: Op) u2 {
        return switch (self.kind) {
            .evict => 0,
            .one => 1,
            .both => 2,
        };
    }

    pub fn format(self: Op, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        if (self.kind == .evict) return writer.print("evict {d}", .{self.first});
        for (0..self.count()) |i| {
            const n = self.need(@intCast(i));
            try writer.print("{s}{s} {d}", .{
                if (i > 0) ", " else "", if (n.write) "write" else "read", n.page,
            });
        }
    }
};

fn evict(page: u2) Op {
    return .{ .kind = .evict, .first = page };
}

fn one(page: u2, write: bool) Op {
    return .{ .kind = .one, .first = page, .write_first = write };
}

fn both(first: u2, write_first: bool, write_second: bool) Op {
    return .{
        .kind = .both,
        .first = first,
        .second = 1 - first,
        .write_first = write_first,
        .write_second = write_second,
    };
}

/// Operations on one page; they are the alphabet of worlds with one page.
pub const single = [_]Op{ evict(0), one(0, false), one(0, true) };

/// Everything two pages allow.
pub const full = single ++ [_]Op{
    evict(1),              one(1, false),         one(1, true),
    both(0, false, false), both(1, false, false), both(0, true, true),
    both(1, true, true),   both(0, true, false),  both(1, true, false),
    both(0, false, true),  both(1, false, true),
};

/// Of instructions with two pages only those that write both: the hardest to satisfy.
pub const lean = single ++ [_]Op{
    evict(1), one(1, false), one(1, true), both(0, true, true), both(1, true, true),
};

/// Only what makes nodes wait for each other.
pub const fight = [_]Op{ both(0, true, true), both(1, true, true) };

test "the alphabets hold each operation once" {
    for (full, 0..) |op, i| for (full[0..i]) |other| try std.testing.expect(op != other);
    try std.testing.expectEqual(2 + 2 + 2 + 8, full.len);
    for (lean ++ fight) |op| {
        try std.testing.expect(std.mem.indexOfScalar(Op, &full, op) != null);
    }
}
