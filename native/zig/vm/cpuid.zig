//! The agreed CPUID table with what differs per vCPU: its APIC id.

const std = @import("std");
const abi = @import("../abi.zig");
const kvm = @import("../sys/kvm.zig");

pub fn give(
    allocator: std.mem.Allocator,
    vcpu: *const kvm.Vcpu,
    entries: []const abi.CpuidEntry,
    apic_id: u32,
) !void {
    const table = try allocator.create(kvm.Cpuid);
    defer allocator.destroy(table);
    fill(table, entries, apic_id);
    try vcpu.setCpuid(table);
}

fn fill(out: *kvm.Cpuid, entries: []const abi.CpuidEntry, apic_id: u32) void {
    std.debug.assert(entries.len <= kvm.cpuid_entries_max);
    out.count = @intCast(entries.len);
    out.padding = 0;
    for (entries, out.entries[0..entries.len]) |*from, *to| {
        to.* = .{
            .function = from.leaf,
            .index = from.index,
            .flags = from.flags,
            .eax = from.eax,
            .ebx = from.ebx,
            .ecx = from.ecx,
            .edx = from.edx,
        };
        patch(to, apic_id);
    }
}

fn patch(entry: *kvm.CpuidEntry, apic_id: u32) void {
    switch (entry.function) {
        1 => entry.ebx = (entry.ebx & 0x00ff_ffff) | (apic_id & 0xff) << 24,
        0xb, 0x1f => entry.edx = apic_id,
        0x8000_001e => entry.eax = apic_id,
        else => {},
    }
}

test "the APIC id lands where the manuals say" {
    const one: abi.CpuidEntry = .{
        .leaf = 1,
        .index = 0,
        .flags = 0,
        .eax = 7,
        .ebx = 0x5502_1234,
        .ecx = 0,
        .edx = 0,
    };
    var out: kvm.Cpuid = .{ .entries = undefined };
    fill(&out, &.{one}, 3);
    try std.testing.expectEqual(0x0302_1234, out.entries[0].ebx);
    try std.testing.expectEqual(7, out.entries[0].eax);
}
