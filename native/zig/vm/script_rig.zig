//! A machine of one vCPU on a scripted kernel, for unit tests: the test's own thread is the vCPU's.

const std = @import("std");
const abi = @import("../abi.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const udp = @import("../sys/udp.zig");
const Call = @import("../sys/kernel.zig").Call;
const Counters = @import("../engine/counters.zig").Counters;
const Engine = @import("../engine/engine.zig").Engine;
const Events = @import("../engine/events.zig").Events;
const Machine = @import("machine.zig").Machine;
const Scripted = @import("../sys/scripted.zig").Scripted;
const Vcpu = @import("vcpu.zig").Vcpu;
const testing = std.testing;

pub const debug_port = 0xf4;

/// One vCPU, ready to run in real mode; the port of debug exits is its only device.
pub const Rig = struct {
    kernel: Scripted,
    events: Events,
    counters: Counters,
    engine: *Engine,
    system: kvm.System,
    socket: i32,
    machine: *Machine,

    pub fn init(self: *Rig) !void {
        self.kernel = .init(testing.allocator);
        self.kernel.install();
        self.kernel.context = self;
        self.events = try .init(testing.allocator);
        self.counters = .{};
        self.system = try .open();
        const address = try udp.Address.parse("192.0.2.1", 1);
        self.socket = try udp.open(&address);
        const plan: abi.Plan = .{
            .node = 0,
            .vm_id = 1,
            .epoch = 1,
            .nodes = &.{
                .{ .address = "192.0.2.1", .data_port = 1, .cpus = 1, .ram_pages = 16 },
            },
            .cpuid = &.{},
            .tsc_khz = 2_000_000,
            .device_node = 0,
            .routes = &.{.{
                .space = 0,
                .first = debug_port,
                .last = debug_port,
                .node = 0,
                .slow = false,
            }},
            .silence_ms = 2000,
            .spin_us = 0,
            .unix_seconds = 0,
            .guard_off = "",
        };
        self.engine = try Engine.init(testing.allocator, .{
            .node = 0,
            .shares = &.{16},
            .addresses = &.{address},
            .vm_id = 1,
            .epoch = 1,
            .silence_ns = std.time.ns_per_hour,
            .spin_ns = 0,
        }, self.socket, &self.events, &self.counters);
        self.machine = try Machine.init(
            testing.allocator,
            self.system,
            &plan,
            self.engine,
            &self.events,
            &self.counters,
        );
        try self.machine.boot(&std.mem.zeroInit(abi.Boot, .{ .rip = 0x1000 }));
        self.kernel.calls = .empty;
        self.kernel.next(.{ .request = kvm.get_regs }, .{ .does = registers }, 100);
    }

    pub fn deinit(self: *Rig) void {
        self.machine.deinit();
        self.engine.deinit();
        self.system.close();
        linux.close(self.socket);
        self.events.deinit(testing.allocator);
        self.kernel.expectNothingLeft() catch @panic("something is left open");
        self.kernel.remove();
    }

    pub fn vcpu(self: *Rig) *Vcpu {
        return &self.machine.vcpus[0];
    }

    /// The vCPU's thread from its begin to its end.
    pub fn go(self: *Rig) void {
        self.machine.alive.store(1, .release);
        self.vcpu().run();
    }

    /// The one event there is: a crash with this sentence and the registers, and nothing runs on.
    pub fn expectCrash(self: *Rig, sentence: []const u8) !void {
        var records: [64]abi.Event = undefined;
        var text: [2048]u8 = undefined;
        var length: usize = 0;
        const taken = records[0..self.events.take(&records)];
        try testing.expect(taken.len > 0);
        for (taken, 0..) |*event, i| {
            const kind: abi.EventKind = if (i == 0) .crash else .text;
            try testing.expectEqual(@intFromEnum(kind), event.kind);
            @memcpy(text[length..][0..event.length], event.data[0..event.length]);
            length += event.length;
        }
        var lines = std.mem.splitScalar(u8, text[0..length], '\n');
        try testing.expectEqualStrings(sentence, lines.next().?);
        try testing.expectStringStartsWith(lines.next().?, "rip=000000000000f00d ");
        try testing.expectEqual(0, self.machine.alive.load(.acquire));
    }
};

/// KVM_RUN's answer: the guest has stored to an MSR that a filter holds back.
pub fn storesMsr(kernel: *Scripted, index: u32, value: u64) usize {
    const page = kernel.run.?;
    const filtered = 4;
    page.exit_reason = 30;
    page.exit.msr = .{
        .failed = 1,
        .padding = @splat(0),
        .reason = filtered,
        .index = index,
        .data = value,
    };
    return 0;
}

fn registers(_: *Scripted, made: Call) usize {
    made.at(kvm.Regs, 2).* = .{ .rip = 0xf00d };
    return 0;
}

/// Whose script it is.
pub fn rigOf(kernel: *Scripted) *Rig {
    return @ptrCast(@alignCast(kernel.context.?));
}
