//! This node's part of the virtual machine: its vCPUs, its copy of the interrupt state, and, on the
//! device node, the board. Everything that leaves the node goes through the engine's fabric.

const std = @import("std");
const abi = @import("../abi.zig");
const admit = @import("admit.zig");
const clock = @import("clock.zig");
const devices = @import("devices.zig");
const disk_room = @import("disk.zig");
const firmware = @import("firmware.zig");
const interrupts = @import("interrupts.zig");
const kernel = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const mailbox = @import("mailbox.zig");
const pci = @import("../devices/pci/host.zig");
const shadow = @import("shadow.zig");
const state = @import("state.zig");
const cpuid = @import("cpuid.zig");
const deadline = @import("deadline.zig");
const ApicEffects = @import("../apic/local.zig").Effects;
const Board = @import("../devices/board.zig").Board;
const Bus = @import("bus.zig").Bus;
const Counters = @import("../engine/counters.zig").Counters;
const Disk = disk_room.Disk;
const Doorbell = @import("doorbell.zig").Doorbell;
const Engine = @import("../engine/engine.zig").Engine;
const Events = @import("../engine/events.zig").Events;
const Ticker = @import("ticker.zig").Ticker;
const Tsc = @import("tsc.zig").Tsc;
const Vcpu = @import("vcpu.zig").Vcpu;
const assert = std.debug.assert;

/// Pages KVM on Intel uses for real mode; in the MMIO hole.
const real_mode_gpa = 0xfffb_c000;

pub const Machine = struct {
    allocator: std.mem.Allocator,
    node: m.NodeId,
    nodes: usize,
    /// First vCPU of each node, and one past the last.
    first: [limits.nodes_max + 1]usize,
    engine: *Engine,
    events: *Events,
    counters: *Counters,
    vm: kvm.Vm,
    vcpus: []Vcpu,
    states: interrupts.States,
    board: Board,
    board_node: m.NodeId,
    board_lock: linux.Lock = .{},
    ticker: Ticker = .{},
    /// Of the threads of PCI devices, by device number; set before any vCPU runs.
    doorbells: [pci.devices_max]?*Doorbell = @splat(null),
    /// Those that exist already; only on the device node.
    disks: []Disk = &.{},
    bus: Bus,
    tsc: Tsc,
    /// Threads of vCPUs and disks.
    alive: std.atomic.Value(u32) = .init(0),
    stopping: std.atomic.Value(bool) = .init(false),
    reported: std.atomic.Value(bool) = .init(false),
    forgets_shadow: bool,

    pub fn init(
        allocator: std.mem.Allocator,
        system: kvm.System,
        plan: *const abi.Plan,
        engine: *Engine,
        events: *Events,
        counters: *Counters,
    ) !*Machine {
        const self = try allocator.create(Machine);
        errdefer allocator.destroy(self);
        var first: [limits.nodes_max + 1]usize = @splat(0);
        for (plan.nodes, 0..) |n, i| first[i + 1] = first[i] + n.cpus;
        const total = first[plan.nodes.len];
        if (total > limits.vcpus_max) return error.OutOfRange;
        const vm = try system.createVm();
        errdefer vm.close();
        const vcpus = try allocator.alloc(Vcpu, plan.nodes[plan.node].cpus);
        errdefer allocator.free(vcpus);
        const output = try allocator.alloc(u8, limits.console_bytes);
        errdefer allocator.free(output);
        self.* = .{
            .allocator = allocator,
            .node = plan.node,
            .nodes = plan.nodes.len,
            .first = first,
            .engine = engine,
            .events = events,
            .counters = counters,
            .vm = vm,
            // Those that exist already.
            .vcpus = vcpus[0..0],
            .states = .init(total),
            .board = .init(plan.unix_seconds, linux.nowNs(), output),
            .board_node = plan.device_node,
            .bus = .{ .machine = self },
            .tsc = .{ .counters = counters, .khz = plan.tsc_khz },
            .forgets_shadow = shadow.forgotten(),
        };
        errdefer self.bus.deinit();
        errdefer for (self.vcpus) |*vcpu| vcpu.kvm.close();
        try self.build(plan, vcpus);
        try disk_room.attach(self, plan.disks);
        return self;
    }

    fn build(self: *Machine, plan: *const abi.Plan, vcpus: []Vcpu) !void {
        self.vm.reserveRealModePages(real_mode_gpa);
        try self.vm.exitOnUnknownMsrs();
        const has_deadline = deadline.isShown(plan.cpuid);
        if (has_deadline) try self.vm.exitOnMsr(deadline.msr);
        for (self.engine.memory.slots().slice(), 0..) |slot, i| {
            try self.vm.addMemory(@intCast(i), slot.gpa, slot.bytes);
        }
        self.bus.routes = try self.allocator.dupe(abi.Route, plan.routes);
        mailbox.installHandler();
        for (vcpus, 0..) |*vcpu, i| {
            const index = self.first[self.node] + i;
            vcpu.* = .{
                .machine = self,
                .index = @intCast(index),
                .slot = @intCast(i),
                .kvm = try self.vm.createVcpu(@intCast(i)),
                .apic = .init(@intCast(index), index == 0),
            };
            vcpu.apic.has_deadline = has_deadline;
            self.vcpus = vcpus[0 .. i + 1];
            try self.setUp(vcpu, plan);
        }
    }

    fn setUp(self: *Machine, vcpu: *Vcpu, plan: *const abi.Plan) !void {
        try cpuid.give(self.allocator, &vcpu.kvm, plan.cpuid, vcpu.index);
        // The nodes agreed on rates so close that KVM need not scale.
        try vcpu.kvm.setTscKhz(plan.tsc_khz);
        if (firmware.setting(plan.cpuid)) |msr| vcpu.kvm.presetMsr(msr.index, msr.value);
        vcpu.kvm.run.apic_base = vcpu.apic.baseRegister();
        const sregs = state.realMode(0xf0, vcpu.apic.baseRegister());
        try vcpu.start(&sregs, &state.realModeRegs());
    }

    /// No vCPU thread may be left. The VM is closed with the engine's memory.
    pub fn deinit(self: *Machine) void {
        assert(self.alive.load(.acquire) == 0);
        self.stopping.store(true, .release);
        self.ticker.join();
        for (self.vcpus) |*vcpu| {
            if (vcpu.thread) |thread| thread.join();
            vcpu.kvm.close();
        }
        disk_room.detach(self);
        self.engine.memory.vm = self.vm.fd;
        self.bus.deinit();
        self.allocator.free(self.vcpus);
        self.allocator.free(self.board.output.bytes);
        self.allocator.destroy(self);
    }

    pub fn local(self: *Machine, index: usize) ?*Vcpu {
        const start = self.first[self.node];
        if (index < start or index >= start + self.vcpus.len) return null;
        return &self.vcpus[index - start];
    }

    /// Start state of vCPU 0; before run.
    pub fn boot(self: *Machine, b: *const abi.Boot) !void {
        const vcpu = self.local(0) orelse return error.OutOfRange;
        const mode = std.enums.fromInt(abi.BootMode, b.mode) orelse return error.OutOfRange;
        const base = vcpu.apic.baseRegister();
        const sregs = switch (mode) {
            .real => real: {
                const page = std.math.cast(u8, b.rip >> 12) orelse return error.OutOfRange;
                break :real state.realMode(page, base);
            },
            .protected => protected: {
                if (b.rip > std.math.maxInt(u32)) return error.OutOfRange;
                break :protected state.protectedMode(b, base);
            },
            .long => state.longMode(b, base),
        };
        const regs = if (mode == .real) state.realModeRegs() else state.flatRegs(b);
        try vcpu.start(&sregs, &regs);
        vcpu.activity = .running;
    }

    /// Starts all local vCPUs. `tsc_zero_ns`: CLOCK_MONOTONIC at which the guest's TSC reads 0.
    pub fn run(self: *Machine, tsc_zero_ns: u64, tsc_khz: u32) !void {
        if (self.board_node == self.node) try self.ticker.start(self);
        const threads = self.vcpus.len + self.disks.len;
        _ = self.alive.fetchAdd(@intCast(threads), .acq_rel);
        for (self.disks, 0..) |*disk, i| disk.start() catch |err| {
            _ = self.alive.fetchSub(@intCast(threads - i), .acq_rel);
            return err;
        };
        self.tsc.base = clock.set(self.vcpus, tsc_zero_ns, tsc_khz);
        for (self.vcpus, 0..) |*vcpu, i| {
            vcpu.thread = kernel.spawn(1 << 20, Vcpu.run, .{vcpu}) catch |err| {
                const missing: u32 = @intCast(self.vcpus.len - i);
                _ = self.alive.fetchSub(missing, .acq_rel);
                return err;
            };
        }
    }

    /// Asks every vCPU to leave the guest and every disk to finish what it is at; `stopped` is
    /// reported when all have.
    pub fn stop(self: *Machine) void {
        self.stopping.store(true, .seq_cst);
        self.engine.fabric.end();
        self.ticker.poke();
        for (self.disks) |*disk| disk.doorbell.ring();
        for (self.vcpus) |*vcpu| {
            vcpu.tell(.stop);
            linux.futexWake(&vcpu.answer.ready);
            linux.futexWake(&vcpu.acks.word);
        }
        self.reportStopped();
    }

    /// The last act of a vCPU's, a disk's or the loader's thread.
    pub fn threadEnded(self: *Machine) void {
        _ = self.alive.fetchSub(1, .seq_cst);
        self.reportStopped();
    }

    /// Once, whoever comes last: stop() or the last thread.
    fn reportStopped(self: *Machine) void {
        if (!self.stopping.load(.seq_cst) or self.alive.load(.seq_cst) != 0) return;
        if (self.reported.swap(true, .seq_cst)) return;
        self.engine.watch.calm.store(true, .monotonic);
        self.events.simple(.stopped, self.node, 0);
    }

    /// Holds every local vCPU outside the guest, or lets it go on. Does not wait: a vCPU that waits
    /// for a page or an answer stops when it has it.
    pub fn pause(self: *Machine, hold: bool) void {
        assert(!self.stopping.load(.acquire));
        for (self.vcpus) |*vcpu| vcpu.tell(if (hold) .pause else .run);
    }

    /// Effects of a vCPU's access to its own local APIC, in its thread.
    pub fn carryOut(self: *Machine, vcpu: *Vcpu, effects: *const ApicEffects) void {
        if (effects.changed) {
            interrupts.publish(self, vcpu);
            if (!interrupts.awaitAcks(vcpu)) return;
        }
        if (effects.ipi) |*request| _ = interrupts.deliver(self, vcpu.index, request, .queue);
        if (effects.eoi) |vector| self.endOfInterrupt(vector);
    }

    fn endOfInterrupt(self: *Machine, vector: u8) void {
        if (self.board_node != self.node) {
            return self.engine.fabric.send(self.board_node, .{ .eoi = .{ .vector = vector } });
        }
        devices.endOfInterrupt(self, vector, .queue);
    }

    /// Everything that is not coherence; engine thread.
    pub fn message(context: *anyopaque, from: m.NodeId, msg: *const m.Message) void {
        const self: *Machine = @ptrCast(@alignCast(context));
        if (admit.objection(self, from, msg)) |reason| return self.engine.fatal(reason);
        switch (msg.*) {
            .ipi => |*ipi| {
                self.counters.add(.ipis_received, 1);
                interrupts.arrive(self, ipi);
            },
            .apic_state => |*s| interrupts.onState(self, from, s),
            .apic_ack => |*ack| interrupts.onAck(self, ack),
            .eoi => |eoi| devices.endOfInterrupt(self, eoi.vector, .engine),
            .io_request => |*request| self.bus.serve(from, request),
            .io_reply => |*reply| self.bus.answered(from, reply),
            else => unreachable,
        }
    }

    /// Registers of a local vCPU as of its last exit, how long ago that was, and the page it waits
    /// for. Asks for a newer exit, which the next call shows; never waits.
    pub fn registers(self: *Machine, index: u32, out: []u8) usize {
        const vcpu = self.local(index) orelse return 0;
        vcpu.lock.lock();
        const regs = vcpu.last_regs;
        const sregs = vcpu.last_sregs;
        const age_ms = (linux.nowNs() -| vcpu.last_ns) / limits.ns_per_ms;
        const head = .{ index, vcpu.activity, age_ms };
        vcpu.lock.unlock();
        vcpu.kick();
        var writer: std.Io.Writer = .fixed(out);
        writer.print("vCPU {d} {t}, last exit {d} ms ago", head) catch return 0;
        const page = self.engine.waits.pageOf(vcpu.slot);
        if (page) |p| writer.print(", waits for page {x}", .{p}) catch return 0;
        writer.writeByte('\n') catch return 0;
        return writer.end + state.describe(&regs, &sregs, out[writer.end..]).len;
    }
};
