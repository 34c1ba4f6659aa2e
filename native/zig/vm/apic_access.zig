//! A vCPU's accesses to its own local APIC, in its thread: by MMIO (xAPIC) or by MSR exits (x2APIC,
//! and the timer's deadline). What such an access asks of the world is carried out after the vCPU's
//! lock is released.

const std = @import("std");
const deadline = @import("deadline.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const Effects = @import("../apic/local.zig").Effects;
const Vcpu = @import("vcpu.zig").Vcpu;

const page: u64 = 0xfee0_0000;

/// Any MMIO exit; what is not the APIC's page goes to the bus.
pub fn mmio(vcpu: *Vcpu, write: bool, address: u64, data: []u8) kvm.Error!void {
    if (address & ~@as(u64, 0xfff) != page or vcpu.apic.x2apic()) {
        return vcpu.machine.bus.access(vcpu, .{
            .space = .mmio,
            .write = write,
            .address = address,
            .size = @intCast(data.len),
            .count = 1,
        }, data);
    }
    var effects: Effects = .{};
    const offset: u12 = @truncate(address);
    const now_ns = linux.nowNs();
    if (write) try deadline.settle(vcpu, now_ns);
    vcpu.lock.lock();
    if (write) {
        // Registers take aligned 32-bit stores; others are undefined (SDM 11.4.1).
        if (data.len == 4) {
            const value = std.mem.readInt(u32, data[0..4], .little);
            vcpu.apic.mmioWrite(offset, value, now_ns, &effects);
        }
    } else {
        const word = vcpu.apic.mmioRead(offset, now_ns);
        var bytes: [8]u8 = @splat(0);
        std.mem.writeInt(u32, bytes[0..4], word, .little);
        const shift = offset & 3;
        for (data, 0..) |*byte, i| byte.* = if (shift + i < 4) bytes[shift + i] else 0;
    }
    vcpu.lock.unlock();
    vcpu.machine.carryOut(vcpu, &effects);
}

/// An MSR neither KVM nor the APIC knows is #GP, as on a processor.
pub fn readMsr(vcpu: *Vcpu, index: u32) void {
    vcpu.lock.lock();
    defer vcpu.lock.unlock();
    const value = if (index == deadline.msr)
        vcpu.apic.tscDeadline()
    else
        vcpu.apic.msrRead(index, linux.nowNs());
    vcpu.kvm.run.exit.msr.failed = @intFromBool(value == null);
    vcpu.kvm.run.exit.msr.data = value orelse 0;
}

pub fn writeMsr(vcpu: *Vcpu, index: u32, value: u64) kvm.Error!void {
    var effects: Effects = .{};
    const now_ns = linux.nowNs();
    try deadline.settle(vcpu, now_ns);
    const sets_deadline = index == deadline.msr;
    const at_ns = if (sets_deadline and value != 0) try deadline.when(vcpu, value) else 0;
    vcpu.lock.lock();
    if (sets_deadline) vcpu.apic.setTscDeadline(value, at_ns, now_ns);
    const taken = sets_deadline or vcpu.apic.msrWrite(index, value, now_ns, &effects);
    vcpu.lock.unlock();
    vcpu.kvm.run.exit.msr.failed = @intFromBool(!taken);
    vcpu.machine.carryOut(vcpu, &effects);
}
