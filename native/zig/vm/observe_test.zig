//! What is seen of vCPUs, and what a debugger does to one: on a scripted KVM the stop itself, on
//! the real one a vCPU that is held, changed and let go.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const debug_rig = @import("debug_rig.zig");
const kernel_room = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const limits = @import("../limits.zig");
const observe = @import("observe.zig");
const real = @import("rig.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const Call = kernel_room.Call;
const Scripted = scripted.Scripted;
const Vcpu = @import("vcpu.zig").Vcpu;
const testing = std.testing;

/// The vCPU is about to sleep, held: a debugger works on it.
fn whileHeld(kernel: *Scripted, _: Call) usize {
    const rig = script_rig.rigOf(kernel);
    if (!debug_rig.isHeld(rig.vcpu())) @panic("the vCPU is not held");
    const points = [_]abi.Breakpoint{
        .{ .address = 0x1234, .kind = 0, .size = 0 },
        .{ .address = 0x8000, .kind = 1, .size = 3 },
    };
    const wanted: abi.GuestDebug = .{
        .single_step = true,
        .breakpoints = &points,
        .int3s = &.{debug_rig.ours},
    };
    observe.guestDebug(rig.machine, 0, &wanted) catch @panic("what is wanted is not taken");
    if (kernel.count(.{ .request = kvm.set_guest_debug }) > 0) @panic("another thread told KVM");
    rig.vcpu().tell(.run);
    return kernel_room.failure(.AGAIN);
}

fn checkRequest(_: *Scripted, made: Call) usize {
    const request = made.at(kvm.GuestDebug, 2);
    const control = kvm.debug_enable | kvm.debug_single_step | kvm.debug_hardware |
        kvm.debug_software;
    if (request.control != control) @panic("another control word");
    if (request.registers[0] != 0x1234 or request.registers[1] != 0x8000) @panic("addresses");
    // G0 and G1; the second watches stores of 4 bytes (SDM vol. 3B 18.2.4).
    if (request.registers[7] != 0x00d0_000a) @panic("another DR7");
    return 0;
}

test "a vCPU at a breakpoint says so and holds itself, and goes on as the debugger wants" {
    var rig: script_rig.Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(.{ .request = kvm.run_vcpu }, .{ .does = debug_rig.breakpoint }, 2);
    rig.kernel.next(.{ .call = .futex }, .{ .does = whileHeld }, 1);
    // Its wake.
    rig.kernel.next(.{ .call = .futex }, .{ .returns = 0 }, 1);
    rig.kernel.next(.{ .call = .futex }, .{ .does = debug_rig.endsHeld }, 1);
    rig.kernel.next(.{ .request = kvm.set_guest_debug }, .{ .does = checkRequest }, 1);
    rig.go();
    for (0..2) |_| try debug_rig.expectStop(&rig, 1);
    try testing.expectEqual(2, rig.kernel.count(.{ .request = kvm.run_vcpu }));
    try testing.expectEqual(1, rig.kernel.count(.{ .request = kvm.set_guest_debug }));
    // Not held any more.
    const regs: [18]u64 = @splat(0);
    try testing.expectError(error.Busy, observe.setRegisters(rig.machine, 0, &regs));
    const none: abi.GuestDebug = .{ .single_step = false, .breakpoints = &.{}, .int3s = &.{} };
    try testing.expectError(error.OutOfRange, observe.guestDebug(rig.machine, 1, &none));
    const many: [limits.int3s_max + 1]u64 = @splat(0);
    const crowd: abi.GuestDebug = .{ .single_step = false, .breakpoints = &.{}, .int3s = &many };
    try testing.expectError(error.OutOfRange, observe.guestDebug(rig.machine, 0, &crowd));
}

fn isInside(vcpu: *Vcpu) bool {
    return vcpu.mailbox.inside.load(.acquire);
}

test "one held vCPU goes on alone" {
    var rig = try real.Rig.init(2);
    defer rig.deinit();
    // vCPU 1 waits for its SIPI.
    rig.put(real.start, &.{ 0xeb, 0xfe });
    try rig.go();
    rig.machine().pause(true);
    for (0..2) |index| try real.await(rig.vcpu(index), debug_rig.isHeld);
    rig.vcpu(0).tell(.run);
    try real.await(rig.vcpu(0), isInside);
    try testing.expect(debug_rig.isHeld(rig.vcpu(1)));
    rig.machine().pause(true);
    try real.await(rig.vcpu(0), debug_rig.isHeld);
    try rig.stop();
}

test "a held vCPU shows where it is, and goes on where the debugger says" {
    var rig = try real.Rig.init(1);
    defer rig.deinit();
    rig.put(real.start, &.{
        0xeb, 0xfe, //                   1:      jmp    1
        0xb0, 0x77, //                           mov    al,0x77
        0xe6, 0xf4, //                           out    0xf4,al
        0xf4, //                                 hlt
    });
    try rig.go();
    rig.machine().pause(true);
    try real.await(rig.vcpu(0), debug_rig.isHeld);
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    var buffer: [4096]u8 = undefined;
    const length = try observe.vcpuState(rig.machine(), 0, &buffer);
    const state = try codec.decodeStruct(abi.VcpuState, arena.allocator(), buffer[0..length]);
    try testing.expect(state.held and !state.inside);
    try testing.expectEqual(1, state.activity);
    const cs_base = state.segments[0].base;
    const rip_index = 16;
    try testing.expectEqual(real.start, cs_base + state.general[rip_index]);
    var values: [18]u64 = undefined;
    @memcpy(&values, state.general);
    values[rip_index] += 2;
    try observe.setRegisters(rig.machine(), 0, &values);
    rig.machine().pause(false);
    try rig.expectExit(0x77);
    try rig.stop();
}
