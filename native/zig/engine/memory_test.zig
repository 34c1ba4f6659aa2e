//! Guest memory on the real kernel, touched by threads as vCPUs touch it; where it cannot be had,
//! skipped. On a scripted kernel: memory_script_test.zig.

const std = @import("std");
const linux = @import("../sys/linux.zig");
const memory_room = @import("memory.zig");
const uffd = @import("../sys/uffd.zig");
const Memory = memory_room.Memory;
const gpaOf = memory_room.gpaOf;
const hole_bytes = memory_room.hole_bytes;
const low_bytes = memory_room.low_bytes;
const offsetOf = memory_room.offsetOf;
const page_size = memory_room.page_size;
const os = linux.os;
const testing = std.testing;

/// Touches the guest mapping from another thread, as a vCPU does.
const Toucher = struct {
    word: *volatile u64,
    stored: std.atomic.Value(u32) = .init(0),
    stop: std.atomic.Value(u32) = .init(0),
    looked: std.atomic.Value(u64) = .init(0),
    torn: std.atomic.Value(u32) = .init(0),

    fn store(self: *Toucher) void {
        self.word.* += 1;
        self.stored.store(1, .release);
    }

    /// Reads the last word of the page, then the first, until it is told to stop. All words count
    /// the same up, so a first one that is older belongs to a torn page.
    fn look(self: *Toucher) void {
        const words: *volatile [page_size / 8]u64 = @ptrCast(self.word);
        while (self.stop.load(.acquire) == 0) {
            const last = words[words.len - 1];
            const first = words[0];
            if (first < last) self.torn.store(1, .release);
            self.looked.store(first, .release);
        }
    }

    fn loop(self: *Toucher) void {
        while (self.stop.load(.acquire) == 0) self.word.* +%= 1;
    }
};

/// @param by_copy As on a kernel that cannot map a page write-protected as it is.
fn openOrSkip(ram_bytes: u64, by_copy: bool) !Memory {
    var memory = Memory.init(ram_bytes) catch |err| switch (err) {
        error.PermissionDenied, error.Unsupported => {
            std.debug.print("skipped: userfaultfd for kernel faults is not permitted here\n", .{});
            return error.SkipZigTest;
        },
        else => return err,
    };
    if (by_copy and memory.by_copy == null) memory.by_copy = try .init();
    return memory;
}

/// The next fault event of any thread.
fn awaitEvent(memory: *const Memory) !uffd.Message {
    var messages: [1]uffd.Message = undefined;
    var poll: [1]os.pollfd = .{.{ .fd = memory.uffd, .events = os.POLL.IN, .revents = 0 }};
    while (true) {
        const got = try uffd.read(memory.uffd, &messages);
        if (got.len > 0) return got[0];
        if (os.poll(&poll, 1, 60_000) == 0) return error.NoEvent;
    }
}

test "first touch, read copy, upgrade, and the bytes behind the alias" {
    for ([_]bool{ false, true }) |by_copy| try firstTouch(by_copy);
}

fn firstTouch(by_copy: bool) !void {
    var memory = try openOrSkip(16 * page_size, by_copy);
    defer memory.deinit();
    var toucher: Toucher = .{ .word = @ptrCast(memory.guestPage(3)) };
    const thread = try std.Thread.spawn(.{}, Toucher.store, .{&toucher});
    const first = try awaitEvent(&memory);
    try testing.expectEqual(3, memory.pageAt(first.address));
    try memory.map(3, .shared);
    const second = try awaitEvent(&memory);
    try testing.expect(second.flags & uffd.flag_wp != 0);
    try testing.expectEqual(0, toucher.stored.load(.acquire));
    // Present and protected: the continue meets EEXIST and must end writable.
    try memory.map(3, .modified);
    thread.join();
    try testing.expectEqual(1, memory.aliasPage(3)[0]);
    // A repeated event on a page that is held maps it again by its state, harmlessly.
    try memory.map(3, .modified);
    try testing.expectEqual(1, memory.guestPage(3)[0]);
}

test "no store lands after protect or drop" {
    var memory = try openOrSkip(4 * page_size, false);
    defer memory.deinit();
    var toucher: Toucher = .{ .word = @ptrCast(memory.guestPage(1)) };
    const thread = try std.Thread.spawn(.{}, Toucher.loop, .{&toucher});
    const alias: *volatile u64 = @ptrCast(memory.aliasPage(1));
    for (0..300) |round| {
        _ = try awaitEvent(&memory);
        try memory.map(1, .modified);
        while (alias.* == 0) std.atomic.spinLoopHint();
        if (round % 2 == 0) try memory.protect(1) else try memory.drop(1);
        const seen = alias.*;
        for (0..200) |_| try testing.expectEqual(seen, alias.*);
    }
    toucher.stop.store(1, .release);
    _ = try awaitEvent(&memory);
    try memory.map(1, .modified);
    thread.join();
}

test "by copy: readers see whole pages, and each of them" {
    var memory = try openOrSkip(4 * page_size, true);
    defer memory.deinit();
    var toucher: Toucher = .{ .word = @ptrCast(memory.guestPage(2)) };
    const threads = [_]std.Thread{
        try std.Thread.spawn(.{}, Toucher.look, .{&toucher}),
        try std.Thread.spawn(.{}, Toucher.look, .{&toucher}),
    };
    for (1..300) |round| {
        const words: *[page_size / 8]u64 = @ptrCast(memory.aliasPage(2));
        @memset(words, round);
        try memory.map(2, .shared);
        // Told again about a page that is there, as when both threads faulted on it.
        if (round % 3 == 0) try memory.map(2, .shared);
        const limit_ns = linux.nowNs() + 60 * std.time.ns_per_s;
        while (toucher.looked.load(.acquire) != round) {
            if (linux.nowNs() > limit_ns) return error.NotSeen;
        }
        try memory.drop(2);
    }
    toucher.stop.store(1, .release);
    try memory.map(2, .shared);
    for (threads) |thread| thread.join();
    try testing.expectEqual(0, toucher.torn.load(.acquire));
}

test "a page whose memory was given back is missing, comes as zeros, and takes memory again" {
    var memory = try openOrSkip(4 * page_size, false);
    defer memory.deinit();
    memory.aliasPage(1)[0] = 7;
    try memory.map(1, .modified);
    try testing.expectEqual(7, memory.guestPage(1)[0]);
    try testing.expectEqual(1, memory.takenPages());
    try memory.drop(1);
    try memory.forget(1);
    try testing.expectEqual(0, memory.takenPages());
    var toucher: Toucher = .{ .word = @ptrCast(memory.guestPage(1)) };
    const thread = try std.Thread.spawn(.{}, Toucher.store, .{&toucher});
    try testing.expectEqual(1, memory.pageAt((try awaitEvent(&memory)).address));
    try memory.map(1, .modified);
    thread.join();
    try testing.expectEqual(1, memory.aliasPage(1)[0]);
    try testing.expectEqual(1, memory.takenPages());
}

test "a run of pages comes as zeros to be written, around the hole, whatever is mapped there" {
    const first = low_bytes / page_size - 3;
    var memory = try openOrSkip(low_bytes + 3 * page_size, false);
    defer memory.deinit();
    try memory.map(first + 1, .shared);
    var toucher: Toucher = .{ .word = @ptrCast(memory.guestPage(first + 4)) };
    const thread = try std.Thread.spawn(.{}, Toucher.store, .{&toucher});
    try testing.expectEqual(first + 4, memory.pageAt((try awaitEvent(&memory)).address));
    try memory.mapRun(first, 6);
    thread.join();
    for (0..6) |i| {
        const page = memory.guestPage(@intCast(first + i));
        try testing.expectEqual(@intFromBool(i == 4), page[0]);
        // Were one of them not mapped, or protected, this would wait for ever.
        page[page_size - 1] = @intCast(i);
        try testing.expectEqual(i, memory.aliasPage(@intCast(first + i))[page_size - 1]);
    }
    try testing.expectEqual(6, memory.takenPages());
}

test "addresses skip the hole" {
    const ram = low_bytes + 2 * page_size;
    try testing.expectEqual(low_bytes + hole_bytes, gpaOf(low_bytes));
    try testing.expectEqual(low_bytes, offsetOf(low_bytes + hole_bytes, ram).?);
    try testing.expectEqual(null, offsetOf(low_bytes, ram));
    try testing.expectEqual(null, offsetOf(low_bytes + hole_bytes + 2 * page_size, ram));
}
