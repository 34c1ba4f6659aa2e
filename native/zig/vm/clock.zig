//! The guest's time stamp counter: zero at an agreed moment, the same on every vCPU of every node,
//! whatever the host's counter reads.
//!
//! Nothing is assumed of how KVM makes the guest's counter from the host's: within its tolerance
//! (tsc_tolerance_ppm, 250) it does not scale at all, whatever KVM_SET_TSC_KHZ was told. So the
//! offset follows from what the guest would read now.

const std = @import("std");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");

/// Readings of which the quickest counts: a thread may lose its CPU between two clocks.
const readings = 8;

/// Makes the guest's TSCs count from CLOCK_MONOTONIC `zero_ns` at `khz`; before the vCPUs run. All
/// of a node get one offset, since they share a counter. PVM accepts it and changes nothing: there
/// the guest reads the host's counter.
pub fn set(vcpus: anytype, zero_ns: u64, khz: u32) void {
    std.debug.assert(vcpus.len > 0 and khz > 0);
    if (offsetOf(&vcpus[0].kvm, zero_ns, khz)) |offset| {
        for (vcpus) |*vcpu| vcpu.kvm.setTscOffset(offset) catch {};
    } else |_| {
        // Linux before 5.16 has no offset: by value, which KVM matches up between vCPUs.
        for (vcpus) |*vcpu| vcpu.kvm.setTsc(ticks(linux.nowNs() -| zero_ns, khz)) catch {};
    }
}

/// What KVM must add, so that the guest reads the ticks since `zero_ns`.
fn offsetOf(vcpu: *const kvm.Vcpu, zero_ns: u64, khz: u32) !u64 {
    try vcpu.setTscOffset(0);
    var shortest_ns: u64 = std.math.maxInt(u64);
    var offset: u64 = 0;
    for (0..readings) |_| {
        const before_ns = linux.nowNs();
        const value = try vcpu.getTsc();
        const took_ns = linux.nowNs() - before_ns;
        if (took_ns >= shortest_ns) continue;
        shortest_ns = took_ns;
        offset = ticks((before_ns + took_ns / 2) -| zero_ns, khz) -% value;
    }
    return offset;
}

fn ticks(ns: u64, khz: u32) u64 {
    return @truncate(@as(u128, ns) * khz / 1_000_000);
}

test "a year at 3 GHz neither overflows nor loses a tick" {
    const year_ns: u64 = 365 * 86400 * std.time.ns_per_s;
    try std.testing.expectEqual(year_ns * 3, ticks(year_ns, 3_000_000));
}
