//! What this host's KVM offers, for the agreement of the nodes.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const deadline = @import("deadline.zig");
const kvm = @import("../sys/kvm.zig");

/// Writes abi.Facts into `out`; returns the bytes used.
pub fn facts(allocator: std.mem.Allocator, system: kvm.System, out: []u8) !usize {
    const table = try allocator.create(kvm.Cpuid);
    defer allocator.destroy(table);
    try system.supportedCpuid(table);
    const count = @min(table.count, kvm.cpuid_entries_max);
    const entries = try allocator.alloc(abi.CpuidEntry, count);
    defer allocator.free(entries);
    var vendor: [12]u8 = @splat(0);
    var bits: u8 = 36;
    var xcr0: u64 = 1;
    const has_deadline = try deadline.comesOut(system);
    for (table.entries[0..count], entries) |*from, *to| {
        to.* = .{
            .leaf = from.function,
            .index = from.index,
            .flags = from.flags,
            .eax = from.eax,
            .ebx = from.ebx,
            .ecx = from.ecx,
            .edx = from.edx,
        };
        switch (from.function) {
            0 => for ([_]u32{ from.ebx, from.edx, from.ecx }, 0..) |word, i| {
                std.mem.writeInt(u32, vendor[4 * i ..][0..4], word, .little);
            },
            // Newer kernels claim it, of an APIC of their own.
            1 => to.ecx = to.ecx & ~@as(u32, deadline.feature) |
                if (has_deadline) @as(u32, deadline.feature) else 0,
            0xd => if (from.index == 0) {
                xcr0 = @as(u64, from.edx) << 32 | from.eax;
            },
            0x8000_0008 => bits = @truncate(from.eax),
            else => {},
        }
    }
    const result: abi.Facts = .{
        .vendor = &vendor,
        .cpuid = entries,
        .tsc_khz = try tscKhz(system),
        .physical_address_bits = bits,
        .xcr0 = xcr0,
    };
    const used = codec.encodeStruct(abi.Facts, &result, out) orelse return error.NoBufferSpace;
    return used.len;
}

/// The rate a new vCPU has: the host's.
fn tscKhz(system: kvm.System) !u32 {
    const vm = try system.createVm();
    defer vm.close();
    const vcpu = try vm.createVcpu(0);
    defer vcpu.close();
    return vcpu.tscKhz();
}
