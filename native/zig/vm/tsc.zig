//! This node's guest TSC while the VM runs: what it reads, and the steps by which it follows the
//! fastest node. A step is one moment at which no local vCPU is in the guest: one that was already
//! told a later time stamp than another can read would see time go back.
//!
//! The gate is a barrier without a waiter. Who wants a step closes it and goes on; vCPUs that come
//! out of the guest find it closed and stay out, and whoever sees that nobody is inside makes the
//! step and opens it. Every vCPU gives KVM the new offset itself, before it enters again. One that
//! waits for a page is left alone (it would only fault again) and the others wait for it, but no
//! longer than `wait_max_ns`: then the step is given up, and tried again by who wanted it. So
//! neither a page nor another node is ever waited for by more than that.

const std = @import("std");
const clock = @import("clock.zig");
const limits = @import("../limits.zig");
const Counters = @import("../engine/counters.zig").Counters;
const assert = std.debug.assert;

/// How long vCPUs stay out of the guest for one that does not come out. src/protocol/drift.ts
/// relies on it: a step is made in this time or never.
pub const wait_max_ns = 10 * limits.ns_per_ms;

/// Of the gate; the rest of its word counts rounds, so that nobody ends another one's.
const Phase = enum(u2) { open = 0, gathering = 1, stepping = 2 };
const round = 4;

pub const Reading = struct { count: u64, advanced: u64 };

pub const Tsc = struct {
    counters: *Counters,
    /// Its rate, on which all nodes have agreed.
    khz: u32,
    base: clock.Base = .{},
    /// Ticks of all steps made.
    advanced: std.atomic.Value(u64) = .init(0),
    gate: std.atomic.Value(u64) = .init(0),
    /// Of the step that is gathering.
    ticks: std.atomic.Value(u64) = .init(0),
    until_ns: std.atomic.Value(u64) = .init(0),

    /// Any thread, once the vCPUs run. `count` is a counter without steps.
    pub fn read(self: *const Tsc) error{BadState}!Reading {
        if (self.base.rule == .unset) return error.BadState;
        const count = self.base.count();
        return .{ .count = count, .advanced = self.advanced.load(.seq_cst) };
    }

    /// Lets the TSC of all local vCPUs step by `ticks`, if the steps made so far come to `from`.
    /// Does not wait: `advanced` shows that it was made. Busy: another one is under way, or was
    /// made. One thread at a time calls this.
    pub fn advance(self: *Tsc, vcpus: anytype, from: u64, ticks: u64, now_ns: u64) !void {
        assert(ticks > 0 and ticks < 1 << 62);
        switch (self.base.rule) {
            .unset => return error.BadState,
            .host, .other => return error.Unsupported,
            .offset => {},
        }
        // Nobody may have come out to give it up.
        self.giveUp(vcpus, now_ns);
        const gate = self.gate.load(.seq_cst);
        if (phaseOf(gate) != .open or self.advanced.load(.seq_cst) != from) return error.Busy;
        self.ticks.store(ticks, .monotonic);
        self.until_ns.store(now_ns + wait_max_ns, .monotonic);
        self.gate.store(gate + 1, .seq_cst);
        for (vcpus) |*vcpu| {
            if (vcpu.mailbox.inside.load(.seq_cst)) vcpu.kick();
        }
        self.left(vcpus, now_ns);
    }

    /// Whether a vCPU that has said that it is inside must not enter.
    pub fn closed(self: *const Tsc) bool {
        return phaseOf(self.gate.load(.seq_cst)) != .open;
    }

    /// A vCPU has said that it is outside. The last one makes the step.
    pub fn left(self: *Tsc, vcpus: anytype, now_ns: u64) void {
        const gate = self.gate.load(.seq_cst);
        if (phaseOf(gate) != .gathering) return;
        for (vcpus) |*vcpu| if (vcpu.mailbox.inside.load(.seq_cst)) return;
        // Whoever comes in between finds the gate closed and goes out again.
        if (!self.take(gate)) return;
        const late = now_ns > self.until_ns.load(.monotonic);
        if (late) {
            self.counters.add(.tsc_steps_given_up, 1);
        } else {
            const ticks = self.ticks.load(.monotonic);
            _ = self.advanced.fetchAdd(ticks, .seq_cst);
            self.counters.add(.tsc_steps, 1);
            self.counters.add(.tsc_ticks_advanced, ticks);
        }
        self.open(vcpus, gate);
    }

    /// Opens the gate where it has been closed for too long.
    pub fn giveUp(self: *Tsc, vcpus: anytype, now_ns: u64) void {
        const gate = self.gate.load(.seq_cst);
        if (phaseOf(gate) != .gathering or now_ns <= self.until_ns.load(.monotonic)) return;
        if (!self.take(gate)) return;
        self.counters.add(.tsc_steps_given_up, 1);
        self.open(vcpus, gate);
    }

    fn take(self: *Tsc, gathering: u64) bool {
        assert(phaseOf(gathering) == .gathering);
        return self.gate.cmpxchgStrong(gathering, gathering + 1, .seq_cst, .seq_cst) == null;
    }

    fn open(self: *Tsc, vcpus: anytype, gathering: u64) void {
        self.gate.store(gathering - 1 + round, .seq_cst);
        for (vcpus) |*vcpu| vcpu.mailbox.nudge();
    }

    /// The vCPU's own thread, which has said that it is inside and found the gate open: its next
    /// instruction reads all steps made.
    pub fn apply(self: *const Tsc, vcpu: anytype) !void {
        const total = self.advanced.load(.seq_cst);
        if (vcpu.tsc_applied == total) return;
        // Beside what the guest has done to this vCPU's counter.
        try vcpu.kvm.setTscOffset(try vcpu.kvm.tscOffset() +% (total - vcpu.tsc_applied));
        vcpu.tsc_applied = total;
    }
};

fn phaseOf(gate: u64) Phase {
    return @enumFromInt(gate % round);
}
