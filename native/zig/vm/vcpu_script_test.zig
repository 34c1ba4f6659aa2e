//! The loop of a vCPU on a scripted KVM: what KVM_RUN answers on broken hosts and at unlucky
//! moments. Each end is one sentence with the registers.
//!
//! Long because every answer of KVM_RUN has its test here, and they share one rig.

const std = @import("std");
const abi = @import("../abi.zig");
const kernel_room = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const mailbox = @import("mailbox.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const Call = kernel_room.Call;
const Rig = script_rig.Rig;
const Scripted = scripted.Scripted;
const debug_port = script_rig.debug_port;
const rigOf = script_rig.rigOf;
const failure = kernel_room.failure;
const testing = std.testing;

const run_vcpu: scripted.What = .{ .request = kvm.run_vcpu };
const port_exit = 2;
const halt_exit = 5;
const interrupted_exit = 10;

// What KVM_RUN leaves in the shared page.

fn portWrite(kernel: *Scripted, _: Call) usize {
    const page = kernel.run.?;
    page.exit_reason = port_exit;
    page.exit.io = .{
        .direction = 1,
        .size = 1,
        .port = debug_port,
        .count = 1,
        .data_offset = @sizeOf(kvm.Run),
    };
    const data: [*]u8 = @ptrCast(page);
    data[@sizeOf(kvm.Run)] = 0x55;
    return 0;
}

fn halt(kernel: *Scripted, _: Call) usize {
    kernel.run.?.exit_reason = halt_exit;
    return 0;
}

fn entryRefused(kernel: *Scripted, _: Call) usize {
    kernel.run.?.exit_reason = 9;
    kernel.run.?.exit.fail_entry = .{ .reason = 0x8000_0021, .cpu = 0 };
    return 0;
}

fn gaveUp(kernel: *Scripted, _: Call) usize {
    kernel.run.?.exit_reason = 17;
    kernel.run.?.exit.internal = .{ .suberror = 3, .ndata = 1, .data = @splat(0x80) };
    return 0;
}

fn notEmulated(kernel: *Scripted, _: Call) usize {
    kernel.run.?.exit_reason = 17;
    kernel.run.?.exit.emulation = .{
        .suberror = kvm.internal_emulation,
        .ndata = 4,
        .flags = kvm.emulation_has_instruction,
        .instruction_size = 3,
        .instruction = .{ 0xc5, 0xf8, 0x77 } ++ @as([12]u8, @splat(0)),
    };
    return 0;
}

fn caught(kernel: *Scripted, _: Call) usize {
    kernel.run.?.exit_reason = 1;
    kernel.run.?.exit.exception = .{ .vector = 17, .error_code = 0x1f };
    return 0;
}

fn strange(kernel: *Scripted, _: Call) usize {
    kernel.run.?.exit_reason = 99;
    return 0;
}

test "a vCPU that cannot go on says why, with its registers" {
    for ([_]struct { scripted.Answer, []const u8 }{
        .{ .{ .fails = .FAULT }, "KVM cannot go on with the guest (KVM_RUN: BadAddress)" },
        .{ .{ .fails = .NOMEM }, "KVM cannot go on with the guest (KVM_RUN: OutOfMemory)" },
        .{ .{ .does = entryRefused }, "KVM cannot enter the guest (hardware reason 80000021)" },
        .{ .{ .does = gaveUp }, "KVM gave up (internal error 3, 80)" },
        .{ .{ .does = notEmulated }, "KVM cannot emulate this instruction of the guest: c5f877" },
        .{ .{ .does = caught }, "KVM stopped at the guest's exception 17 (error code 1f)" },
        .{ .{ .does = strange }, "unknown exit 99" },
    }) |case| {
        var rig: Rig = undefined;
        try rig.init();
        defer rig.deinit();
        rig.kernel.next(run_vcpu, case[0], 1);
        rig.go();
        try rig.expectCrash(case[1]);
        try testing.expectEqual(1, rig.kernel.count(run_vcpu));
    }
}

test "registers that cannot be read are those of the last exit" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.vcpu().last_regs.rip = 0xf00d;
    rig.kernel.rules.items.len = 0;
    rig.kernel.next(.{ .request = kvm.get_regs }, .{ .fails = .INTR }, 1);
    rig.kernel.next(run_vcpu, .{ .fails = .IO }, 1);
    rig.kernel.run.?.kvm_valid_regs = 0;
    rig.go();
    try rig.expectCrash("KVM cannot go on with the guest (KVM_RUN: Unexpected)");
}

test "an entry that was interrupted is made again and repeats no exit" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(run_vcpu, .{ .does = portWrite }, 1);
    rig.kernel.next(run_vcpu, .{ .fails = .INTR }, 3);
    rig.kernel.next(run_vcpu, .{ .fails = .AGAIN }, 2);
    rig.kernel.next(run_vcpu, .{ .does = portWrite }, 1);
    rig.kernel.next(run_vcpu, .{ .does = entryRefused }, 1);
    rig.go();
    // Two port writes, not seven.
    for (0..2) |_| {
        var event: [1]abi.Event = undefined;
        try testing.expectEqual(1, rig.events.take(&event));
        try testing.expectEqual(@intFromEnum(abi.EventKind.debug_exit), event[0].kind);
        try testing.expectEqual(0x55, event[0].a);
    }
    try rig.expectCrash("KVM cannot enter the guest (hardware reason 80000021)");
    try testing.expectEqual(8, rig.kernel.count(run_vcpu));
}

test "a refused request outside of the guest ends the vCPU too" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.vcpu().apic.nmi_pending = true;
    rig.kernel.next(.{ .request = kvm.inject_nmi }, .{ .fails = .INVAL }, 1);
    rig.go();
    try rig.expectCrash("KVM refused a call: Unexpected");
    try testing.expectEqual(0, rig.kernel.count(run_vcpu));
}

test "no timer for the thread" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(.{ .call = .timer_create }, .{ .fails = .AGAIN }, 1);
    rig.go();
    try rig.expectCrash("no timer for the vCPU thread: Again");
    try testing.expectEqual(0, rig.kernel.count(run_vcpu));
}

/// Another thread's stop, between the vCPU's last look and its sleep.
fn stopBeforeSleep(kernel: *Scripted, made: Call) usize {
    const word = made.at(std.atomic.Value(u32), 0);
    const expected: u32 = @intCast(made.arguments[2]);
    const vcpu = rigOf(kernel).vcpu();
    // Other futexes are not asked about here.
    if (word != &vcpu.mailbox.kicks) return 0;
    vcpu.tell(.stop);
    // What the kernel looks at before it lets the thread sleep: were they still equal, the stop
    // would be slept through.
    if (word.load(.seq_cst) == expected) @panic("a stop is slept through");
    return failure(.AGAIN);
}

test "a stop that comes just before the sleep of a halted vCPU is not lost" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(run_vcpu, .{ .does = halt }, 1);
    rig.kernel.next(.{ .call = .futex }, .{ .does = stopBeforeSleep }, 1);
    rig.go();
    try testing.expectEqual(0, rig.events.length);
    try testing.expectEqual(1, rig.kernel.count(run_vcpu));
    try testing.expectEqual(mailbox.Command.stop, rig.vcpu().mailbox.read());
}

/// A kick by another thread when the vCPU has made its last look and is about to enter.
fn kickedAtEntry(kernel: *Scripted, _: Call) usize {
    const vcpu = rigOf(kernel).vcpu();
    vcpu.tell(.stop);
    // The real KVM_RUN looks at immediate_exit first.
    return if (kernel.run.?.immediate_exit == 1) failure(.INTR) else 0;
}

test "a stop that comes just before the entry makes the entry return" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(run_vcpu, .{ .does = kickedAtEntry }, 1);
    rig.go();
    try testing.expectEqual(0, rig.events.length);
    try testing.expectEqual(1, rig.kernel.count(run_vcpu));
    // The thread was signalled as well: it may have been inside already.
    try testing.expectEqual(1, rig.kernel.count(.{ .call = .tgkill }));
}

/// Another thread's kick while the guest runs.
fn kickedInside(kernel: *Scripted, _: Call) usize {
    rigOf(kernel).vcpu().kick();
    return failure(.INTR);
}

fn portWriteUnlessKicked(kernel: *Scripted, made: Call) usize {
    return if (kernel.run.?.immediate_exit == 1) failure(.INTR) else portWrite(kernel, made);
}

test "a kick makes one entry return, not those after it" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(run_vcpu, .{ .does = kickedInside }, 1);
    rig.kernel.next(run_vcpu, .{ .does = portWriteUnlessKicked }, 1);
    rig.kernel.next(run_vcpu, .{ .does = entryRefused }, 1);
    rig.go();
    var event: [1]abi.Event = undefined;
    try testing.expectEqual(1, rig.events.take(&event));
    try testing.expectEqual(@intFromEnum(abi.EventKind.debug_exit), event[0].kind);
    try rig.expectCrash("KVM cannot enter the guest (hardware reason 80000021)");
}

const halt_at = 0x1000;

/// The guest may take interrupts again, with a `hlt` before it.
fn interruptedAtHalt(kernel: *Scripted, _: Call) usize {
    const page = kernel.run.?;
    page.exit_reason = interrupted_exit;
    page.sync_regs.rip = halt_at;
    page.if_flag = 1;
    page.ready_for_interrupt_injection = 1;
    return failure(.INTR);
}

fn translated(_: *Scripted, made: Call) usize {
    const translation = made.at(kvm.Translation, 2);
    translation.physical = translation.linear;
    translation.valid = 1;
    return 0;
}

fn behindHalt(_: *Scripted, made: Call) usize {
    if (made.at(kvm.Regs, 2).rip != halt_at + 1) @panic("not behind the HLT");
    return 0;
}

/// An interrupt that is to be injected at the instruction; returns what was asked of KVM.
fn expectAtInstruction(code: u8, forgets_shadow: bool, requests: []const u32) !void {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.machine.forgets_shadow = forgets_shadow;
    rig.engine.memory.guest[halt_at] = code;
    rig.vcpu().apic.svr = 0x1ff;
    rig.vcpu().apic.accept(0x41, false);
    rig.kernel.next(run_vcpu, .{ .does = interruptedAtHalt }, 1);
    rig.kernel.next(.{ .request = kvm.translate_address }, .{ .does = translated }, 1);
    rig.kernel.next(.{ .request = kvm.set_regs }, .{ .does = behindHalt }, 1);
    rig.kernel.next(run_vcpu, .{ .does = kickedAtEntry }, 1);
    rig.go();
    try rig.kernel.expectRequests(requests);
}

test "where the processor forgets the shadow of sti, an interrupt comes behind the halt" {
    const run = kvm.run_vcpu;
    const inject = kvm.inject_interrupt;
    const hlt = 0xf4;
    const nop = 0x90;
    try expectAtInstruction(hlt, true, &.{ run, kvm.translate_address, kvm.set_regs, inject, run });
    try expectAtInstruction(nop, true, &.{ run, kvm.translate_address, inject, run });
    try expectAtInstruction(hlt, false, &.{ run, inject, run });
}

/// Completes the last exit as KVM does: only where the entry may go no further.
fn completes(kernel: *Scripted, _: Call) usize {
    return if (kernel.run.?.immediate_exit == 1) failure(.INTR) else failure(.FAULT);
}

test "INIT completes the last exit before it sets registers" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.vcpu().apic.requestInit();
    rig.kernel.next(run_vcpu, .{ .does = completes }, 1);
    rig.kernel.next(.{ .call = .futex }, .{ .does = stopBeforeSleep }, 1);
    rig.go();
    try testing.expectEqual(0, rig.events.length);
    try rig.kernel.expectRequests(&.{
        kvm.run_vcpu,
        kvm.get_vcpu_events,
        kvm.set_vcpu_events,
        kvm.set_debugregs,
    });
}

test "threads that are refused leave nothing running" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try testing.expectError(error.ThreadQuotaExceeded, rig.machine.run(0, 2_000_000));
    // Another node has the devices: the refused thread is the vCPU's own.
    rig.machine.board_node = 1;
    try testing.expectError(error.ThreadQuotaExceeded, rig.machine.run(0, 2_000_000));
    try testing.expectEqual(0, rig.machine.alive.load(.acquire));
    rig.machine.board_node = 0;
}

/// The guest has interrupts off; what comes for it must be seen as soon as it allows them.
fn windowAsked(kernel: *Scripted, _: Call) usize {
    const asked = kernel.run.?.request_interrupt_window;
    rigOf(kernel).vcpu().tell(.stop);
    if (asked != 1) @panic("no window is asked for");
    return failure(.INTR);
}

test "an interrupt that cannot come yet asks for its window, whatever the processor forgets" {
    for ([_]bool{ false, true }) |forgets_shadow| {
        var rig: Rig = undefined;
        try rig.init();
        defer rig.deinit();
        rig.machine.forgets_shadow = forgets_shadow;
        rig.vcpu().apic.svr = 0x1ff;
        rig.vcpu().apic.accept(0x41, false);
        rig.kernel.next(run_vcpu, .{ .does = windowAsked }, 1);
        rig.go();
        try testing.expectEqual(0, rig.kernel.count(.{ .request = kvm.inject_interrupt }));
    }
}

/// The guest could take an interrupt, and halts.
fn haltsOpen(kernel: *Scripted, _: Call) usize {
    const page = kernel.run.?;
    page.exit_reason = halt_exit;
    page.if_flag = 1;
    page.ready_for_interrupt_injection = 1;
    return 0;
}

test "the timer's interrupt that a busy vCPU is spared comes at once when it halts" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    const apic = &rig.vcpu().apic;
    apic.svr = 0x1ff;
    apic.lvt[0] = 0x55;
    apic.timer.start(1, 1);
    apic.pace.until_ns = std.math.maxInt(u64);
    rig.kernel.run.?.if_flag = 1;
    rig.kernel.run.?.ready_for_interrupt_injection = 1;
    rig.kernel.next(run_vcpu, .{ .does = haltsOpen }, 1);
    rig.kernel.next(.{ .request = kvm.inject_interrupt }, .{ .fails = .INVAL }, 1);
    rig.go();
    // Injected, which ends this vCPU, after it has run once.
    try rig.expectCrash("KVM refused a call: Unexpected");
    try testing.expectEqual(1, rig.kernel.count(run_vcpu));
    try testing.expectEqual(1, rig.kernel.count(.{ .request = kvm.inject_interrupt }));
}
