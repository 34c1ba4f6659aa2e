//! Guest memory on a scripted kernel: what userfaultfd answers only under load, or never.

const std = @import("std");
const errors = @import("../errors.zig");
const kernel_room = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const memory_room = @import("memory.zig");
const uffd = @import("../sys/uffd.zig");
const Call = kernel_room.Call;
const Memory = memory_room.Memory;
const State = @import("../dsm/dsm.zig").State;
const Scripted = @import("../sys/scripted.zig").Scripted;
const failure = kernel_room.failure;
const page_size = memory_room.page_size;
const testing = std.testing;

const continue_page = uffd.ioctl_continue;
const write_protect = uffd.ioctl_write_protect;
const wake = uffd.ioctl_wake;

/// Memory of eight pages whose set-up is forgotten.
const Rig = struct {
    kernel: Scripted,
    memory: Memory,

    fn init(self: *Rig) !void {
        self.kernel = .init(testing.allocator);
        self.kernel.install();
        self.memory = try Memory.init(8 * page_size);
        self.kernel.calls = .empty;
    }

    fn deinit(self: *Rig) void {
        self.memory.deinit();
        self.kernel.remove();
    }
};

/// Notes the modes and pages of requests while their arguments still exist.
const Modes = struct {
    const Entry = struct { request: u32, start: u64, length: u64, mode: u64 };
    var entries: [8]Entry = undefined;
    var length: usize = 0;

    fn note(kernel: *Scripted, made: Call) usize {
        const request: u32 = @intCast(made.arguments[1]);
        const range = made.at(uffd.Range, 2);
        entries[length] = .{
            .request = request,
            .start = range.start,
            .length = range.len,
            .mode = switch (request) {
                continue_page => made.at(uffd.Continue, 2).mode,
                write_protect => made.at(uffd.WriteProtect, 2).mode,
                else => 0,
            },
        };
        length += 1;
        return kernel.usual(made);
    }

    fn noteAndExists(kernel: *Scripted, made: Call) usize {
        _ = note(kernel, made);
        return failure(.EXIST);
    }
};

test "a page comes with the protection of its state" {
    for ([_]struct { State, u64 }{
        .{ .shared, uffd.continue_wp },
        .{ .modified, 0 },
    }) |case| {
        var rig: Rig = undefined;
        try rig.init();
        defer rig.deinit();
        Modes.length = 0;
        rig.kernel.next(.{ .request = continue_page }, .{ .does = Modes.note }, 1);
        try rig.memory.map(5, case[0]);
        try rig.kernel.expectRequests(&.{continue_page});
        try testing.expectEqual(Modes.Entry{
            .request = continue_page,
            .start = @intFromPtr(rig.memory.guestPage(5)),
            .length = page_size,
            .mode = case[1],
        }, Modes.entries[0]);
    }
}

test "over a page that is mapped already: the wanted protection, then a wake" {
    for ([_]struct { State, u64 }{
        .{ .shared, uffd.write_protect_wp },
        .{ .modified, 0 },
    }) |case| {
        var rig: Rig = undefined;
        try rig.init();
        defer rig.deinit();
        Modes.length = 0;
        rig.kernel.next(.{ .request = continue_page }, .{ .does = Modes.noteAndExists }, 1);
        rig.kernel.next(.{ .request = write_protect }, .{ .does = Modes.note }, 1);
        rig.kernel.next(.{ .request = wake }, .{ .does = Modes.note }, 1);
        try rig.memory.map(2, case[0]);
        try rig.kernel.expectRequests(&.{ continue_page, write_protect, wake });
        try testing.expectEqual(case[1], Modes.entries[1].mode);
        for (Modes.entries[0..3]) |entry| {
            try testing.expectEqual(@intFromPtr(rig.memory.guestPage(2)), entry.start);
            try testing.expectEqual(page_size, entry.length);
        }
    }
}

test "while another thread changes the address space, requests are made again" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .AGAIN }, 3);
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .EXIST }, 1);
    rig.kernel.next(.{ .request = write_protect }, .{ .fails = .AGAIN }, 2);
    try rig.memory.map(1, .modified);
    const four = [_]u32{continue_page} ** 4;
    try rig.kernel.expectRequests(&(four ++ [_]u32{write_protect} ** 3 ++ .{wake}));
    rig.kernel.next(.{ .request = write_protect }, .{ .fails = .AGAIN }, 5);
    try rig.memory.protect(1);
    try rig.kernel.expectRequests(&([_]u32{write_protect} ** 6));
}

/// EEXIST for a page the kernel has in its cache, as the real kernel would; else EFAULT again.
fn existsIfCached(kernel: *Scripted, _: Call) usize {
    const memory: *const Memory = @ptrCast(@alignCast(kernel.context.?));
    var present: u8 = 0;
    const page = memory.aliasPage(7);
    const rc = kernel_room.real(.{
        .number = .mincore,
        .arguments = .{ @intFromPtr(page), page_size, @intFromPtr(&present), 0, 0, 0 },
    });
    return failure(if (rc == 0 and present & 1 != 0) .EXIST else .FAULT);
}

test "a page nobody has touched is put into the page cache first" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.context = &rig.memory;
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .FAULT }, 1);
    // Meanwhile something was mapped: a protection nobody knows must not stay.
    rig.kernel.next(.{ .request = continue_page }, .{ .does = existsIfCached }, 1);
    try rig.memory.map(7, .shared);
    try rig.kernel.expectRequests(&.{ continue_page, continue_page, write_protect, wake });
}

test "a run of untouched pages comes by one call, or page by page" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    Modes.length = 0;
    rig.kernel.next(.{ .request = continue_page }, .{ .does = Modes.note }, 1);
    try rig.memory.mapRun(2, 5);
    const populated = rig.kernel.calls.items[0];
    try testing.expectEqual(.madvise, populated.number);
    const from = @intFromPtr(rig.memory.aliasPage(2));
    // MADV_POPULATE_READ.
    const asked = [_]usize{ from, 5 * page_size, 22 };
    try testing.expectEqualSlices(usize, &asked, populated.arguments[0..3]);
    try rig.kernel.expectRequests(&.{continue_page});
    try testing.expectEqual(Modes.Entry{
        .request = continue_page,
        .start = @intFromPtr(rig.memory.guestPage(2)),
        .length = 5 * page_size,
        .mode = 0,
    }, Modes.entries[0]);
    // No memory for all of them, and one that is mapped with a protection nobody knows.
    rig.kernel.next(.{ .call = .madvise }, .{ .fails = .NOMEM }, 1);
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .FAULT }, 1);
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .EXIST }, 1);
    try rig.memory.mapRun(2, 2);
    const each = [_]u32{ continue_page, write_protect, wake, continue_page };
    try rig.kernel.expectRequests(&(.{continue_page} ++ each));
    // None of them ever comes.
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .NOMEM }, 2);
    try testing.expectError(error.OutOfMemory, rig.memory.mapRun(2, 2));
}

/// A kernel before Linux 6.4, whose pagemap tells of every page what the test says.
const Old = struct {
    var entry: u64 = 0;

    fn features(_: *Scripted, _: Call) usize {
        return 0;
    }

    fn pagemap(_: *Scripted, made: Call) usize {
        made.at(u64, 1).* = entry;
        return @sizeOf(u64);
    }

    /// The bytes that the copy is of, which are to be those of the page.
    fn copy(kernel: *Scripted, made: Call) usize {
        const memory: *const Memory = @ptrCast(@alignCast(kernel.context.?));
        const asked = made.at(uffd.Copy, 2);
        const from: *const [page_size]u8 = @ptrFromInt(asked.from);
        const right = asked.mode == uffd.copy_wp and asked.len == page_size and
            asked.to == @intFromPtr(memory.guestPage(6)) and from[9] == 7 and
            memory.aliasPage(6)[9] == 0;
        return if (right) 0 else failure(.INVAL);
    }
};

test "before Linux 6.4 a page to be read leaves the page cache and comes back protected" {
    var rig: Rig = undefined;
    rig.kernel = .init(testing.allocator);
    rig.kernel.install();
    rig.kernel.next(.{ .request = uffd.ioctl_api }, .{ .does = Old.features }, 1);
    rig.memory = try Memory.init(8 * page_size);
    defer rig.deinit();
    rig.kernel.calls = .empty;
    rig.kernel.context = &rig.memory;
    rig.kernel.next(.{ .call = .pread64 }, .{ .does = Old.pagemap }, 3);
    rig.kernel.next(.{ .request = uffd.ioctl_copy }, .{ .fails = .AGAIN }, 1);
    rig.kernel.next(.{ .request = uffd.ioctl_copy }, .{ .does = Old.copy }, 1);
    rig.memory.aliasPage(6)[9] = 7;
    try rig.memory.map(6, .shared);
    try rig.kernel.expectRequests(&.{ uffd.ioctl_copy, uffd.ioctl_copy });
    // One that is mapped stays so; which way it is protected nobody knows.
    Old.entry = 1 << 63;
    try rig.memory.map(6, .shared);
    try rig.kernel.expectRequests(&.{ write_protect, wake });
    // To be written it is mapped as by any kernel.
    try rig.memory.map(6, .modified);
    try rig.kernel.expectRequests(&.{continue_page});
    // What is in the page cache all the same is not for this node to overwrite.
    Old.entry = 0;
    rig.kernel.next(.{ .request = uffd.ioctl_copy }, .{ .fails = .EXIST }, 1);
    try testing.expectError(error.Exists, rig.memory.map(6, .shared));
    try testing.expectError(error.Unexpected, rig.memory.map(6, .shared));
}

test "a refusal for good is told, and wakes nobody" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .NOMEM }, 1);
    try testing.expectError(error.OutOfMemory, rig.memory.map(0, .modified));
    try rig.kernel.expectRequests(&.{continue_page});
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .EXIST }, 1);
    rig.kernel.next(.{ .request = write_protect }, .{ .fails = .NOENT }, 1);
    try testing.expectError(error.NotFound, rig.memory.map(0, .shared));
    try rig.kernel.expectRequests(&.{ continue_page, write_protect });
    rig.kernel.next(.{ .call = .madvise }, .{ .fails = .INVAL }, 1);
    try testing.expectError(error.Unexpected, rig.memory.drop(0));
}

test "faults: none, interrupted, several, and half of one" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    var into: [4]uffd.Message = undefined;
    try testing.expectEqual(0, (try uffd.read(rig.memory.uffd, &into)).len);
    for (0..5) |i| rig.kernel.add(&rig.kernel.faults, std.mem.zeroInit(uffd.Message, .{
        .event = uffd.event_pagefault,
        .address = i,
    }));
    rig.kernel.next(.{ .call = .read }, .{ .fails = .INTR }, 2);
    try testing.expectEqual(4, (try uffd.read(rig.memory.uffd, &into)).len);
    try testing.expectEqual(3, into[3].address);
    try testing.expectEqual(1, (try uffd.read(rig.memory.uffd, &into)).len);
    rig.kernel.next(.{ .call = .read }, .{ .returns = 40 }, 1);
    try testing.expectError(error.Unexpected, uffd.read(rig.memory.uffd, &into));
    rig.kernel.next(.{ .call = .read }, .{ .fails = .INVAL }, 1);
    try testing.expectError(error.Unexpected, uffd.read(rig.memory.uffd, &into));
}

test "without the right to handle kernel faults: the device, else one clear error" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.install();
    defer kernel.remove();
    kernel.next(.{ .call = .userfaultfd }, .{ .fails = .PERM }, 2);
    kernel.next(.{ .call = .open }, .{ .fails = .ACCES }, 1);
    try testing.expectError(error.PermissionDenied, Memory.init(page_size));
    try testing.expectEqual(-@as(i32, @intFromEnum(std.os.linux.E.ACCES)), //
        errors.negativeErrno(error.PermissionDenied));
    try kernel.expectNothingLeft();
    // The device, once opened to this user, gives one too, and is closed again.
    const opened = try uffd.open();
    try testing.expectEqual(1, kernel.descriptors.items.len);
    linux.close(opened.fd);
    try kernel.expectNothingLeft();
}

test "a kernel without the features is told from one without the right" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.install();
    defer kernel.remove();
    kernel.next(.{ .call = .userfaultfd }, .{ .fails = .NOSYS }, 1);
    try testing.expectError(error.Unsupported, Memory.init(page_size));
    // UFFDIO_API refuses features it does not know.
    kernel.next(.{ .request = uffd.ioctl_api }, .{ .fails = .INVAL }, 1);
    try testing.expectError(error.Unsupported, Memory.init(page_size));
    try kernel.expectNothingLeft();
}
