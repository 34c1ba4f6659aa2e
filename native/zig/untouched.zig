//! Large tables as the kernel gives them: zero, and no memory until touched. Allocator.alloc would
//! write a pattern over all of it in safe builds, so every table would cost its full size at once.

const std = @import("std");
const assert = std.debug.assert;

/// Zeroed memory for `count` items of a type whose all-zero bytes mean "unused".
pub fn alloc(comptime T: type, count: usize) std.mem.Allocator.Error![]T {
    assert(count > 0);
    const size = count * @sizeOf(T);
    const raw = std.heap.page_allocator.rawAlloc(size, .of(T), @returnAddress()) orelse
        return error.OutOfMemory;
    return @as([*]T, @ptrCast(@alignCast(raw)))[0..count];
}

pub fn free(comptime T: type, table: []T) void {
    std.heap.page_allocator.rawFree(std.mem.sliceAsBytes(table), .of(T), @returnAddress());
}

test "a table is zero and takes no memory before it is used" {
    const table = try alloc(u64, 1 << 20);
    defer free(u64, table);
    for ([_]usize{ 0, 4711, table.len - 1 }) |i| try std.testing.expectEqual(0, table[i]);
}
