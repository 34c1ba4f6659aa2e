//! What a node remembers of each page of the guest: 8 bytes, since there is one for every page of
//! all nodes. All zero means never seen, so the table can be fresh memory of the kernel.

const std = @import("std");
const Holder = @import("gather.zig").Holder;
const untouched = @import("../untouched.zig");

pub const State = enum(u2) { invalid = 0, shared = 1, modified = 2 };

pub const Local = packed struct(u64) {
    /// Version of the bytes behind the alias mapping, also after the page was lost; 0 = none.
    version: u47 = 0,
    /// Who took the page last, for deferral.
    holder: Holder = .{},
    state: State = .invalid,
    /// Taken by another node since this one used it last.
    lost: bool = false,
    /// Granted ahead of a walk (ahead.zig): nobody here may ever have used it.
    ahead: bool = false,
};

/// Memory from the kernel as it comes: 2 GiB of it for 1 TiB of guest RAM.
pub fn alloc(pages: usize) std.mem.Allocator.Error![]Local {
    return untouched.alloc(Local, pages);
}

pub fn free(table: []Local) void {
    untouched.free(Local, table);
}

test "fresh memory is a table of pages never seen" {
    const table = try alloc(100_000);
    defer free(table);
    for (table) |local| try std.testing.expectEqual(Local{}, local);
}
