//! Who an interrupt goes to (Intel SDM vol. 3A 11.6.2): computed at the sender from the destination
//! state of every vCPU, which all nodes hold a copy of, so an IPI costs one datagram per node and
//! nobody is asked.

const std = @import("std");
const limits = @import("../limits.zig");

pub const State = struct {
    id: u32,
    ldr: u32 = 0,
    /// Destination format: all ones = flat, 0x0fff_ffff = cluster.
    dfr: u32 = 0xffff_ffff,
    x2apic: bool = false,
    /// Enabled by APIC_BASE: a disabled one takes nothing.
    enabled: bool = true,
    /// Enabled by the spurious vector register: else only INIT, SIPI, NMI.
    software_enabled: bool = false,
};

pub const Mode = enum(u8) {
    fixed = 0,
    lowest = 1,
    smi = 2,
    nmi = 4,
    init = 5,
    sipi = 6,
    extint = 7,
};
pub const Shorthand = enum(u2) { none = 0, self = 1, all = 2, others = 3 };

pub const Request = struct {
    mode: Mode,
    vector: u8,
    level: bool = false,
    shorthand: Shorthand = .none,
    logical: bool = false,
    destination: u32 = 0,
    /// The destination came through 8 bits: 0xff means everyone.
    narrow: bool = false,
};

pub const Set = std.StaticBitSet(limits.vcpus_max + 1);

/// The vCPUs (indices into `states`) the request reaches. `self`: the sender, null for devices.
pub fn resolve(states: []const State, self: ?usize, request: *const Request) Set {
    var set: Set = .initEmpty();
    switch (request.shorthand) {
        .self => if (self) |index| set.set(index),
        .all, .others => for (0..states.len) |index| {
            if (request.shorthand == .others and index == self) continue;
            if (accepts(&states[index], request.mode)) set.set(index);
        },
        .none => for (states, 0..) |*state, index| {
            if (!accepts(state, request.mode)) continue;
            if (matches(state, request)) set.set(index);
        },
    }
    if (request.mode != .lowest) return set;
    // Any of them may take a lowest-priority interrupt; always the first, so that every node that
    // computes it agrees.
    const first = set.findFirstSet() orelse return set;
    var one: Set = .initEmpty();
    one.set(first);
    return one;
}

fn accepts(state: *const State, mode: Mode) bool {
    if (!state.enabled) return false;
    return switch (mode) {
        .fixed, .lowest, .extint => state.software_enabled,
        .smi, .nmi, .init, .sipi => true,
    };
}

fn matches(state: *const State, request: *const Request) bool {
    const d = request.destination;
    const everyone: u32 = if (request.narrow) 0xff else 0xffff_ffff;
    if (!request.logical) return d == everyone or d == state.id;
    if (d == everyone) return true;
    if (state.x2apic) {
        // An I/O APIC or MSI reaches x2APICs by 8 bits only within cluster 0 and flat-like masks.
        const ldr = x2apicLdr(state.id);
        if (request.narrow) return ldr >> 16 == 0 and ldr & d & 0xff != 0;
        return ldr >> 16 == d >> 16 and ldr & d & 0xffff != 0;
    }
    const ldr: u8 = @truncate(state.ldr >> 24);
    const mask: u8 = @truncate(d);
    if (state.dfr >> 28 == 0xf) return ldr & mask != 0;
    return ldr >> 4 == mask >> 4 and ldr & mask & 0xf != 0;
}

/// Logical id of an x2APIC (SDM 11.12.10.2): cluster in the high half, one bit in the low.
pub fn x2apicLdr(id: u32) u32 {
    return (id >> 4) << 16 | @as(u32, 1) << @intCast(id & 0xf);
}

const testing = std.testing;

fn expectSet(expected: []const usize, set: Set) !void {
    try testing.expectEqual(expected.len, set.count());
    for (expected) |index| try testing.expect(set.isSet(index));
}

test "physical, broadcast and shorthands" {
    const on: State = .{ .id = 0, .software_enabled = true };
    var states = [_]State{ on, on, on };
    for (&states, 0..) |*s, i| s.id = @intCast(i);
    states[2].software_enabled = false;
    try expectSet(&.{1}, resolve(&states, 0, &.{ .mode = .fixed, .vector = 64, .destination = 1 }));
    try expectSet(&.{}, resolve(&states, 0, &.{ .mode = .fixed, .vector = 64, .destination = 2 }));
    try expectSet(&.{2}, resolve(&states, 0, &.{ .mode = .init, .vector = 0, .destination = 2 }));
    const all: Request = .{ .mode = .fixed, .vector = 64, .destination = 0xff, .narrow = true };
    try expectSet(&.{ 0, 1 }, resolve(&states, 0, &all));
    try expectSet(&.{ 1, 2 }, resolve(&states, 0, &.{
        .mode = .sipi,
        .vector = 7,
        .shorthand = .others,
    }));
    try expectSet(&.{0}, resolve(&states, 0, &.{
        .mode = .fixed,
        .vector = 9,
        .shorthand = .self,
    }));
}

test "logical destinations: flat, cluster, x2APIC, lowest priority" {
    var states: [20]State = undefined;
    for (&states, 0..) |*s, i| s.* = .{
        .id = @intCast(i),
        .ldr = if (i < 8) @as(u32, 1) << @intCast(24 + i) else 0,
        .software_enabled = true,
    };
    const flat: Request = .{
        .mode = .fixed,
        .vector = 64,
        .logical = true,
        .destination = 0x05,
        .narrow = true,
    };
    try expectSet(&.{ 0, 2 }, resolve(&states, null, &flat));
    var lowest = flat;
    lowest.mode = .lowest;
    try expectSet(&.{0}, resolve(&states, null, &lowest));
    for (&states) |*s| s.dfr = 0x0fff_ffff;
    states[3].ldr = 0x12 << 24;
    const cluster: Request = .{
        .mode = .fixed,
        .vector = 64,
        .logical = true,
        .destination = 0x13,
        .narrow = true,
    };
    try expectSet(&.{3}, resolve(&states, null, &cluster));
    for (&states) |*s| s.x2apic = true;
    const wide: Request = .{
        .mode = .fixed,
        .vector = 64,
        .logical = true,
        .destination = 0x0001_0003,
    };
    try expectSet(&.{ 16, 17 }, resolve(&states, null, &wide));
}
