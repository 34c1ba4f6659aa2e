//! Faults of local threads and what the engine does with pages, on a scripted kernel.

const std = @import("std");
const abi = @import("../abi.zig");
const kernel_room = @import("../sys/kernel.zig");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const uffd = @import("../sys/uffd.zig");
const Call = kernel_room.Call;
const Counters = @import("counters.zig").Counters;
const Rig = script_rig.Rig;
const Scripted = scripted.Scripted;
const own_page = script_rig.own_page;
const failure = kernel_room.failure;
const testing = std.testing;

const continue_page = uffd.ioctl_continue;
const write_protect = uffd.ioctl_write_protect;

test "an event for a page that is held maps it again by its state" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.fault(own_page, uffd.flag_write);
    rig.fault(own_page, uffd.flag_write);
    rig.kernel.next(.{ .request = continue_page }, .{ .returns = 0 }, 1);
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .EXIST }, 1);
    rig.turn();
    const again = [_]u32{ continue_page, write_protect, uffd.ioctl_wake };
    try rig.kernel.expectRequests(&(.{continue_page} ++ again));
    try testing.expectEqual(.modified, rig.engine.dsm.state(own_page));
    // Shared now; a read that was withdrawn by a signal comes again, and the copy stays protected.
    try rig.peer.want(own_page, .read);
    rig.turn();
    try testing.expectEqual(.shared, rig.engine.dsm.state(own_page));
    rig.kernel.calls = .empty;
    rig.fault(own_page, 0);
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .EXIST }, 1);
    rig.kernel.next(.{ .request = write_protect }, .{ .does = expectProtected }, 1);
    rig.turn();
    try rig.kernel.expectRequests(&again);
}

fn expectProtected(_: *Scripted, made: Call) usize {
    const mode = made.at(uffd.WriteProtect, 2).mode;
    return if (mode == uffd.write_protect_wp) 0 else failure(.INVAL);
}

/// A vCPU's last store lands while the kernel takes the page away.
fn lastStore(kernel: *Scripted, made: Call) usize {
    const rig: *Rig = @ptrCast(@alignCast(kernel.context.?));
    rig.word(own_page).* = 0xabcd;
    return kernel.usual(made);
}

test "bytes are read only when no store can land any more" {
    for ([_]m.Access{ .read, .write }) |access| {
        var rig: Rig = undefined;
        try rig.init();
        defer rig.deinit();
        rig.fault(own_page, uffd.flag_write);
        rig.turn();
        rig.word(own_page).* = 0x1111;
        const taken_away: scripted.What = switch (access) {
            .read => .{ .request = write_protect },
            .write => .{ .call = .madvise },
        };
        rig.kernel.next(taken_away, .{ .does = lastStore }, 1);
        try rig.peer.want(own_page, access);
        rig.turn();
        try testing.expectEqual(0xabcd, rig.peer.word);
    }
}

test "a page the kernel refuses to map ends the VM, and wakes nobody" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.fault(own_page, uffd.flag_write);
    rig.fault(own_page + 1, uffd.flag_write);
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .NOMEM }, 1);
    rig.turn();
    try rig.expectText("the kernel refused to map a page: OutOfMemory");
    try rig.kernel.expectRequests(&.{continue_page});
}

test "faults that cannot be read end the VM with one sentence" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(.{ .call = .read }, .{ .returns = 40 }, 1);
    rig.kernel.next(.{ .call = .read }, .{ .fails = .INVAL }, 3);
    for (0..4) |_| rig.turn();
    try rig.expectText("the kernel refused to tell of faults on a page: Unexpected");
}

test "kicks of the last vCPU that a node can have are the engine's, too" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.engine.registerUnkicked(limits.threads_max - 2);
    try testing.expectEqual(1, rig.engine.vcpu_slots.load(.monotonic));
    rig.engine.registerThread(limits.vcpus_max - 1);
    rig.engine.waits.began(limits.vcpus_max - 1, own_page);
    try testing.expect(rig.engine.waits.takesKick(limits.vcpus_max - 1));
    rig.fault(own_page, uffd.flag_write);
    rig.turn();
    try testing.expectEqual(null, rig.engine.waits.pageOf(limits.vcpus_max - 1));
}

test "a walk through untouched home memory is mapped ahead by one call, and whoever waits goes on" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.engine.registerThread(1);
    rig.engine.waits.began(1, 9);
    // Behind the last one a window of two.
    for ([_]m.Page{ 0, 1, 2, 3, 5, 7 }) |page| {
        rig.fault(page, uffd.flag_write);
        rig.turn();
    }
    try rig.kernel.expectRequests(&([_]u32{continue_page} ** 9));
    for (0..10) |page| try testing.expectEqual(.modified, rig.engine.dsm.state(@intCast(page)));
    try testing.expectEqual(.invalid, rig.engine.dsm.state(10));
    try testing.expectEqual(null, rig.engine.waits.pageOf(1));
    rig.engine.join();
    rig.engine.run();
    var counted: [Counters.count]u64 = undefined;
    _ = rig.counters.read(&counted);
    try testing.expectEqual(6, counted[@intFromEnum(abi.Counter.faults_local)]);
    try testing.expectEqual(4, counted[@intFromEnum(abi.Counter.touched_ahead)]);
}

test "behind a page that cannot be mapped nothing is granted ahead" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    for (0..4) |page| rig.fault(@intCast(page), uffd.flag_write);
    rig.kernel.next(.{ .request = continue_page }, .{ .returns = 0 }, 3);
    rig.kernel.next(.{ .request = continue_page }, .{ .fails = .NOMEM }, 1);
    rig.turn();
    try rig.expectText("the kernel refused to map a page: OutOfMemory");
    try rig.kernel.expectRequests(&([_]u32{continue_page} ** 4));
}
