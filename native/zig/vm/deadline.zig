//! The local APIC's timer by time stamps (IA32_TSC_DEADLINE, SDM vol. 3A 11.5.4.1): the guest says
//! what its TSC will read when it fires. A kernel that has it measures no other timer, which on a
//! busy host goes wrong (docs/booting.md).
//!
//! Without an APIC of its own KVM takes that MSR and does nothing. A filter makes an exit of it,
//! but on Intel with its preemption timer, and on AMD since Linux 6.18, KVM swallows the store on
//! its quickest path, before any filter (handle_fastpath_set_msr_irqoff, arch/x86/kvm/x86.c). So
//! each host tries, and the guest is shown the mode when it works on all.
//!
//! What is known too early of when the TSC will be there is mended when that time has come. So
//! nothing here may be known too late, but by the difference of rates (tsc_tolerance_ppm), and of a
//! guest that sets its TSC forward itself.

const std = @import("std");
const abi = @import("../abi.zig");
const exits = @import("exit.zig");
const kvm = @import("../sys/kvm.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const Trial = @import("trial.zig").Trial;
const Vcpu = @import("vcpu.zig").Vcpu;

pub const msr = 0x6e0;
/// CPUID leaf 1, ECX.
pub const feature = 1 << 24;

/// Whether all nodes can do it.
pub fn isShown(table: []const abi.CpuidEntry) bool {
    for (table) |*entry| if (entry.leaf == 1) return entry.ecx & feature != 0;
    return false;
}

/// When the guest's TSC will read `tsc`, or since when it may have.
pub fn when(vcpu: *const Vcpu, tsc: u64) kvm.Error!u64 {
    // The thread may lose its CPU between the two.
    const now_ns = linux.nowNs();
    return after(now_ns, tsc -| try vcpu.kvm.getTsc(), vcpu.machine.tsc.khz);
}

/// So many ticks after `now_ns`, rounded up; a century counts as never.
fn after(now_ns: u64, ticks: u64, khz: u32) u64 {
    const ns = (@as(u128, ticks) * limits.ns_per_ms + khz - 1) / khz;
    return now_ns + @as(u64, @intCast(@min(ns, century_ns)));
}

const century_ns = 100 * 365 * 86_400 * std.time.ns_per_s;

/// Before the vCPU looks at its timer, or changes it, in its thread: what is due by the host's
/// clock may not be by the guest's. Asks once: what has come may be kept back (apic/pace.zig).
pub fn settle(vcpu: *Vcpu, now_ns: u64) kvm.Error!void {
    const tsc = vcpu.apic.tscDue(now_ns) orelse return;
    if (try vcpu.kvm.getTsc() < tsc) return renew(vcpu);
    vcpu.lock.lock();
    defer vcpu.lock.unlock();
    vcpu.apic.tscReached();
}

/// The guest's TSC has stepped; in the vCPU's thread.
pub fn renew(vcpu: *Vcpu) kvm.Error!void {
    const tsc = vcpu.apic.tscDeadline();
    if (tsc == 0) return;
    const at_ns = try when(vcpu, tsc);
    vcpu.lock.lock();
    defer vcpu.lock.unlock();
    vcpu.apic.retime(at_ns);
}

const store = [_]u8{
    0xb9, 0xe0, 0x06, 0x00, 0x00, //         mov    ecx,0x6e0
    0xb8, 0xaa, 0x55, 0x00, 0x00, //         mov    eax,0x55aa
    0x31, 0xd2, //                           xor    edx,edx
    0x0f, 0x30, //                           wrmsr
    0xf4, //                                 hlt
};

/// Whether a guest's store to the MSR comes out of this host's KVM. In protected mode, as on Intel
/// without unrestricted guests KVM emulates real mode itself.
pub fn comesOut(system: kvm.System) kvm.Error!bool {
    const trial: Trial = try .init(system, &store);
    defer trial.deinit();
    try trial.protectedMode();
    try trial.vm.exitOnUnknownMsrs();
    trial.vm.exitOnMsr(msr) catch |err| return if (err == error.Unsupported) false else err;
    const expected: exits.Exit = .{ .write_msr = .{ .index = msr, .value = 0x55aa } };
    return std.meta.eql(try trial.run(), expected);
}

test "ticks as time, rounded up, and a deadline that never comes" {
    try std.testing.expectEqual(1000, after(1000, 0, 2_000_000));
    try std.testing.expectEqual(1001, after(1000, 1, 2_000_000));
    try std.testing.expectEqual(1001, after(1000, 2, 2_000_000));
    try std.testing.expectEqual(1000 + 500_000_000, after(1000, 1_000_000_000, 2_000_000));
    const last = std.math.maxInt(u64);
    try std.testing.expectEqual(1000 + century_ns, after(1000, last, 1));
}
