//! Setting a node up on a scripted kernel: each call fails once, and nothing may stay open; and the
//! failures whose cause a user is told.

const std = @import("std");
const abi = @import("../abi.zig");
const deadline = @import("deadline.zig");
const errors = @import("../errors.zig");
const firmware = @import("firmware.zig");
const kvm = @import("../sys/kvm.zig");
const limits = @import("../limits.zig");
const scripted = @import("../sys/scripted.zig");
const Call = @import("../sys/kernel.zig").Call;
const Node = @import("../node.zig").Node;
const Scripted = scripted.Scripted;
const failure = @import("../sys/kernel.zig").failure;
const testing = std.testing;

const cpus = 2;

fn node(address: []const u8, port: u16) abi.PlanNode {
    return .{ .address = address, .data_port = port, .cpus = cpus, .ram_pages = 16 };
}

/// Two nodes, this one with the devices. Under the script the last step, the engine's thread, is
/// refused, so a set-up that meets nothing else ends with that.
fn setUp() !void {
    const self = try Node.open(testing.allocator, .{ .address = "192.0.2.1" });
    defer self.close() catch unreachable;
    try self.configure(.{
        .node = 0,
        .vm_id = 1,
        .epoch = 1,
        .nodes = &.{ node("192.0.2.1", 1), node("2001:db8::2", 2) },
        .cpuid = &.{
            firmware.vendorLeaf("GenuineIntel"),
            std.mem.zeroInit(abi.CpuidEntry, .{ .leaf = 1, .ecx = deadline.feature }),
        },
        .tsc_khz = 2_000_000,
        .device_node = 0,
        .routes = &.{
            .{ .space = 0, .first = 1, .last = 2, .node = 0, .slow = false },
        },
        .silence_ms = 2000,
        .spin_us = 0,
        .unix_seconds = 0,
        .guard_off = "",
        .disks = &.{.{ .image = 0, .bytes = 512, .read_only = false }},
    });
}

/// One set-up with these rules of the test, after which everything is closed.
fn expectOutcome(kernel: *Scripted, outcome: anyerror) !void {
    kernel.install();
    defer kernel.remove();
    try testing.expectError(outcome, setUp());
    try kernel.expectNothingLeft();
}

test "whichever call fails, everything opened before is closed" {
    var refused: usize = 0;
    var point: usize = 1;
    while (true) : (point += 1) {
        var kernel: Scripted = .init(testing.allocator);
        kernel.install();
        defer kernel.remove();
        kernel.fails_at = point;
        const outcome = setUp();
        try kernel.expectNothingLeft();
        if (kernel.points < point) break;
        outcome catch |err| switch (err) {
            error.OutOfMemory => refused += 1,
            // What can be done without; a capability that cannot be asked for is not there.
            error.ThreadQuotaExceeded, error.Unsupported => continue,
            else => return err,
        };
    }
    // Those that count: descriptors, mappings, registrations, and what each vCPU needs.
    try testing.expect(refused >= 20 + 6 * cpus);
}

test "what the timer's deadline needs is asked for before there is a vCPU" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.install();
    defer kernel.remove();
    kernel.next(.{ .request = kvm.set_msr_filter }, .{ .fails = .INVAL }, 1);
    try testing.expectError(error.Unexpected, setUp());
    try testing.expectEqual(1, kernel.count(.{ .request = kvm.set_msr_filter }));
    try testing.expectEqual(0, kernel.count(.{ .request = kvm.create_vcpu }));
}

/// What the MSR of the vendor is set to, by vCPU; an MSR that KVM refuses is none of those set.
const Presets = struct {
    fds: [cpus]usize = undefined,
    count: usize = 0,

    fn keep(kernel: *Scripted, made: Call) usize {
        const self: *Presets = @ptrCast(@alignCast(kernel.context.?));
        const wanted = firmware.setting(&.{firmware.vendorLeaf("GenuineIntel")}).?;
        const entry = made.at(kvm.Msrs, 2).entry;
        if (entry.index != wanted.index or entry.data != wanted.value) return 0;
        self.fds[self.count] = made.arguments[0];
        self.count += 1;
        return 0;
    }
};

test "every vCPU gets what firmware would have set, and may refuse it" {
    var presets: Presets = .{};
    var kernel: Scripted = .init(testing.allocator);
    kernel.context = &presets;
    kernel.next(.{ .request = kvm.set_msrs }, .{ .does = Presets.keep }, cpus);
    // As far as the engine's thread, which the script refuses.
    try expectOutcome(&kernel, error.ThreadQuotaExceeded);
    try testing.expectEqual(cpus, presets.count);
    try testing.expect(presets.fds[0] != presets.fds[1]);
    kernel = .init(testing.allocator);
    kernel.next(.{ .request = kvm.set_msrs }, .{ .fails = .INVAL }, cpus);
    try expectOutcome(&kernel, error.ThreadQuotaExceeded);
}

/// Refuses, as KVM does that has no counters for any guest; counts what was asked in time.
fn keepsCounters(kernel: *Scripted, made: Call) usize {
    const asked = made.at(kvm.EnableCap, 2);
    if (asked.cap != kvm.cap_pmu_capability) return kernel.usual(made);
    const times: *usize = @ptrCast(@alignCast(kernel.context.?));
    const disable = 1;
    const early = kernel.count(.{ .request = kvm.create_vcpu }) == 0;
    if (early and asked.args[0] == disable) times.* += 1;
    return failure(.INVAL);
}

test "performance counters are switched off before there is a vCPU, where KVM can" {
    var times: usize = 0;
    var kernel: Scripted = .init(testing.allocator);
    kernel.context = &times;
    kernel.next(.{ .request = kvm.ioctl_enable_cap }, .{ .does = keepsCounters }, 100);
    try expectOutcome(&kernel, error.ThreadQuotaExceeded);
    try testing.expectEqual(1, times);
}

test "a signal while the VM is created" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.install();
    defer kernel.remove();
    kernel.next(.{ .request = kvm.create_vm }, .{ .fails = .INTR }, 3);
    const system = try kvm.System.open();
    const vm = try system.createVm();
    try testing.expectEqual(4, kernel.count(.{ .request = kvm.create_vm }));
    vm.close();
    system.close();
    try kernel.expectNothingLeft();
}

test "memory the host does not have" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.next(.{ .request = kvm.set_user_memory_region }, .{ .fails = .NOMEM }, 1);
    try expectOutcome(&kernel, error.OutOfMemory);
}

test "virtualization that another hypervisor holds" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.next(.{ .request = kvm.create_vm }, .{ .fails = .BUSY }, 1);
    try expectOutcome(&kernel, error.Busy);
}

test "a second vCPU that KVM refuses" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.next(.{ .request = kvm.create_vcpu }, .{ .does = Scripted.usual }, 1);
    kernel.next(.{ .request = kvm.create_vcpu }, .{ .fails = .MFILE }, 1);
    try expectOutcome(&kernel, error.OutOfMemory);
}

test "a kernel too old: another API, no exits for unknown MSRs, no immediate exit" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.next(.{ .request = kvm.get_api_version }, .{ .returns = 11 }, 1);
    try expectOutcome(&kernel, error.Unsupported);
    for ([_]u32{ kvm.cap_user_space_msr, kvm.cap_immediate_exit }) |missing| {
        var capability = missing;
        kernel = .init(testing.allocator);
        kernel.context = &capability;
        kernel.next(.{ .request = kvm.check_extension }, .{ .does = lacks }, limits.vcpus_max);
        try expectOutcome(&kernel, error.Unsupported);
    }
    const code: i32 = @intFromEnum(std.os.linux.E.OPNOTSUPP);
    try testing.expectEqual(-code, errors.negativeErrno(error.Unsupported));
}

fn lacks(kernel: *Scripted, made: Call) usize {
    const missing: *const u32 = @ptrCast(@alignCast(kernel.context.?));
    return @intFromBool(made.arguments[2] != missing.*);
}

test "no right to userfaultfd, a used port, no /dev/kvm" {
    var kernel: Scripted = .init(testing.allocator);
    kernel.next(.{ .call = .open }, .{ .does = Scripted.usual }, 1);
    kernel.next(.{ .call = .userfaultfd }, .{ .fails = .PERM }, 1);
    kernel.next(.{ .call = .open }, .{ .fails = .ACCES }, 1);
    try expectOutcome(&kernel, error.PermissionDenied);
    kernel = .init(testing.allocator);
    kernel.next(.{ .call = .bind }, .{ .fails = .ADDRINUSE }, 1);
    try expectOutcome(&kernel, error.AddressInUse);
    kernel = .init(testing.allocator);
    kernel.next(.{ .call = .open }, .{ .fails = .NOENT }, 1);
    try expectOutcome(&kernel, error.NotFound);
}
