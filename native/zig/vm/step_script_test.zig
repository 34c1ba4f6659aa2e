//! A step of the guest's TSC in the loop of a vCPU, on a scripted KVM: when it is made, and when
//! KVM hears of it.

const kernel_room = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const std = @import("std");
const Call = kernel_room.Call;
const Rig = script_rig.Rig;
const Scripted = scripted.Scripted;
const failure = kernel_room.failure;
const rigOf = script_rig.rigOf;
const testing = std.testing;

const run_vcpu: scripted.What = .{ .request = kvm.run_vcpu };

/// The guest is over: a kick when the vCPU is about to enter.
fn kickedAtEntry(kernel: *Scripted, _: Call) usize {
    rigOf(kernel).vcpu().tell(.stop);
    return if (kernel.run.?.immediate_exit == 1) failure(.INTR) else failure(.FAULT);
}

const step_ticks = 12_345;
const guest_offset = 1000;

/// Another thread wants the TSC to step while the vCPU is in the guest.
fn stepWanted(kernel: *Scripted, _: Call) usize {
    const machine = rigOf(kernel).machine;
    machine.tsc.advance(machine.vcpus, 0, step_ticks, linux.nowNs()) catch @panic("refused");
    if (machine.tsc.advanced.load(.seq_cst) != 0) @panic("a step while a vCPU is inside");
    return if (kernel.run.?.immediate_exit == 1) failure(.INTR) else failure(.FAULT);
}

fn offsetRead(_: *Scripted, made: Call) usize {
    const offset: *u64 = @ptrFromInt(made.at(kvm.DeviceAttr, 2).address);
    offset.* = guest_offset;
    return 0;
}

fn offsetSet(_: *Scripted, made: Call) usize {
    const offset: *const u64 = @ptrFromInt(made.at(kvm.DeviceAttr, 2).address);
    if (offset.* != guest_offset + step_ticks) @panic("another offset");
    return 0;
}

test "a step of the TSC is made outside of the guest, and known to KVM before the next entry" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.machine.tsc.base = .{ .rule = .offset };
    rig.kernel.next(run_vcpu, .{ .does = stepWanted }, 1);
    rig.kernel.next(.{ .request = kvm.get_device_attr }, .{ .does = offsetRead }, 1);
    rig.kernel.next(.{ .request = kvm.set_device_attr }, .{ .does = offsetSet }, 1);
    rig.kernel.next(run_vcpu, .{ .does = kickedAtEntry }, 1);
    rig.go();
    const run = kvm.run_vcpu;
    try rig.kernel.expectRequests(&.{ run, kvm.get_device_attr, kvm.set_device_attr, run });
    try testing.expectEqual(step_ticks, rig.machine.tsc.advanced.load(.seq_cst));
}

test "a vCPU that finds the gate closed does not enter before the step" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    const tsc = &rig.machine.tsc;
    rig.vcpu().mailbox.inside.store(true, .seq_cst);
    tsc.base = .{ .rule = .offset };
    // Wanted while it was inside; it has come out and would go in again.
    try tsc.advance(rig.machine.vcpus, 0, step_ticks, linux.nowNs() + std.time.ns_per_hour);
    try testing.expect(tsc.closed());
    rig.kernel.calls = .empty;
    rig.kernel.next(.{ .request = kvm.get_device_attr }, .{ .does = offsetRead }, 1);
    rig.kernel.next(.{ .request = kvm.set_device_attr }, .{ .does = offsetSet }, 1);
    rig.kernel.next(run_vcpu, .{ .does = kickedAtEntry }, 1);
    rig.go();
    const run = kvm.run_vcpu;
    try rig.kernel.expectRequests(&.{ kvm.get_device_attr, kvm.set_device_attr, run });
}

test "an offset that KVM refuses ends the vCPU by a sentence" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.machine.tsc.base = .{ .rule = .offset };
    rig.kernel.next(run_vcpu, .{ .does = stepWanted }, 1);
    rig.kernel.next(.{ .request = kvm.set_device_attr }, .{ .fails = .INVAL }, 1);
    rig.go();
    try rig.expectCrash("KVM refused a call: Unexpected");
}
