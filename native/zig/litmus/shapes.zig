//! The x86-TSO catalogue's shapes as data: what each thread does, and the outcome the shape is
//! about. The instructions (body.zig), the outcomes a memory model allows (model.zig) and the
//! printed text (report.zig) are all made from this table, so they cannot disagree.
//!
//! Names, values and conditions are those of the catalogue of the diy tools (herd, litmus7).

const std = @import("std");

pub const threads_max = 4;
pub const ops_max = 2;

pub const Location = enum(u1) { x, y };
pub const Register = enum(u1) { eax, ebx };

pub const Op = union(enum) {
    store: struct { to: Location, value: u2 },
    load: struct { into: Register, from: Location },
};

/// A term of the condition `exists (term /\ term ...)`.
pub const Term = union(enum) {
    register: struct { thread: u2, register: Register, value: u2 },
    memory: struct { location: Location, value: u2 },
};

pub const Shape = struct {
    name: []const u8,
    threads: []const []const Op,
    condition: []const Term,

    /// Whether the condition speaks of the final memory: then it is part of what is printed.
    pub fn showsMemory(shape: *const Shape) bool {
        for (shape.condition) |term| if (term == .memory) return true;
        return false;
    }
};

/// What stands between the accesses of a thread, or what they are made of.
pub const Sync = enum {
    plain,
    mfences,
    /// Stores by XCHG, loads by LOCK XADD of 0.
    locked,

    pub const all = [_]Sync{ .plain, .mfences, .locked };
};

/// Where x and y of one instance lie.
pub const Placement = enum {
    /// Two cache lines of one page.
    same_page,
    /// Two pages, at home on different nodes where there are two.
    two_pages,
    /// Two bytes of x at the end of one page, two at the start of the next; y on a page near.
    across,
    /// The same, and the two pages are the last of one node's memory and the first of the next's.
    border,

    pub const all = [_]Placement{ .same_page, .two_pages, .across, .border };

    /// Whether x has two bytes on each of two pages.
    pub fn splits(placement: Placement) bool {
        return placement == .across or placement == .border;
    }
};

/// One line of the table: every shape comes with every sync and every placement.
pub const Case = struct { shape: *const Shape, sync: Sync, placement: Placement };

fn w(comptime to: Location, comptime value: u2) Op {
    return .{ .store = .{ .to = to, .value = value } };
}

fn r(comptime into: Register, comptime from: Location) Op {
    return .{ .load = .{ .into = into, .from = from } };
}

fn reg(comptime thread: u2, comptime register: Register, comptime value: u2) Term {
    return .{ .register = .{ .thread = thread, .register = register, .value = value } };
}

fn mem(comptime location: Location, comptime value: u2) Term {
    return .{ .memory = .{ .location = location, .value = value } };
}

pub const all = [_]Shape{
    .{
        .name = "SB",
        .threads = &.{ &.{ w(.x, 1), r(.eax, .y) }, &.{ w(.y, 1), r(.eax, .x) } },
        .condition = &.{ reg(0, .eax, 0), reg(1, .eax, 0) },
    },
    .{
        .name = "MP",
        .threads = &.{ &.{ w(.x, 1), w(.y, 1) }, &.{ r(.eax, .y), r(.ebx, .x) } },
        .condition = &.{ reg(1, .eax, 1), reg(1, .ebx, 0) },
    },
    .{
        .name = "LB",
        .threads = &.{ &.{ r(.eax, .x), w(.y, 1) }, &.{ r(.eax, .y), w(.x, 1) } },
        .condition = &.{ reg(0, .eax, 1), reg(1, .eax, 1) },
    },
    .{
        .name = "S",
        .threads = &.{ &.{ w(.x, 2), w(.y, 1) }, &.{ r(.eax, .y), w(.x, 1) } },
        .condition = &.{ mem(.x, 2), reg(1, .eax, 1) },
    },
    .{
        .name = "R",
        .threads = &.{ &.{ w(.x, 1), w(.y, 1) }, &.{ w(.y, 2), r(.eax, .x) } },
        .condition = &.{ mem(.y, 2), reg(1, .eax, 0) },
    },
    .{
        .name = "2+2W",
        .threads = &.{ &.{ w(.x, 2), w(.y, 1) }, &.{ w(.y, 2), w(.x, 1) } },
        .condition = &.{ mem(.x, 2), mem(.y, 2) },
    },
    .{
        .name = "IRIW",
        .threads = &.{
            &.{w(.x, 1)},
            &.{ r(.eax, .x), r(.ebx, .y) },
            &.{w(.y, 1)},
            &.{ r(.eax, .y), r(.ebx, .x) },
        },
        .condition = &.{ reg(1, .eax, 1), reg(1, .ebx, 0), reg(3, .eax, 1), reg(3, .ebx, 0) },
    },
};

/// The shape of that name; null when there is none.
pub fn named(name: []const u8) ?*const Shape {
    for (&all) |*shape| if (std.mem.eql(u8, shape.name, name)) return shape;
    return null;
}

test "every shape fits its bounds, and its condition names what it does" {
    for (&all) |*shape| {
        try std.testing.expect(shape.threads.len <= threads_max);
        for (shape.threads) |ops| try std.testing.expect(ops.len <= ops_max);
        for (shape.condition) |term| switch (term) {
            .memory => {},
            .register => |wanted| {
                var found = false;
                for (shape.threads[wanted.thread]) |op| {
                    if (op == .load and op.load.into == wanted.register) found = true;
                }
                try std.testing.expect(found);
            },
        };
        try std.testing.expectEqual(shape, named(shape.name).?);
    }
}
