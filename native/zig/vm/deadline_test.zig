//! The timer by time stamps: a few guest bytes where KVM lets its MSR out, and the vCPU's loop on a
//! scripted KVM.

const std = @import("std");
const abi = @import("../abi.zig");
const deadline = @import("deadline.zig");
const kernel_room = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const machine_test = @import("machine_test.zig");
const rig_room = @import("rig.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const ApicEffects = @import("../apic/local.zig").Effects;
const Call = kernel_room.Call;
const Rig = rig_room.Rig;
const Scripted = scripted.Scripted;
const ScriptRig = script_rig.Rig;
const failure = kernel_room.failure;
const rigOf = script_rig.rigOf;
const testing = std.testing;
const wrmsr = machine_test.wrmsr;

const vector = 0x20;
const mode = 0x4_0000;

/// One vCPU, whose timer waits for time stamps; skips where no host can have that.
fn start(comptime code: []const u8, comptime handler: []const u8) !Rig {
    var rig = try Rig.init(1);
    errdefer rig.deinit();
    const system = try kvm.System.open();
    defer system.close();
    if (!try deadline.comesOut(system)) {
        std.debug.print("skipped: KVM swallows the timer's deadline here\n", .{});
        return error.SkipZigTest;
    }
    const timer = machine_test.x2apic_on ++ wrmsr(0x832, mode | vector, 0);
    rig.put(rig_room.start, &(timer ++ code[0..code.len].*));
    rig.put(0x2000, handler);
    rig.handler(vector, 0x2000);
    try rig.go();
    return rig;
}

test "the timer fires when the time stamp is reached, not before, and is disarmed then" {
    var rig = try start(&.{
        0x0f, 0x31, //                                   rdtsc
        0x66, 0x05, 0x40, 0x42, 0x0f, 0x00, //           add    eax,1000000
        0x66, 0x83, 0xd2, 0x00, //                       adc    edx,0
        0x66, 0xa3, 0x00, 0x50, //                       mov    [0x5000],eax
        0x66, 0x89, 0x16, 0x04, 0x50, //                 mov    [0x5004],edx
        0x66, 0xb9, 0xe0, 0x06, 0x00, 0x00, //           mov    ecx,0x6e0
        0x0f, 0x30, //                                   wrmsr
        0xfb, //                                 0:      sti
        0xf4, //                                         hlt
        0xeb, 0xfc, //                                   jmp    0
    }, &.{
        0x0f, 0x31, //                                   rdtsc
        0x66, 0x2b, 0x06, 0x00, 0x50, //                 sub    eax,[0x5000]
        0x66, 0x1b, 0x16, 0x04, 0x50, //                 sbb    edx,[0x5004]
        0x72, 0x16, //                                   jb     1: too early
        0x66, 0xb9, 0xe0, 0x06, 0x00, 0x00, //           mov    ecx,0x6e0
        0x0f, 0x32, //                                   rdmsr
        0x66, 0x09, 0xd0, //                             or     eax,edx
        0x75, 0x09, //                                   jne    1
        0xb0, 0x77, //                                   mov    al,0x77
        0xe6, 0xf4, //                                   out    0xf4,al
        0xf4, //                                         hlt
        0x90, 0x90, 0x90, 0x90, //
        0xb0, 0x66, //                           1:      mov    al,0x66
        0xe6, 0xf4, //                                   out    0xf4,al
        0xf4, //                                         hlt
    });
    defer rig.deinit();
    try rig.expectExit(0x77);
    try rig.stop();
}

test "the MSR reads what is waited for, and nothing once that is called off" {
    var rig = try start(&.{
        0x0f, 0x31, //                                   rdtsc
        0x66, 0x81, 0xc2, 0x00, 0x10, 0x00, 0x00, //     add    edx,0x1000: hours
        0x66, 0xa3, 0x00, 0x50, //                       mov    [0x5000],eax
        0x66, 0x89, 0x16, 0x04, 0x50, //                 mov    [0x5004],edx
        0x66, 0xb9, 0xe0, 0x06, 0x00, 0x00, //           mov    ecx,0x6e0
        0x0f, 0x30, //                                   wrmsr
        0x0f, 0x32, //                                   rdmsr
        0x66, 0xa3, 0x08, 0x50, //                       mov    [0x5008],eax
        0x66, 0x89, 0x16, 0x0c, 0x50, //                 mov    [0x500c],edx
        0x66, 0x31, 0xc0, //                             xor    eax,eax
        0x66, 0x31, 0xd2, //                             xor    edx,edx
        0x0f, 0x30, //                                   wrmsr
        0x66, 0xf7, 0xd0, //                             not    eax
        0x0f, 0x32, //                                   rdmsr
        0xe6, 0xf4, //                                   out    0xf4,al
        0xf4, //                                         hlt
    }, &.{});
    defer rig.deinit();
    try rig.expectExit(0);
    const memory = rig.memory()[0x5000..0x5010];
    try testing.expectEqualSlices(u8, memory[0..8], memory[8..16]);
    try testing.expectEqual(0, rig.vcpu(0).apic.tscDeadline());
    try rig.stop();
}

const run_vcpu: scripted.What = .{ .request = kvm.run_vcpu };
const wanted = 1000;

/// The guest has got as far as it goes.
fn over(kernel: *Scripted, _: Call) usize {
    rigOf(kernel).vcpu().tell(.stop);
    return failure(.INTR);
}

fn readsLess(_: *Scripted, made: Call) usize {
    made.at(kvm.Msrs, 2).entry.data = wanted - 1;
    return 1;
}

fn readsIt(_: *Scripted, made: Call) usize {
    made.at(kvm.Msrs, 2).entry.data = wanted;
    return 1;
}

/// vCPU 0 with a deadline that has passed by the host's clock.
fn dueByClock(rig: *ScriptRig) void {
    var effects: ApicEffects = .{};
    const apic = &rig.vcpu().apic;
    apic.has_deadline = true;
    apic.mmioWrite(0xf0, 0x1ff, 0, &effects);
    apic.mmioWrite(0x320, mode | vector, 0, &effects);
    apic.setTscDeadline(wanted, linux.nowNs(), 0);
}

test "a deadline that is due by the host's clock waits for the guest's" {
    for ([_]bool{ true, false }) |reached| {
        var rig: ScriptRig = undefined;
        try rig.init();
        defer rig.deinit();
        dueByClock(&rig);
        const answer: scripted.Answer = .{ .does = if (reached) readsIt else readsLess };
        rig.kernel.next(.{ .request = kvm.get_msrs }, answer, 2);
        rig.kernel.next(run_vcpu, .{ .does = over }, 1);
        rig.go();
        const expected: ?u8 = if (reached) vector else null;
        try testing.expectEqual(expected, rig.vcpu().apic.deliverable());
        try testing.expectEqual(reached, rig.vcpu().apic.tscDeadline() == 0);
    }
}

/// Another thread lets the TSC step while the vCPU is in the guest.
fn steps(kernel: *Scripted, _: Call) usize {
    const machine = rigOf(kernel).machine;
    machine.tsc.advance(machine.vcpus, 0, 1, linux.nowNs()) catch @panic("refused");
    return failure(.INTR);
}

test "a step of the TSC brings a deadline nearer" {
    var rig: ScriptRig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.machine.tsc.base = .{ .rule = .offset };
    dueByClock(&rig);
    // Not for an hour.
    rig.vcpu().apic.retime(linux.nowNs() + std.time.ns_per_hour);
    rig.kernel.next(run_vcpu, .{ .does = steps }, 1);
    rig.kernel.next(.{ .request = kvm.get_msrs }, .{ .does = readsIt }, 2);
    rig.kernel.next(run_vcpu, .{ .does = over }, 1);
    rig.go();
    try testing.expectEqual(vector, rig.vcpu().apic.deliverable().?);
}

fn interrupted(_: *Scripted, _: Call) usize {
    return failure(.INTR);
}

test "a deadline that has come and is kept back is asked for once" {
    var rig: ScriptRig = undefined;
    try rig.init();
    defer rig.deinit();
    dueByClock(&rig);
    rig.vcpu().apic.pace.until_ns = linux.nowNs() + std.time.ns_per_hour;
    rig.kernel.next(.{ .request = kvm.get_msrs }, .{ .does = readsIt }, 9);
    rig.kernel.next(run_vcpu, .{ .does = interrupted }, 3);
    rig.kernel.next(run_vcpu, .{ .does = over }, 1);
    rig.go();
    try testing.expectEqual(1, rig.kernel.count(.{ .request = kvm.get_msrs }));
    try testing.expectEqual(null, rig.vcpu().apic.deliverable());
    try testing.expectEqual(wanted, rig.vcpu().apic.tscDeadline());
}

test "one that is masked waits for the guest's clock, too" {
    var rig: ScriptRig = undefined;
    try rig.init();
    defer rig.deinit();
    dueByClock(&rig);
    var effects: ApicEffects = .{};
    rig.vcpu().apic.mmioWrite(0x320, mode | 1 << 16 | vector, 0, &effects);
    rig.kernel.next(.{ .request = kvm.get_msrs }, .{ .does = readsLess }, 2);
    rig.kernel.next(run_vcpu, .{ .does = over }, 1);
    rig.go();
    try testing.expectEqual(wanted, rig.vcpu().apic.tscDeadline());
}

test "a store to the timer finds a deadline that is due by the host's clock alone unfired" {
    var rig: ScriptRig = undefined;
    try rig.init();
    defer rig.deinit();
    dueByClock(&rig);
    // Neither when it enters nor when it stores the next one, which is far away.
    rig.kernel.next(.{ .request = kvm.get_msrs }, .{ .does = readsLess }, 8);
    rig.kernel.next(run_vcpu, .{ .does = storesNext }, 1);
    rig.kernel.next(run_vcpu, .{ .does = over }, 1);
    rig.go();
    try testing.expectEqual(null, rig.vcpu().apic.deliverable());
    try testing.expectEqual(next, rig.vcpu().apic.tscDeadline());
}

const next = 1 << 60;

fn storesNext(kernel: *Scripted, _: Call) usize {
    // Time goes by, as the host's clock takes it.
    rigOf(kernel).vcpu().apic.retime(linux.nowNs());
    return script_rig.storesMsr(kernel, deadline.msr, next);
}

fn storesDeadline(kernel: *Scripted, _: Call) usize {
    return script_rig.storesMsr(kernel, deadline.msr, wanted);
}

test "a store that KVM cannot time ends the vCPU by a sentence" {
    var rig: ScriptRig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(run_vcpu, .{ .does = storesDeadline }, 1);
    rig.kernel.next(.{ .request = kvm.get_msrs }, .{ .fails = .INVAL }, 1);
    rig.go();
    try rig.expectCrash("KVM refused a call: Unexpected");
}

test "the bit is shown when the table has it" {
    const entry = std.mem.zeroInit(abi.CpuidEntry, .{ .leaf = 1, .ecx = deadline.feature });
    try testing.expect(deadline.isShown(&.{entry}));
    const without = std.mem.zeroInit(abi.CpuidEntry, .{ .leaf = 1 });
    try testing.expect(!deadline.isShown(&.{ without, std.mem.zeroInit(abi.CpuidEntry, .{
        .leaf = 7,
        .ecx = deadline.feature,
    }) }));
    try testing.expect(!deadline.isShown(&.{}));
}
