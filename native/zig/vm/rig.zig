//! A whole node of one, as TypeScript would drive it, for tests that run a few guest bytes on its
//! vCPUs: real KVM, real userfaultfd, real threads. Waits for events, never for time.

const std = @import("std");
const abi = @import("../abi.zig");
const deadline = @import("deadline.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const map = @import("../devices/map.zig");
const Machine = @import("machine.zig").Machine;
const Node = @import("../node.zig").Node;
const Vcpu = @import("vcpu.zig").Vcpu;
const openOrSkip = @import("bare.zig").openOrSkip;
const os = linux.os;
const testing = std.testing;

/// vCPU 0 starts here in real mode.
pub const start = 0x1000;
/// A port TypeScript would answer.
pub const slow_port = 0x1000;
const ram_pages = 64;
/// Of a node alone: up to the end of a PC's text memory.
const ram_pages_alone = 0xc0;
const patience_ms = 120_000;

pub const Received = struct { event: abi.Event, text: [2048]u8, length: usize };

pub const Rig = struct {
    node: *Node,
    tsc_khz: u32,

    pub fn init(cpus: u8) !Rig {
        return initBeside(cpus, null);
    }

    /// Node 0 of one, or of two when a port for the data socket of node 1 is given; that one has a
    /// vCPU and as much memory.
    pub fn initBeside(cpus: u8, peer_port: ?u16) !Rig {
        return initWith(cpus, peer_port, &.{});
    }

    pub fn initWith(cpus: u8, peer_port: ?u16, disks: []const abi.PlanDisk) !Rig {
        const system = try openOrSkip();
        defer system.close();
        const node = try Node.open(testing.allocator, .{ .address = "127.0.0.1" });
        errdefer node.close() catch {};
        var self: Rig = .{ .node = node, .tsc_khz = try rate(system) };
        self.configure(system, cpus, peer_port, disks) catch |err| switch (err) {
            error.PermissionDenied, error.Unsupported => {
                std.debug.print("skipped: userfaultfd for kernel faults is not permitted\n", .{});
                return error.SkipZigTest;
            },
            else => return err,
        };
        return self;
    }

    fn configure(
        self: *Rig,
        system: kvm.System,
        cpus: u8,
        peer_port: ?u16,
        disks: []const abi.PlanDisk,
    ) !void {
        var nodes = [_]abi.PlanNode{ planNode(1, cpus), planNode(peer_port orelse 1, 1) };
        if (peer_port == null) nodes[0].ram_pages = ram_pages_alone;
        var entries: [kvm.cpuid_entries_max]abi.CpuidEntry = undefined;
        try self.node.configure(.{
            .node = 0,
            .vm_id = 1,
            .epoch = 1,
            .nodes = nodes[0..if (peer_port == null) 1 else 2],
            .cpuid = try hostCpuid(system, &entries),
            .tsc_khz = self.tsc_khz,
            .device_node = 0,
            .routes = &.{
                port(0xf4, 0xf4, false),
                port(0x40, 0x43, false),
                port(0x60, 0x64, false),
                port(0x70, 0x71, false),
                port(0x600, 0x60b, false),
                port(map.crtc_port, map.crtc_port + 1, false),
                port(map.pci_address_port, map.pci_data_port + 3, false),
                memoryRoute(map.pci_window_gpa, map.pci_window_bytes),
                memoryRoute(map.ecam_gpa, map.ecam_bytes),
                memoryRoute(map.io_apic_gpa, 0x1000),
                port(0x3f8, 0x3ff, false),
                port(slow_port, slow_port + 7, true),
            },
            .silence_ms = 2000,
            .spin_us = 0,
            .unix_seconds = 0,
            .guard_off = "",
            .disks = disks,
        });
    }

    pub fn deinit(self: *Rig) void {
        self.node.close() catch |err| std.debug.panic("the node does not close: {t}", .{err});
    }

    pub fn machine(self: *Rig) *Machine {
        return self.node.machine.?;
    }

    pub fn vcpu(self: *Rig, index: usize) *Vcpu {
        return self.machine().local(index).?;
    }

    /// Guest memory as a device sees it: this thread's faults are resolved like a vCPU's.
    pub fn memory(self: *Rig) []u8 {
        return self.node.engine.?.memory.guest;
    }

    pub fn put(self: *Rig, address: usize, bytes: []const u8) void {
        @memcpy(self.memory()[address..][0..bytes.len], bytes);
    }

    /// Real-mode interrupt vector to code at `address`.
    pub fn handler(self: *Rig, vector: u8, address: u16) void {
        const entry = self.memory()[@as(usize, vector) * 4 ..];
        std.mem.writeInt(u16, entry[0..2], address & 0xfff, .little);
        std.mem.writeInt(u16, entry[2..4], (address & 0xf000) >> 4, .little);
    }

    pub fn word(self: *Rig, address: usize) *volatile u16 {
        return @ptrCast(@alignCast(&self.memory()[address]));
    }

    /// Real mode at `start`.
    pub fn go(self: *Rig) !void {
        const boot = std.mem.zeroInit(abi.Boot, .{ .rip = start });
        try self.node.boot(boot);
        try self.node.run(linux.nowNs());
    }

    /// 64-bit mode at `start`: the first 2 MiB and those of the APICs, of the ECAM and of PCI
    /// devices' memory mapped one to one, tables at 0x2000 to 0x5fff, selectors 0x10 and 0x18 in a
    /// table at 0x8800, stack at 0xa000.
    pub fn goLong(self: *Rig) !void {
        const large = 0x83;
        const table = 3;
        const entries = [_][2]u64{
            .{ 0x2000, 0x3000 | table },
            .{ 0x3000, 0x4000 | table },
            .{ 0x3018, 0x5000 | table },
            .{ 0x4000, large },
            .{ 0x5000 + (map.local_apic_gpa >> 21 & 0x1ff) * 8, map.local_apic_gpa | large },
            .{ 0x5000 + (map.io_apic_gpa >> 21 & 0x1ff) * 8, map.io_apic_gpa | large },
            .{ 0x5000 + (map.ecam_gpa >> 21 & 0x1ff) * 8, map.ecam_gpa | large },
            .{ 0x5000 + (map.pci_window_gpa >> 21 & 0x1ff) * 8, map.pci_window_gpa | large },
            .{ 0x8810, 0x00af_9b00_0000_ffff },
            .{ 0x8818, 0x00cf_9300_0000_ffff },
        };
        for (entries) |entry| self.put(@intCast(entry[0]), std.mem.asBytes(&entry[1]));
        try self.node.boot(.{
            .mode = @intFromEnum(abi.BootMode.long),
            .rip = start,
            .rax = 0,
            .rbx = 0,
            .rsi = 0,
            .rsp = 0xa000,
            .cr3 = 0x2000,
            .gdt = 0x8800,
        });
        try self.node.run(linux.nowNs());
    }

    /// The next event, with its text, which must be of this kind.
    pub fn event(self: *Rig, kind: abi.EventKind) !Received {
        var result: Received = .{ .event = undefined, .text = undefined, .length = 0 };
        try self.take(&result.event);
        var part = result.event;
        while (true) {
            const bytes = part.data[0..part.length];
            @memcpy(result.text[result.length..][0..bytes.len], bytes);
            result.length += bytes.len;
            if (part.more == 0) break;
            try self.take(&part);
        }
        if (result.event.kind != @intFromEnum(kind)) {
            const got = std.enums.fromInt(abi.EventKind, result.event.kind);
            const text = result.text[0..result.length];
            std.debug.print("event {?t} {x}: {s}\n", .{ got, result.event.a, text });
            return error.OtherEvent;
        }
        return result;
    }

    fn take(self: *Rig, out: *abi.Event) !void {
        var records: [1]abi.Event = undefined;
        while (try self.node.takeEvents(&records) == 0) try self.hear();
        out.* = records[0];
    }

    /// Fills `out` with what the guest prints.
    pub fn printed(self: *Rig, out: []u8) !void {
        var got: usize = 0;
        while (got < out.len) {
            const taken = try self.node.takeConsole(out[got..]);
            if (taken == 0) try self.hear();
            got += taken;
        }
    }

    fn hear(self: *Rig) !void {
        var poll: [1]os.pollfd = .{
            .{ .fd = self.node.eventFd(), .events = os.POLL.IN, .revents = 0 },
        };
        const ready = linux.check(os.poll(&poll, 1, patience_ms)) catch 1;
        if (ready == 0) return error.NoEvent;
        var bell: [16]u8 = undefined;
        _ = os.read(self.node.eventFd(), &bell, bell.len);
    }

    pub fn expectExit(self: *Rig, code: u64) !void {
        const got = try self.event(.debug_exit);
        try testing.expectEqual(code, got.event.a);
    }

    pub fn stop(self: *Rig) !void {
        try self.node.stop();
        _ = try self.event(.stopped);
        // In a reset peers may take their time from here on.
        try testing.expect(self.node.engine.?.watch.calm.load(.monotonic));
    }
};

/// Lets other threads go on until `condition(context)` holds; an error after a patient while.
pub fn await(context: anytype, comptime condition: fn (@TypeOf(context)) bool) !void {
    const until = linux.nowNs() + patience_ms * std.time.ns_per_ms;
    while (!condition(context)) {
        if (linux.nowNs() > until) return error.NeverHappened;
        std.Thread.yield() catch {};
    }
}

fn planNode(data_port: u16, cpus: u8) abi.PlanNode {
    const address = "127.0.0.1";
    return .{ .address = address, .data_port = data_port, .cpus = cpus, .ram_pages = ram_pages };
}

fn port(first: u64, last: u64, slow: bool) abi.Route {
    return .{ .space = 0, .first = first, .last = last, .node = 0, .slow = slow };
}

fn memoryRoute(first: u64, bytes: u64) abi.Route {
    return .{ .space = 1, .first = first, .last = first + bytes - 1, .node = 0, .slow = false };
}

fn rate(system: kvm.System) !u32 {
    const vm = try system.createVm();
    defer vm.close();
    const one = try vm.createVcpu(0);
    defer one.close();
    return one.tscKhz();
}

fn hostCpuid(system: kvm.System, out: []abi.CpuidEntry) ![]const abi.CpuidEntry {
    const table = try testing.allocator.create(kvm.Cpuid);
    defer testing.allocator.destroy(table);
    try system.supportedCpuid(table);
    var count: usize = 0;
    for (table.entries[0..table.count]) |*e| {
        // KVM's own leaves: what they offer makes the host write guest pages.
        if (e.function >> 8 == 0x40_0000) continue;
        out[count] = .{
            .leaf = e.function,
            .index = e.index,
            .flags = e.flags,
            .eax = e.eax,
            .ebx = e.ebx,
            .ecx = e.ecx,
            .edx = e.edx,
        };
        if (e.function == 1) {
            out[count].ecx &= ~@as(u32, deadline.feature);
            if (try deadline.comesOut(system)) out[count].ecx |= deadline.feature;
        }
        count += 1;
    }
    return out[0..count];
}
