//! Interrupts between vCPUs, also across nodes. Destinations are computed here, at the sender, from
//! the replicated state of all local APICs; each destination node gets one datagram. What changes
//! that state retires only after every node has acknowledged it, so no node computes with an older
//! one.

const std = @import("std");
const destination = @import("../apic/destination.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const m = @import("../wire/message.zig");
const Machine = @import("machine.zig").Machine;
const Vcpu = @import("vcpu.zig").Vcpu;

/// Destination states of every vCPU of the machine, the same on every node.
pub const States = struct {
    lock: linux.Lock = .{},
    items: [limits.vcpus_max + 1]destination.State = undefined,
    seqs: [limits.vcpus_max + 1]u64 = @splat(0),
    count: usize,

    pub fn init(count: usize) States {
        var self: States = .{ .count = count };
        for (0..count) |i| self.items[i] = .{ .id = @intCast(i) };
        return self;
    }

    fn set(self: *States, index: u8, seq: u64, state: destination.State) void {
        self.lock.lock();
        defer self.lock.unlock();
        if (seq <= self.seqs[index]) return;
        self.seqs[index] = seq;
        self.items[index] = state;
    }

    fn resolve(self: *States, sender: ?usize, request: *const destination.Request) destination.Set {
        self.lock.lock();
        defer self.lock.unlock();
        return destination.resolve(self.items[0..self.count], sender, request);
    }
};

/// Acknowledgements of the destination state that was published last. Its number and how many are
/// missing are one word, so a late acknowledgement of an older state counts for nothing.
pub const Acks = struct {
    /// The vCPU's thread only.
    seq: u64 = 0,
    /// The lower 24 bits of seq, then how many are missing.
    word: std.atomic.Value(u32) = .init(0),

    /// A new state, which so many nodes must acknowledge; its number.
    fn begin(self: *Acks, nodes: u8) u64 {
        self.seq += 1;
        self.word.store(@as(u32, lower(self.seq)) << 8 | nodes, .release);
        return self.seq;
    }

    /// False for a state that was never told, and for more acknowledgements than nodes.
    pub fn possible(self: *const Acks, seq: u64) bool {
        const word = self.word.load(.acquire);
        const age = @as(u24, @intCast(word >> 8)) -% lower(seq);
        return if (age == 0) word & 0xff != 0 else age < 1 << 23;
    }

    fn lower(seq: u64) u24 {
        return @truncate(seq);
    }

    /// A node knows the state with this number; true when it was the last.
    fn take(self: *Acks, seq: u64) bool {
        var word = self.word.load(.acquire);
        while (word >> 8 == lower(seq) and word & 0xff != 0) {
            const taken = self.word.cmpxchgWeak(word, word - 1, .acq_rel, .acquire);
            word = taken orelse return word & 0xff == 1;
        }
        return false;
    }
};

test "an acknowledgement of an older state counts for nothing" {
    var acks: Acks = .{};
    const first = acks.begin(2);
    try std.testing.expect(!acks.take(first));
    const second = acks.begin(2);
    try std.testing.expect(!acks.take(first));
    try std.testing.expect(!acks.take(second));
    try std.testing.expect(acks.possible(second));
    try std.testing.expect(acks.take(second));
    try std.testing.expect(!acks.take(second));
    try std.testing.expect(acks.possible(first));
    try std.testing.expect(!acks.possible(second));
    try std.testing.expect(!acks.possible(second + 1));
}

/// How a message leaves: vCPU and device threads queue it, and so does the control plane's thread,
/// which must not wait for room; the engine thread sends it itself.
pub const Way = enum { queue, promptly, engine };

/// Delivers to every vCPU the request reaches, here and elsewhere; false when there is none.
pub fn deliver(
    machine: *Machine,
    sender: ?usize,
    request: *const destination.Request,
    way: Way,
) bool {
    const set = machine.states.resolve(sender, request);
    for (0..machine.nodes) |n| {
        const node: u8 = @intCast(n);
        var targets: [limits.vcpus_max + 1]u8 = undefined;
        var count: usize = 0;
        for (machine.first[n]..machine.first[n + 1]) |index| {
            if (!set.isSet(index)) continue;
            targets[count] = @intCast(index);
            count += 1;
        }
        if (count == 0) continue;
        const ipi: m.Ipi = .{
            .mode = @intFromEnum(request.mode),
            .vector = request.vector,
            .level = request.level,
            .targets = targets[0..count],
        };
        if (node == machine.node) {
            arrive(machine, &ipi);
        } else {
            machine.counters.add(.ipis_sent, 1);
            send(machine, node, .{ .ipi = ipi }, way);
        }
    }
    return set.count() > 0;
}

fn send(machine: *Machine, to: u8, message: m.Message, way: Way) void {
    switch (way) {
        .queue => machine.engine.fabric.send(to, message),
        .promptly => machine.engine.fabric.sendPromptly(to, message),
        .engine => machine.engine.send(to, message),
    }
}

/// An interrupt for vCPUs of this node.
pub fn arrive(machine: *Machine, ipi: *const m.Ipi) void {
    const mode = std.enums.fromInt(destination.Mode, ipi.mode) orelse return;
    for (ipi.targets) |index| {
        const vcpu = machine.local(index) orelse continue;
        vcpu.lock.lock();
        switch (mode) {
            // The sender's copy of our state may be older than an INIT.
            .fixed, .lowest, .extint => if (vcpu.apic.receives()) {
                vcpu.apic.accept(ipi.vector, ipi.level);
            },
            .nmi => vcpu.apic.nmi(),
            .init => vcpu.apic.requestInit(),
            .sipi => vcpu.apic.requestSipi(ipi.vector),
            // No firmware, so no system management mode to enter.
            .smi => {},
        }
        vcpu.lock.unlock();
        vcpu.kick();
    }
}

/// Tells all nodes the new destination state of a local vCPU; does not wait.
pub fn publish(machine: *Machine, vcpu: *Vcpu) void {
    const state = vcpu.apic.state();
    const seq = vcpu.acks.begin(@intCast(machine.nodes - 1));
    machine.states.set(vcpu.index, seq, state);
    for (0..machine.nodes) |n| {
        if (n == machine.node) continue;
        machine.engine.fabric.send(@intCast(n), .{ .apic_state = .{
            .vcpu = vcpu.index,
            .seq = seq,
            .base = vcpu.apic.baseRegister(),
            .id = state.id,
            .ldr = state.ldr,
            .dfr = state.dfr,
            .enabled = state.software_enabled,
        } });
    }
}

/// Waits until every node knows; false when the vCPU must stop instead.
pub fn awaitAcks(vcpu: *Vcpu) bool {
    while (true) {
        const word = vcpu.acks.word.load(.acquire);
        if (word & 0xff == 0) return true;
        if (!vcpu.waitWhile(&vcpu.acks.word, word, null)) return false;
    }
}

/// Another node's vCPU changed; engine thread.
pub fn onState(machine: *Machine, from: m.NodeId, s: *const m.ApicState) void {
    if (s.vcpu >= machine.states.count) return;
    const enable = 1 << 11;
    const x2apic = 1 << 10;
    machine.states.set(s.vcpu, s.seq, .{
        .id = s.id,
        .ldr = s.ldr,
        .dfr = s.dfr,
        .x2apic = s.base & x2apic != 0,
        .enabled = s.base & enable != 0,
        .software_enabled = s.enabled,
    });
    machine.engine.send(from, .{ .apic_ack = .{ .vcpu = s.vcpu, .seq = s.seq } });
}

pub fn onAck(machine: *Machine, ack: *const m.ApicAck) void {
    const vcpu = machine.local(ack.vcpu) orelse return;
    if (vcpu.acks.take(ack.seq)) linux.futexWake(&vcpu.acks.word);
}
