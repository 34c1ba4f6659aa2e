//! What a node remembers of each page of the guest: 8 bytes, since there is one for every page of
//! all nodes. All zero means never seen, so the table can be fresh memory of the kernel.

const std = @import("std");
const Holder = @import("gather.zig").Holder;

pub const State = enum(u2) { invalid = 0, shared = 1, modified = 2 };

pub const Local = packed struct(u64) {
    /// Version of the bytes behind the alias mapping, also after the page was lost; 0 = none.
    version: u48 = 0,
    /// Who took the page last, for deferral.
    holder: Holder = .{},
    state: State = .invalid,
    /// Taken by another node since this one used it last.
    lost: bool = false,
};

/// Memory from the kernel as it comes: zero, and unused until touched.
pub fn alloc(pages: usize) std.mem.Allocator.Error![]Local {
    const size = pages * @sizeOf(Local);
    // Not alloc(): it would fill the memory, 2 GiB of it for 1 TiB of guest RAM.
    const raw = std.heap.page_allocator.rawAlloc(size, .of(Local), @returnAddress()) orelse
        return error.OutOfMemory;
    return @as([*]Local, @ptrCast(@alignCast(raw)))[0..pages];
}

pub fn free(table: []Local) void {
    std.heap.page_allocator.rawFree(std.mem.sliceAsBytes(table), .of(Local), @returnAddress());
}

test "fresh memory is a table of pages never seen" {
    const table = try alloc(100_000);
    defer free(table);
    for (table) |local| try std.testing.expectEqual(Local{}, local);
}
