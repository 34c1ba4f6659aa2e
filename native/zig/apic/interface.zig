//! What the rest of the data plane asks of a local APIC, checked when it is compiled. The one there
//! is lives in user space (local.zig). One in the kernel could fill it too: arrivals become
//! KVM_SIGNAL_MSI, KVM_NMI and the like, nothing is ever deliverable or due here, and accesses to
//! registers do not come out.

const std = @import("std");
const destination = @import("destination.zig");
const local = @import("local.zig");

const Effects = local.Effects;

/// The APIC of every vCPU.
pub const Apic = checked(local.Local);

fn checked(comptime T: type) type {
    // Life. `base` is APIC_BASE as the guest wrote it.
    expect(T, "init", fn (u32, bool) T);
    expect(T, "reset", fn (*T) void);
    expect(T, "baseRegister", fn (*const T) u64);
    expect(T, "setBase", fn (*T, u64, *Effects) void);
    expect(T, "state", fn (*const T) destination.State);
    expect(T, "summary", fn (*const T) local.Summary);
    expect(T, "x2apic", fn (*const T) bool);
    // Arrivals, from any thread under the vCPU's lock.
    expect(T, "receives", fn (*const T) bool);
    expect(T, "accept", fn (*T, u8, bool) void);
    expect(T, "nmi", fn (*T) void);
    expect(T, "requestInit", fn (*T) void);
    expect(T, "requestSipi", fn (*T, u8) void);
    // Delivery, in the vCPU's thread before it enters the guest.
    // `busy`: it runs, and would do something else meanwhile (pace.zig).
    expect(T, "tick", fn (*T, u64, bool) void);
    expect(T, "deadline", fn (*const T, bool) ?u64);
    expect(T, "timerWaits", fn (*const T) bool);
    expect(T, "deliverable", fn (*const T) ?u8);
    expect(T, "acknowledge", fn (*T, u8, u64) void);
    expect(T, "takeNmi", fn (*T) bool);
    expect(T, "takeInit", fn (*T) bool);
    expect(T, "takeSipi", fn (*T) ?u8);
    // The timer's third mode: a time stamp, and when the TSC will read it.
    expect(T, "tscDeadline", fn (*const T) u64);
    expect(T, "tscDue", fn (*const T, u64) ?u64);
    expect(T, "tscReached", fn (*T) void);
    expect(T, "setTscDeadline", fn (*T, u64, u64, u64) void);
    expect(T, "retime", fn (*T, u64) void);
    // The task priority's upper half is the processor's CR8.
    expect(T, "cr8", fn (*const T) u64);
    expect(T, "setCr8", fn (*T, u64) void);
    // Register accesses that came out of the guest.
    expect(T, "mmioRead", fn (*T, u12, u64) u32);
    expect(T, "mmioWrite", fn (*T, u12, u32, u64, *Effects) void);
    expect(T, "msrRead", fn (*T, u32, u64) ?u64);
    expect(T, "msrWrite", fn (*T, u32, u64, u64, *Effects) bool);
    return T;
}

fn expect(comptime T: type, comptime name: []const u8, comptime Wanted: type) void {
    if (!@hasDecl(T, name)) @compileError(@typeName(T) ++ " lacks " ++ name);
    if (@TypeOf(@field(T, name)) != Wanted) {
        @compileError(@typeName(T) ++ "." ++ name ++ " is not " ++ @typeName(Wanted));
    }
}

test "CR8 is the upper half of the task priority" {
    var apic: Apic = .init(0, true);
    apic.setCr8(5);
    try std.testing.expectEqual(5, apic.cr8());
    var effects: Effects = .{};
    // The lower half stays while the upper does not change.
    apic.mmioWrite(0x80, 0x5c, 0, &effects);
    apic.setCr8(5);
    try std.testing.expectEqual(0x5c, apic.mmioRead(0x80, 0));
    apic.setCr8(6);
    try std.testing.expectEqual(0x60, apic.mmioRead(0x80, 0));
}
