//! One node of the cluster as TypeScript drives it: opened, configured with the agreed plan,
//! loaded, run, stopped, closed. Owns the engine, the machine and their events; lib.zig is its
//! door.

const std = @import("std");
const abi = @import("abi.zig");
const codec = @import("wire/codec.zig");
const desk = @import("engine/desk.zig");
const heat = @import("engine/heat.zig");
const int3 = @import("vm/int3.zig");
const kvm = @import("sys/kvm.zig");
const limits = @import("limits.zig");
const linux = @import("sys/linux.zig");
const memory = @import("engine/memory.zig");
const observe = @import("vm/observe.zig");
const udp = @import("sys/udp.zig");
const Counters = @import("engine/counters.zig").Counters;
const Engine = @import("engine/engine.zig").Engine;
const Events = @import("engine/events.zig").Events;
const devices = @import("vm/devices.zig");
const Guards = @import("dsm/guards.zig").Guards;
const Loader = @import("vm/loader.zig").Loader;
const Machine = @import("vm/machine.zig").Machine;
const host = @import("vm/host.zig");

pub const Node = struct {
    allocator: std.mem.Allocator,
    system: kvm.System,
    socket: i32,
    address: []u8,
    events: Events,
    count: Counters = .{},
    engine: ?*Engine = null,
    machine: ?*Machine = null,
    loader: Loader = .{},
    tsc_khz: u32 = 0,
    /// Whether KVM here reports int3s, once it has been tried.
    tells_int3: ?bool = null,

    pub fn open(allocator: std.mem.Allocator, options: abi.OpenOptions) !*Node {
        const system = try kvm.System.open();
        errdefer system.close();
        const address = try udp.Address.parse(options.address, 0);
        const socket = try udp.open(&address);
        errdefer linux.close(socket);
        const self = try allocator.create(Node);
        errdefer allocator.destroy(self);
        const text = try allocator.dupe(u8, options.address);
        errdefer allocator.free(text);
        self.* = .{
            .allocator = allocator,
            .system = system,
            .socket = socket,
            .address = text,
            .events = try .init(allocator),
        };
        return self;
    }

    pub fn dataPort(self: *Node) i32 {
        return udp.boundPort(self.socket) catch -1;
    }

    pub fn eventFd(self: *Node) i32 {
        return self.events.pipe[0];
    }

    pub fn takeEvents(self: *Node, out: []align(1) abi.Event) anyerror!usize {
        return self.events.take(out);
    }

    pub fn takeConsole(self: *Node, out: []u8) anyerror!usize {
        const machine = self.machine orelse return 0;
        return devices.takeConsole(machine, out);
    }

    pub fn facts(self: *Node, out: []u8) anyerror!usize {
        return host.facts(self.allocator, self.system, out);
    }

    pub fn configure(self: *Node, plan: abi.Plan) anyerror!void {
        if (self.engine != null) return error.BadState;
        if (plan.nodes.len == 0 or plan.nodes.len > limits.nodes_max) return error.OutOfRange;
        if (plan.node >= plan.nodes.len) return error.OutOfRange;
        if (plan.cpuid.len > kvm.cpuid_entries_max) return error.OutOfRange;
        const guards = Guards.without(plan.guard_off) orelse return error.Malformed;
        var shares: [limits.nodes_max]u32 = undefined;
        var addresses: [limits.nodes_max]udp.Address = undefined;
        var pages: u32 = 0;
        for (plan.nodes, 0..) |n, i| {
            shares[i] = n.ram_pages;
            pages = std.math.add(u32, pages, n.ram_pages) catch return error.OutOfRange;
            addresses[i] = try udp.Address.parse(n.address, n.data_port);
        }
        if (pages == 0) return error.OutOfRange;
        const ns_per_ms = limits.ns_per_ms;
        self.engine = try Engine.init(self.allocator, .{
            .node = plan.node,
            .shares = shares[0..plan.nodes.len],
            .addresses = addresses[0..plan.nodes.len],
            .vm_id = plan.vm_id,
            .epoch = plan.epoch,
            .silence_ns = @as(u64, plan.silence_ms) * ns_per_ms,
            .spin_ns = @as(u64, plan.spin_us) * 1000,
            .guards = guards,
            .taken_max_pages = plan.taken_max_pages,
        }, self.socket, &self.events, &self.count);
        self.engine.?.watch.calm.store(true, .monotonic);
        self.tsc_khz = plan.tsc_khz;
        self.machine = try Machine.init(
            self.allocator,
            self.system,
            &plan,
            self.engine.?,
            &self.events,
            &self.count,
        );
        try devices.restoreCmos(self.machine.?, plan.cmos);
        try self.engine.?.start(.{ .context = self.machine.?, .message = Machine.message });
    }

    /// The bytes are copied now and stored into guest memory by a thread of their own.
    pub fn load(self: *Node, gpa: u64, bytes: []const u8, tag: u64) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        if (machine.stopping.load(.acquire)) return error.BadState;
        const ram_bytes = machine.engine.memory.ram_bytes;
        const last = memory.offsetOf(gpa + bytes.len - 1, ram_bytes);
        const first = memory.offsetOf(gpa, ram_bytes) orelse return error.OutOfRange;
        if (last != first + bytes.len - 1) return error.OutOfRange;
        try self.loader.start(machine, gpa, bytes, tag);
    }

    pub fn boot(self: *Node, state: abi.Boot) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        try machine.boot(&state);
    }

    pub fn run(self: *Node, tsc_zero_ns: u64) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        self.loader.join();
        self.engine.?.watch.calm.store(false, .monotonic);
        try machine.run(tsc_zero_ns, self.tsc_khz);
    }

    pub fn tsc(self: *Node, out: *align(1) [2]u64) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        const reading = try machine.tsc.read();
        out.* = .{ reading.count, reading.advanced };
    }

    pub fn advanceTsc(self: *Node, from: u64, ticks: u64) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        if (ticks == 0 or ticks >= 1 << 62) return error.OutOfRange;
        try machine.tsc.advance(machine.vcpus, from, ticks, linux.nowNs());
    }

    pub fn stop(self: *Node) anyerror!void {
        const machine = self.machine orelse return self.events.simple(.stopped, 0, 0);
        machine.stop();
    }

    pub fn consoleInput(self: *Node, bytes: []const u8) anyerror!usize {
        const machine = self.machine orelse return error.BadState;
        return devices.consoleInput(machine, bytes);
    }

    pub fn ioReply(self: *Node, id: u64, bytes: []const u8) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        try machine.bus.slowReply(id, bytes);
    }

    pub fn powerButton(self: *Node) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        devices.pressPower(machine);
    }

    pub fn cmos(self: *Node, out: []u8) anyerror!usize {
        const machine = self.machine orelse return 0;
        return devices.keepCmos(machine, out);
    }

    pub fn counters(self: *Node, out: []align(1) u64) anyerror!usize {
        return self.count.read(out);
    }

    pub fn vcpuState(self: *Node, index: u32, out: []u8) anyerror!usize {
        const machine = self.machine orelse return error.BadState;
        return observe.vcpuState(machine, index, out);
    }

    /// About `length` bytes within one page; the answer is an event.
    pub fn ask(self: *Node, id: u64, what: u32, gpa: u64, length: u32) anyerror!void {
        const kind = std.enums.fromInt(desk.What, what) orelse return error.OutOfRange;
        if (kind == .write) return error.OutOfRange;
        const engine = self.engine orelse return error.BadState;
        try engine.ask(try desk.Question.about(engine.memory.ram_bytes, id, kind, gpa, length));
    }

    /// Stores bytes within one page; the answer is an event.
    pub fn write(self: *Node, id: u64, gpa: u64, bytes: []const u8) anyerror!void {
        if (bytes.len > limits.write_bytes_max) return error.OutOfRange;
        const engine = self.engine orelse return error.BadState;
        const length: u32 = @intCast(bytes.len);
        var wanted = try desk.Question.about(engine.memory.ram_bytes, id, .write, gpa, length);
        @memcpy(wanted.data[0..bytes.len], bytes);
        try engine.ask(wanted);
    }

    pub fn hot(self: *Node, out: []u8) anyerror!usize {
        const engine = self.engine orelse return error.BadState;
        var found: [limits.hot_pages_max]heat.Hot = undefined;
        var pages: [limits.hot_pages_max]abi.HotPage = undefined;
        var totals: heat.Totals = .{};
        const list = engine.heat.top(&found, &totals);
        for (list, pages[0..list.len]) |*from, *to| to.* = .{
            .gpa = memory.gpaOf(@as(u64, from.page) * memory.page_size),
            .transfers = from.transfers,
            .writes = from.writes,
        };
        const answer: abi.HotPages = .{
            .transfers = totals.transfers,
            .writes = totals.writes,
            .pages = pages[0..list.len],
        };
        const bytes = codec.encodeStruct(abi.HotPages, &answer, out) orelse
            return error.NoBufferSpace;
        return bytes.len;
    }

    pub fn pause(self: *Node, hold: bool, vcpu: u32) anyerror!void {
        const machine = self.machine orelse return error.BadState;
        if (machine.stopping.load(.acquire)) return error.BadState;
        if (vcpu == abi.all_vcpus) return machine.pause(hold);
        const one = machine.local(vcpu) orelse return error.OutOfRange;
        one.tell(if (hold) .pause else .run);
    }

    pub const Target = struct { node: *Node, vcpu: u32 };

    pub fn guestDebug(target: Target, wanted: abi.GuestDebug) anyerror!void {
        const machine = target.node.machine orelse return error.BadState;
        // Before one of them is in guest memory.
        if (wanted.int3s.len > 0 and !try target.node.tellsInt3()) return error.Unsupported;
        try observe.guestDebug(machine, target.vcpu, &wanted);
    }

    fn tellsInt3(self: *Node) kvm.Error!bool {
        if (self.tells_int3 == null) self.tells_int3 = try int3.reported(self.system);
        return self.tells_int3.?;
    }

    pub fn setRegisters(target: Target, wanted: abi.GeneralRegisters) anyerror!void {
        const machine = target.node.machine orelse return error.BadState;
        try observe.setRegisters(machine, target.vcpu, wanted.values);
    }

    pub fn registers(self: *Node, vcpu: u32, out: []u8) anyerror!usize {
        const machine = self.machine orelse return error.BadState;
        return machine.registers(vcpu, out);
    }

    pub fn close(self: *Node) anyerror!void {
        if (self.machine) |machine| {
            if (machine.alive.load(.acquire) != 0) return error.Busy;
        }
        self.loader.join();
        // The engine first: its thread hands messages to the machine.
        if (self.engine) |engine| engine.join();
        if (self.machine) |machine| machine.deinit();
        if (self.engine) |engine| engine.deinit();
        self.system.close();
        linux.close(self.socket);
        self.events.deinit(self.allocator);
        self.allocator.free(self.address);
        self.allocator.destroy(self);
    }
};
