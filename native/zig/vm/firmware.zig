//! What firmware would have set in a processor's MSRs before a kernel reads them. KVM resets them
//! to what no PC starts a kernel with.

const std = @import("std");
const abi = @import("../abi.zig");

pub const Setting = struct { index: u32, value: u64 };

/// IA32_MISC_ENABLE: fast strings; branch trace storage and PEBS are unavailable, as KVM has it.
/// Without the first Linux copies and clears memory without REP MOVSB and STOSB.
const intel: Setting = .{ .index = 0x1a0, .value = 1 | 1 << 11 | 1 << 12 };
/// HWCR.TscFreqSel: the TSC counts at the frequency of P0. Without it Linux tells of a bug of the
/// firmware's. KVM takes it since Linux 6.7.
const amd: Setting = .{ .index = 0xc001_0015, .value = 1 << 24 };

/// By the vendor that the guest's CPUID names. Every vCPU must get it: Linux warns where processors
/// differ.
pub fn setting(cpuid: []const abi.CpuidEntry) ?Setting {
    for (cpuid) |*entry| {
        if (entry.leaf != 0) continue;
        const vendor: [3]u32 = .{ entry.ebx, entry.edx, entry.ecx };
        const name = std.mem.asBytes(&vendor);
        if (std.mem.eql(u8, name, "GenuineIntel")) return intel;
        const of_amd = std.mem.eql(u8, name, "AuthenticAMD");
        if (of_amd or std.mem.eql(u8, name, "HygonGenuine")) return amd;
    }
    return null;
}

/// Leaf 0 of this vendor, for tests.
pub fn vendorLeaf(name: *const [12]u8) abi.CpuidEntry {
    return std.mem.zeroInit(abi.CpuidEntry, .{
        .ebx = std.mem.readInt(u32, name[0..4], .little),
        .edx = std.mem.readInt(u32, name[4..8], .little),
        .ecx = std.mem.readInt(u32, name[8..12], .little),
    });
}

test "what is set follows from the vendor, and from nothing but leaf 0" {
    const expectEqual = std.testing.expectEqual;
    const other = std.mem.zeroInit(abi.CpuidEntry, .{ .leaf = 1 });
    const fast_strings: Setting = .{ .index = 0x1a0, .value = 0x1801 };
    try expectEqual(fast_strings, setting(&.{ other, vendorLeaf("GenuineIntel") }));
    const p0: Setting = .{ .index = 0xc0010015, .value = 0x100_0000 };
    for ([_]*const [12]u8{ "AuthenticAMD", "HygonGenuine" }) |name| {
        try expectEqual(p0, setting(&.{vendorLeaf(name)}));
    }
    try expectEqual(null, setting(&.{vendorLeaf("CentaurHauls")}));
    var elsewhere = vendorLeaf("GenuineIntel");
    elsewhere.leaf = 0x8000_0000;
    try expectEqual(null, setting(&.{elsewhere}));
    try expectEqual(null, setting(&.{}));
}
