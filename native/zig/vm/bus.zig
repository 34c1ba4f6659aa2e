//! Where a port or MMIO access goes: to a device of this node, to TypeScript, to another node, or
//! nowhere. TypeScript owns the table; this file executes it. The table is part of the epoch: every
//! node computes it from what all agreed on, has it before any vCPU runs, and keeps it until the
//! reset; a datagram of another epoch is dropped by its head. Accesses of one vCPU keep program
//! order: each is answered before the next.

const std = @import("std");
const abi = @import("../abi.zig");
const devices = @import("devices.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const m = @import("../wire/message.zig");
const BoardEffects = @import("../devices/board.zig").Effects;
const Machine = @import("machine.zig").Machine;
const Vcpu = @import("vcpu.zig").Vcpu;
const assert = std.debug.assert;

pub const Access = struct { space: m.Space, write: bool, address: u64, size: u8, count: u32 };

const Route = abi.Route;
/// Slow accesses under way at once: one per vCPU of the cluster.
const slow_max = 256;
/// Bytes of one access, repetitions included.
pub const data_max = 4096;
const status_ok = 0;
const status_failed = 1;

const Slow = struct { used: bool = false, node: m.NodeId = 0, vcpu: u8 = 0, seq: u64 = 0 };

pub const Bus = struct {
    machine: *Machine,
    /// Set once, before any vCPU or message.
    routes: []const Route = &.{},
    lock: linux.Lock = .{},
    patience_ns: u64 = limits.io_patience_ns,
    slow: [slow_max]Slow = @splat(.{}),

    pub fn deinit(self: *Bus) void {
        self.machine.allocator.free(self.routes);
    }

    fn find(self: *const Bus, space: m.Space, address: u64) ?Route {
        for (self.routes) |route| {
            if (route.space != @intFromEnum(space)) continue;
            if (address >= route.first and address <= route.last) return route;
        }
        return null;
    }

    /// Executes an access of a local vCPU, in its thread; `data` holds size * count bytes.
    pub fn access(self: *Bus, vcpu: *Vcpu, a: Access, data: []u8) void {
        assert(data.len == @as(usize, a.size) * a.count);
        const route = self.find(a.space, a.address) orelse {
            if (!a.write) @memset(data, 0xff);
            return;
        };
        if (route.node == self.machine.node and !route.slow) {
            self.machine.counters.add(.io_local, 1);
            if (self.execute(a, data) == .goes_on) return;
            // As its reset line holds a processor: what it did next could be taken for a crash. It
            // waits as for an answer, which never comes.
            expect(vcpu, self.machine.node);
            _ = vcpu.waitWhile(&vcpu.answer.ready, 0, null);
            return;
        }
        expect(vcpu, route.node);
        if (route.node == self.machine.node) {
            if (!self.handUp(self.machine.node, vcpu.index, vcpu.io_seq, a, data)) {
                if (!a.write) @memset(data, 0xff);
                return;
            }
        } else {
            self.machine.counters.add(.io_forwarded, 1);
            self.machine.engine.fabric.send(route.node, .{ .io_request = .{
                .vcpu = vcpu.index,
                .seq = vcpu.io_seq,
                .space = a.space,
                .write = a.write,
                .address = a.address,
                .size = a.size,
                .count = a.count,
                .data = if (a.write) data[0..@min(data.len, data_max)] else &.{},
            } });
        }
        self.await(vcpu, route.node, a, data);
    }

    fn await(self: *Bus, vcpu: *Vcpu, node: m.NodeId, a: Access, data: []u8) void {
        const patience_ends_ns = linux.nowNs() + self.patience_ns;
        if (!vcpu.waitWhile(&vcpu.answer.ready, 0, patience_ends_ns)) {
            if (vcpu.mailbox.read() == .stop) return;
            self.complain(vcpu, node, a);
            // Never an invented answer: it waits on until the machine is stopped.
            if (!vcpu.waitWhile(&vcpu.answer.ready, 0, null)) return;
        }
        if (a.write) return;
        const answer = &vcpu.answer;
        if (answer.status != status_ok or answer.length != data.len) return @memset(data, 0xff);
        @memcpy(data, answer.data[0..data.len]);
    }

    fn complain(self: *Bus, vcpu: *const Vcpu, node: m.NodeId, a: Access) void {
        var text: [160]u8 = undefined;
        const format = "node {d} has not answered vCPU {d}'s access to {t} {x} for {d} s";
        const seconds = self.patience_ns / std.time.ns_per_s;
        const reason = std.fmt.bufPrint(&text, format, .{
            node,
            vcpu.index,
            a.space,
            a.address,
            seconds,
        }) catch "a device does not answer";
        self.machine.events.text(.engine_error, vcpu.index, reason);
    }

    const Outcome = enum { goes_on, machine_ends };

    /// The device itself, on its node. Any thread. Whoever ends the machine, by a reset or its
    /// power-off, is told nothing any more.
    fn execute(self: *Bus, a: Access, data: []u8) Outcome {
        const machine = self.machine;
        var done: usize = 0;
        while (done < data.len) : (done += a.size) {
            var effects: BoardEffects = .{};
            machine.board_lock.lock();
            const unit = data[done..][0..a.size];
            machine.board.access(a.space, a.address, a.write, unit, linux.nowNs(), &effects);
            machine.board_lock.unlock();
            devices.carryOut(machine, &effects);
            if (effects.reset or effects.poweroff) return .machine_ends;
        }
        return .goes_on;
    }

    /// An access of another node's vCPU; engine thread.
    pub fn serve(self: *Bus, from: m.NodeId, request: *const m.IoRequest) void {
        self.machine.counters.add(.io_served, 1);
        const a: Access = .{
            .space = request.space,
            .write = request.write,
            .address = request.address,
            .size = request.size,
            .count = request.count,
        };
        const bytes = std.math.mul(usize, a.size, a.count) catch 0;
        const sane = bytes > 0 and bytes <= data_max and a.size <= 8 and
            (!a.write or request.data.len == bytes);
        const route = self.find(a.space, a.address);
        const here = sane and route != null and route.?.node == self.machine.node;
        if (!here) {
            return self.reply(from, request.vcpu, request.seq, status_failed, &.{});
        }
        var data: [data_max]u8 = undefined;
        if (a.write) @memcpy(data[0..bytes], request.data);
        if (route.?.slow) {
            if (self.handUp(from, request.vcpu, request.seq, a, data[0..bytes])) return;
            return self.reply(from, request.vcpu, request.seq, status_failed, &.{});
        }
        if (self.execute(a, data[0..bytes]) == .machine_ends) return;
        // A device's interrupts that its thread has queued go before the answer, which may tell of
        // what they are for (PCI 3.0, 3.2.5: a read pushes earlier writes out).
        self.machine.engine.forwardQueued();
        const answer: []const u8 = if (a.write) &.{} else data[0..bytes];
        self.reply(from, request.vcpu, request.seq, status_ok, answer);
    }

    fn reply(self: *Bus, to: m.NodeId, vcpu: u8, seq: u64, status: u8, data: []const u8) void {
        self.machine.engine.send(to, .{ .io_reply = .{
            .vcpu = vcpu,
            .seq = seq,
            .status = status,
            .data = data,
        } });
    }

    /// The owner's answer for a local vCPU; engine or JS thread.
    pub fn answered(self: *Bus, from: m.NodeId, r: *const m.IoReply) void {
        const vcpu = self.machine.local(r.vcpu) orelse return;
        const answer = &vcpu.answer;
        if (answer.seq != r.seq or answer.ready.load(.acquire) != 0) return;
        if (answer.node != from or r.data.len > data_max) return;
        answer.status = r.status;
        answer.length = @intCast(r.data.len);
        @memcpy(answer.data[0..r.data.len], r.data);
        answer.ready.store(1, .release);
        linux.futexWake(&answer.ready);
    }

    /// A slow device: TypeScript answers through slowReply. False when too many wait already, which
    /// only a peer that sends a vCPU's next access before the answer can bring about.
    fn handUp(self: *Bus, node: m.NodeId, vcpu: u8, seq: u64, a: Access, data: []const u8) bool {
        const id = self.reserve(.{ .used = true, .node = node, .vcpu = vcpu, .seq = seq }) orelse
            return false;
        const packed_access = @as(u64, a.size) | @as(u64, a.count) << 8 |
            @as(u64, @intFromBool(a.write)) << 32 | @as(u64, @intFromBool(a.space == .mmio)) << 33 |
            @as(u64, vcpu) << 40;
        const told = self.machine.events.push(.{
            .kind = @intFromEnum(abi.EventKind.io),
            .length = 0,
            .node = node,
            .a = id,
            .b = a.address,
            .c = packed_access,
        }, if (a.write) data else &.{});
        if (!told) self.release(id);
        return told;
    }

    fn release(self: *Bus, id: u64) void {
        self.lock.lock();
        defer self.lock.unlock();
        self.slow[id].used = false;
    }

    fn reserve(self: *Bus, access_under_way: Slow) ?u64 {
        self.lock.lock();
        defer self.lock.unlock();
        for (&self.slow, 0..) |*slot, i| {
            if (slot.used) continue;
            slot.* = access_under_way;
            return i;
        }
        return null;
    }

    /// JS thread.
    pub fn slowReply(self: *Bus, id: u64, data: []const u8) !void {
        if (id >= slow_max or data.len > data_max) return error.OutOfRange;
        self.lock.lock();
        const slot = self.slow[id];
        self.slow[id].used = false;
        self.lock.unlock();
        if (!slot.used) return error.NotFound;
        const r: m.IoReply = .{
            .vcpu = slot.vcpu,
            .seq = slot.seq,
            .status = status_ok,
            .data = data,
        };
        if (slot.node == self.machine.node) return self.answered(slot.node, &r);
        self.machine.engine.fabric.sendPromptly(slot.node, .{ .io_reply = r });
    }
};

/// From here on an answer is that of the vCPU's next access.
fn expect(vcpu: *Vcpu, node: m.NodeId) void {
    vcpu.io_seq += 1;
    vcpu.answer.seq = vcpu.io_seq;
    vcpu.answer.node = node;
    vcpu.answer.ready.store(0, .release);
}
