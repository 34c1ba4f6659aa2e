//! Whether a host has the timer's deadline: what is tried, on a scripted KVM, and what is told.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const deadline = @import("deadline.zig");
const host = @import("host.zig");
const kernel_room = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const Call = kernel_room.Call;
const Scripted = scripted.Scripted;
const testing = std.testing;

const run_vcpu: scripted.What = .{ .request = kvm.run_vcpu };

/// The trial's guest has stored to the MSR.
fn stores(kernel: *Scripted, _: Call) usize {
    return script_rig.storesMsr(kernel, deadline.msr, 0x55aa);
}

fn halts(kernel: *Scripted, _: Call) usize {
    kernel.run.?.exit_reason = 5;
    return 0;
}

test "whether the store comes out is tried, in spite of signals, and leaves nothing behind" {
    for ([_]scripted.Answer{ .{ .does = stores }, .{ .does = halts } }, 0..) |answer, i| {
        var kernel: Scripted = .init(testing.allocator);
        kernel.install();
        defer kernel.remove();
        kernel.next(run_vcpu, .{ .fails = .INTR }, 2);
        kernel.next(run_vcpu, answer, 1);
        const system = try kvm.System.open();
        try testing.expectEqual(i == 0, try deadline.comesOut(system));
        system.close();
        try kernel.expectNothingLeft();
    }
}

/// KVM's table, which claims the feature for an APIC of its own.
fn claims(_: *Scripted, made: Call) usize {
    const table = made.at(kvm.Cpuid, 2);
    table.count = 2;
    table.entries[0] = std.mem.zeroInit(kvm.CpuidEntry, .{ .function = 1, .ecx = 0x0100_0001 });
    table.entries[1] = std.mem.zeroInit(kvm.CpuidEntry, .{ .function = 7, .ecx = 1 });
    return 0;
}

test "what a host tells of its processor has the deadline by what was tried" {
    for ([_]scripted.Answer{ .{ .does = stores }, .{ .does = halts } }, 0..) |answer, i| {
        var kernel: Scripted = .init(testing.allocator);
        kernel.install();
        defer kernel.remove();
        kernel.next(.{ .request = kvm.get_supported_cpuid }, .{ .does = claims }, 1);
        kernel.next(run_vcpu, answer, 1);
        const system = try kvm.System.open();
        defer system.close();
        var out: [4096]u8 = undefined;
        const length = try host.facts(testing.allocator, system, &out);
        var arena: std.heap.ArenaAllocator = .init(testing.allocator);
        defer arena.deinit();
        const facts = try codec.decodeStruct(abi.Facts, arena.allocator(), out[0..length]);
        try testing.expectEqual(i == 0, deadline.isShown(facts.cpuid));
        try testing.expectEqual(1, facts.cpuid[0].ecx & ~@as(u32, deadline.feature));
        try testing.expectEqual(1, facts.cpuid[1].ecx);
    }
}

test "a host without filters has no deadline, one without memory says so" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.install();
    defer kernel.remove();
    const system = try kvm.System.open();
    defer system.close();
    kernel.next(.{ .request = kvm.check_extension }, .{ .does = lacksFilter }, 10);
    try testing.expect(!try deadline.comesOut(system));
    kernel.rules.items.len = 0;
    kernel.next(.{ .request = kvm.create_vcpu }, .{ .fails = .NOMEM }, 1);
    try testing.expectError(error.OutOfMemory, deadline.comesOut(system));
}

fn lacksFilter(_: *Scripted, made: Call) usize {
    return @intFromBool(made.arguments[2] != kvm.cap_msr_filter);
}
