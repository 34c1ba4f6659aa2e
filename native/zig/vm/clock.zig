//! The guest's time stamp counter: zero at an agreed moment, the same on every node, whatever the
//! host's counter reads.

const std = @import("std");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");

/// Makes the guest's TSC count from CLOCK_MONOTONIC `zero_ns` at `khz`; before the vCPU runs.
/// PVM accepts it and changes nothing: there the guest reads the host's counter.
pub fn set(vcpu: *const kvm.Vcpu, zero_ns: u64, khz: u32, host_khz: u32) void {
    const elapsed_ns: u64 = linux.nowNs() -| zero_ns;
    const offset = ticks(elapsed_ns, khz) -% scaled(rdtsc(), khz, host_khz);
    // By offset where the attribute exists: it cannot be taken for a guest's own adjustment.
    vcpu.setTscOffset(offset) catch {
        vcpu.setTsc(ticks(elapsed_ns, khz)) catch {};
    };
}

fn ticks(ns: u64, khz: u32) u64 {
    return @truncate(@as(u128, ns) * khz / 1_000_000);
}

/// The host's counter at the guest's rate: KVM adds the offset after it scaled.
fn scaled(host: u64, khz: u32, host_khz: u32) u64 {
    std.debug.assert(host_khz > 0);
    return @truncate(@as(u128, host) * khz / host_khz);
}

fn rdtsc() u64 {
    var low: u32 = undefined;
    var high: u32 = undefined;
    asm volatile ("rdtsc"
        : [low] "={eax}" (low),
          [high] "={edx}" (high),
    );
    return @as(u64, high) << 32 | low;
}

test "a year at 3 GHz neither overflows nor loses a tick" {
    const year_ns: u64 = 365 * 86400 * std.time.ns_per_s;
    try std.testing.expectEqual(year_ns * 3, ticks(year_ns, 3_000_000));
    try std.testing.expectEqual(3 << 60, scaled(2 << 60, 3_000_000, 2_000_000));
    try std.testing.expectEqual(1 << 62, scaled(1 << 62, 2_499_999, 2_499_999));
}
