//! The guest's clock on a kernel whose host counter ran for ten days at a rate of its own.

const std = @import("std");
const clock = @import("clock.zig");
const kernel = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const Scripted = @import("../sys/scripted.zig").Scripted;
const testing = std.testing;

const khz = 2_000_000;
/// What the host counter stands at: 2 ppm off the agreed rate over ten days is 1.7 s.
const host_ticks: u64 = 10 * 86_400 * 2_000_004_000;

const Told = struct { offsets: [8]u64 = undefined, count: usize = 0 };
const One = struct { kvm: kvm.Vcpu };

/// KVM_GET_MSRS of the TSC: the host's counter, whatever rate was asked for.
fn read(_: *Scripted, made: kernel.Call) usize {
    made.at(kvm.Msrs, 2).entry.data = host_ticks;
    return 1;
}

fn tell(script: *Scripted, made: kernel.Call) usize {
    const told: *Told = @ptrCast(@alignCast(script.context.?));
    const attr = made.at(kvm.DeviceAttr, 2);
    told.offsets[told.count] = @as(*const u64, @ptrFromInt(attr.address)).*;
    told.count += 1;
    return 0;
}

test "vCPUs read the ticks since the agreed moment, at whatever the host's counter stands" {
    var script: Scripted = .init(testing.allocator);
    var told: Told = .{};
    script.context = &told;
    script.next(.{ .request = kvm.get_msrs }, .{ .does = read }, 100);
    script.next(.{ .request = kvm.set_device_attr }, .{ .does = tell }, 100);
    script.install();
    defer script.remove();
    var vcpus: [3]One = @splat(.{ .kvm = .{ .fd = 5, .run = undefined, .run_bytes = 0 } });
    const zero_ns = linux.nowNs() - 7 * std.time.ns_per_s;
    const least = (linux.nowNs() - zero_ns) * 2;
    _ = clock.set(&vcpus, zero_ns, khz);
    const most = (linux.nowNs() - zero_ns) * 2;
    // First zero, to see what the guest would read; then the same for each.
    try testing.expectEqual(4, told.count);
    try testing.expectEqual(0, told.offsets[0]);
    for (told.offsets[1..4]) |offset| {
        const reads = host_ticks +% offset;
        try testing.expect(reads >= least and reads <= most);
        try testing.expectEqual(told.offsets[1], offset);
    }
}

test "without offsets the counters are set by value" {
    var script: Scripted = .init(testing.allocator);
    script.next(.{ .request = kvm.set_device_attr }, .{ .fails = .NXIO }, 100);
    script.next(.{ .request = kvm.set_msrs }, .{ .returns = 1 }, 100);
    script.install();
    defer script.remove();
    var vcpus: [2]One = @splat(.{ .kvm = .{ .fd = 5, .run = undefined, .run_bytes = 0 } });
    const base = clock.set(&vcpus, linux.nowNs(), khz);
    try testing.expectEqual(clock.Base.Rule.other, base.rule);
    try testing.expectEqual(2, script.count(.{ .request = kvm.set_msrs }));
}

/// The guest reads this computer's counter, times `scale`, and the offset.
const Counter = struct {
    scale: u64 = 1,
    offset: u64 = 0,

    fn read(script: *Scripted, made: kernel.Call) usize {
        const self: *Counter = @ptrCast(@alignCast(script.context.?));
        made.at(kvm.Msrs, 2).entry.data = clock.hostTicks() *% self.scale +% self.offset;
        return 1;
    }

    fn tell(script: *Scripted, made: kernel.Call) usize {
        const self: *Counter = @ptrCast(@alignCast(script.context.?));
        const attr = made.at(kvm.DeviceAttr, 2);
        self.offset = @as(*const u64, @ptrFromInt(attr.address)).*;
        return 0;
    }

    fn base(self: *Counter, pvm: bool) clock.Base {
        var script: Scripted = .init(testing.allocator);
        script.context = self;
        script.next(.{ .request = kvm.get_msrs }, .{ .does = Counter.read }, 100);
        script.next(.{ .request = kvm.set_device_attr }, .{ .does = Counter.tell }, 100);
        if (!pvm) script.next(.{ .call = .access }, .{ .fails = .NOENT }, 1);
        script.install();
        defer script.remove();
        var vcpus: [1]One = .{.{ .kvm = .{ .fd = 5, .run = undefined, .run_bytes = 0 } }};
        return clock.set(&vcpus, linux.nowNs(), khz);
    }
};

test "the rule by which the guest's counter follows from the host's is found out" {
    var plain: Counter = .{};
    const base = plain.base(false);
    try testing.expectEqual(clock.Base.Rule.offset, base.rule);
    try testing.expectEqual(plain.offset, base.offset);
    const before = clock.hostTicks();
    try testing.expect(base.count() -% base.offset >= before);
    var scaled: Counter = .{ .scale = 2 };
    try testing.expectEqual(clock.Base.Rule.other, scaled.base(false).rule);
    // Whatever KVM says it would read: what runs natively there reads the host's.
    const native = plain.base(true);
    try testing.expectEqual(clock.Base.Rule.host, native.rule);
    try testing.expect(native.count() >= before and native.count() <= clock.hostTicks());
}
