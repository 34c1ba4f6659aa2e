//! The guest's time stamp counter: zero at an agreed moment, the same on every vCPU of every node,
//! whatever the host's counter reads.
//!
//! Nothing is assumed of how KVM makes the guest's counter from the host's: within its tolerance
//! (tsc_tolerance_ppm, 250) it does not scale at all, whatever KVM_SET_TSC_KHZ was told. So the
//! offset follows from what the guest would read now.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");

/// Readings of which the quickest counts: a thread may lose its CPU between two clocks.
const readings = 8;
/// There while KVM runs guests in software on this host.
const pvm_module = "/sys/module/kvm_pvm";

/// How the guest's counter follows from the host's.
pub const Base = struct {
    rule: Rule = .unset,
    offset: u64 = 0,

    pub const Rule = enum {
        unset,
        /// The host's counter and `offset`, which KVM changes when told to.
        offset,
        /// The host's counter itself, whatever offset KVM accepts.
        host,
        /// Scaled or set by value: cannot be told from the host's counter, nor changed.
        other,
    };

    /// What the guest would read where nothing but the offset given at the start counts.
    pub fn count(self: Base) u64 {
        return hostTicks() +% if (self.rule == .host) 0 else self.offset;
    }
};

/// Makes the guest's TSCs count from CLOCK_MONOTONIC `zero_ns` at `khz`; before the vCPUs run. All
/// of a node get one offset, since they share a counter. PVM accepts it and changes nothing for
/// what runs natively, outside of ring 0: there the guest reads the host's counter.
pub fn set(vcpus: anytype, zero_ns: u64, khz: u32) Base {
    std.debug.assert(vcpus.len > 0 and khz > 0);
    if (offsetOf(&vcpus[0].kvm, zero_ns, khz)) |offset| {
        var all = true;
        for (vcpus) |*vcpu| vcpu.kvm.setTscOffset(offset) catch {
            all = false;
        };
        const rule: Base.Rule = if (exists(pvm_module))
            .host
        else if (all and unscaled(&vcpus[0].kvm, offset)) .offset else .other;
        return .{ .rule = rule, .offset = offset };
    } else |_| {
        // Linux before 5.16 has no offset: by value, which KVM matches up between vCPUs.
        const now = ticks(linux.nowNs() -| zero_ns, khz);
        for (vcpus) |*vcpu| vcpu.kvm.setTsc(now) catch {};
        return .{ .rule = .other, .offset = now -% hostTicks() };
    }
}

/// The host's counter, not before what precedes it is done (SDM vol. 2B, RDTSC).
pub fn hostTicks() u64 {
    var low: u32 = undefined;
    var high: u32 = undefined;
    asm volatile ("lfence; rdtsc"
        : [low] "={eax}" (low),
          [high] "={edx}" (high),
        :
        : .{ .memory = true });
    return @as(u64, high) << 32 | low;
}

/// Whether the guest reads the host's counter and the offset. One scaled by a millionth is off by
/// a second of ticks after twelve days, so it falls outside of two readings of the host's.
fn unscaled(vcpu: *const kvm.Vcpu, offset: u64) bool {
    const before = hostTicks();
    const value = vcpu.getTsc() catch return false;
    const took = hostTicks() -% before;
    return value -% offset -% before <= took;
}

fn exists(path: [*:0]const u8) bool {
    return linux.os.errno(kernel.call(.access, .{ path, 0 })) == .SUCCESS;
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
