//! Int3s of a debugger's and of the guest's own, told apart: on a scripted KVM, and where the real
//! one tells of them with a few bytes of guest code.

const std = @import("std");
const abi = @import("../abi.zig");
const debug_rig = @import("debug_rig.zig");
const int3_room = @import("int3.zig");
const kernel_room = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const observe = @import("observe.zig");
const real = @import("rig.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const Call = kernel_room.Call;
const Node = @import("../node.zig").Node;
const Scripted = scripted.Scripted;
const ours = debug_rig.ours;
const testing = std.testing;

/// Where the page tables say that the int3 is.
fn mapsTo(comptime gpa: ?u64) fn (*Scripted, Call) usize {
    return struct {
        fn answer(_: *Scripted, made: Call) usize {
            const translation = made.at(kvm.Translation, 2);
            if (translation.linear != debug_rig.rip) @panic("another address");
            translation.physical = gpa orelse 0;
            translation.valid = @intFromBool(gpa != null);
            return 0;
        }
    }.answer;
}

/// The vCPU with an int3 of the debugger's, before it has ever been in the guest.
fn withInt3(rig: *script_rig.Rig, single_step: bool) !void {
    const wanted: abi.GuestDebug = .{
        .single_step = single_step,
        .breakpoints = &.{},
        .int3s = &.{ 0x9000, ours },
    };
    try observe.guestDebug(rig.machine, 0, &wanted);
}

fn ends(kernel: *Scripted, _: Call) usize {
    script_rig.rigOf(kernel).vcpu().tell(.stop);
    return kernel_room.failure(.INTR);
}

test "an int3 of the debugger's stops the vCPU, which stands at it" {
    var rig: script_rig.Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try withInt3(&rig, false);
    rig.kernel.next(.{ .request = kvm.run_vcpu }, .{ .does = debug_rig.int3 }, 1);
    rig.kernel.next(.{ .request = kvm.translate_address }, .{ .does = mapsTo(ours) }, 1);
    rig.kernel.next(.{ .call = .futex }, .{ .does = debug_rig.endsHeld }, 1);
    rig.go();
    try debug_rig.expectStop(&rig, 0);
    // Told what to stop at before it entered; nothing was given to the guest.
    try testing.expectEqual(1, rig.kernel.count(.{ .request = kvm.set_guest_debug }));
    try testing.expectEqual(1, rig.kernel.count(.{ .request = kvm.run_vcpu }));
}

fn checkInjection(_: *Scripted, made: Call) usize {
    const request = made.at(kvm.GuestDebug, 2);
    const control = kvm.debug_enable | kvm.debug_software | kvm.debug_inject_int3;
    if (request.control != control) @panic("no #BP for the guest, or one with a step");
    return 0;
}

test "an int3 of the guest's own goes on to it, without a step and without a word" {
    var rig: script_rig.Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try withInt3(&rig, true);
    rig.kernel.next(.{ .request = kvm.run_vcpu }, .{ .does = debug_rig.int3 }, 1);
    rig.kernel.next(.{ .request = kvm.translate_address }, .{ .does = mapsTo(ours + 1) }, 1);
    rig.kernel.next(.{ .request = kvm.set_guest_debug }, .{ .returns = 0 }, 1);
    rig.kernel.next(.{ .request = kvm.set_guest_debug }, .{ .does = checkInjection }, 1);
    rig.kernel.next(.{ .request = kvm.run_vcpu }, .{ .does = ends }, 1);
    rig.go();
    var event: [1]abi.Event = undefined;
    try testing.expectEqual(0, rig.events.take(&event));
    try testing.expectEqual(2, rig.kernel.count(.{ .request = kvm.set_guest_debug }));
    try testing.expect(!rig.vcpu().debug.steps());
}

test "at an int3 whose page is gone meanwhile the guest goes on, to whatever is there now" {
    var rig: script_rig.Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try withInt3(&rig, false);
    rig.kernel.next(.{ .request = kvm.run_vcpu }, .{ .does = debug_rig.int3 }, 1);
    rig.kernel.next(.{ .request = kvm.translate_address }, .{ .does = mapsTo(null) }, 1);
    rig.kernel.next(.{ .request = kvm.run_vcpu }, .{ .does = ends }, 1);
    rig.go();
    var event: [1]abi.Event = undefined;
    try testing.expectEqual(0, rig.events.take(&event));
    try testing.expectEqual(1, rig.kernel.count(.{ .request = kvm.set_guest_debug }));
}

const counter = 0x3000;
const patched = real.start + 2;

test "an int3 of the debugger's stops a vCPU, one of the guest's own runs its handler" {
    var rig = try real.Rig.init(1);
    defer rig.deinit();
    if (!try int3_room.reported(rig.node.system)) {
        std.debug.print("skipped: KVM does not report int3 here\n", .{});
        return error.SkipZigTest;
    }
    rig.put(real.start, &.{
        0xcc, //                                 int3
        0x90, //                                 nop
        0xcc, //                                 nop, with the debugger's int3 in its place
        0xb0, 0x77, //                           mov    al,0x77
        0xe6, 0xf4, //                           out    0xf4,al
        0xf4, //                                 hlt
    });
    rig.handler(3, 0x1100);
    rig.put(0x1100, &.{
        0xfe, 0x06, 0x00, 0x30, //               inc    byte [0x3000]
        0xcf, //                                 iret
    });
    try rig.node.boot(std.mem.zeroInit(abi.Boot, .{ .rip = real.start, .rsp = 0x800 }));
    const target: Node.Target = .{ .node = rig.node, .vcpu = 0 };
    try Node.guestDebug(target, .{
        .single_step = false,
        .breakpoints = &.{},
        .int3s = &.{patched},
    });
    try rig.node.run(linux.nowNs());
    const stop = try rig.event(.debug_stop);
    try testing.expectEqual(patched, stop.event.b);
    try testing.expectEqual(0, stop.event.c);
    try real.await(rig.vcpu(0), debug_rig.isHeld);
    try testing.expectEqual(patched & 0xfff, rig.vcpu(0).last_regs.rip);
    try testing.expectEqual(1, rig.memory()[counter]);
    rig.put(patched, &.{0x90});
    rig.machine().pause(false);
    try rig.expectExit(0x77);
    try testing.expectEqual(1, rig.memory()[counter]);
    try rig.stop();
}

test "whether KVM tells of int3s is tried on a VM that leaves nothing behind" {
    const cases = [_]struct { scripted.Answer, ?bool }{
        .{ .{ .does = debug_rig.int3 }, true },
        .{ .{ .does = debug_rig.breakpoint }, false },
        // Without intercept the guest ends in its handler, or as a script does by itself.
        .{ .{ .returns = 0 }, false },
        .{ .{ .fails = .NOMEM }, null },
    };
    for (cases) |case| {
        var kernel: Scripted = .init(testing.allocator);
        kernel.install();
        defer kernel.remove();
        const system = try kvm.System.open();
        kernel.next(.{ .request = kvm.run_vcpu }, .{ .fails = .INTR }, 1);
        kernel.next(.{ .request = kvm.run_vcpu }, case[0], 1);
        const outcome = int3_room.reported(system);
        system.close();
        try kernel.expectNothingLeft();
        if (case[1]) |told| {
            try testing.expectEqual(told, try outcome);
        } else try testing.expectError(error.OutOfMemory, outcome);
    }
}
