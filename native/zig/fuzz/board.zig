//! The devices and interrupt controllers under accesses of any address, size and value, as another
//! node's IoRequests bring them, between interrupts, EOIs and APIC states of any content.

const std = @import("std");
const destination = @import("../apic/destination.zig");
const map = @import("../devices/map.zig");
const m = @import("../wire/message.zig");
const ApicEffects = @import("../apic/local.zig").Effects;
const Board = @import("../devices/board.zig").Board;
const Effects = @import("../devices/board.zig").Effects;
const Local = @import("../apic/local.zig").Local;
const Sample = @import("../devices/pci/sample.zig").Sample;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;
const states_max = 20;
const output_bytes = 16;

const Case = struct {
    board: Board,
    apic: Local,
    device: Sample = .{},
    states: [states_max]destination.State = @splat(.{ .id = 0 }),
    now_ns: u64 = 1 << 40,
};

pub fn run(_: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    var output: [output_bytes]u8 = undefined;
    var case: Case = .{ .board = .init(1_795_525_559, 1 << 40, &output), .apic = .init(3, false) };
    case.board.pci.attach(1, &case.device.function);
    case.apic.has_deadline = source.boolean();
    while (source.more()) {
        var effects: Effects = .{};
        switch (source.below(11)) {
            0 => case.board.eoi(source.int(u8), &effects),
            1 => case.board.pressPower(&effects),
            2 => case.board.tick(case.now_ns, &effects),
            3 => {
                case.now_ns += source.int(u32);
                var taken: [7]u8 = undefined;
                _ = case.board.takeOutput(&taken, case.now_ns, &effects);
            },
            4 => _ = case.board.input(source.slice(40), &effects),
            5 => interrupt(&case, &source),
            6 => told(&case, &source),
            7 => case.device.function.raise(@intCast(source.below(4)), &effects.pci),
            else => access(&case, &source, &effects),
        }
        try expect(effects.lost <= 8);
        try expect(case.board.output.length <= output_bytes);
        for ([_][]const destination.Request{
            effects.requests(),
            effects.pci.requests(),
        }) |requests| for (requests) |*request| {
            const set = destination.resolve(&case.states, null, request);
            try expect((set.findLastSet() orelse 0) < states_max);
        };
        try expect(effects.pci.wakes & ~@as(u32, 1 << 1) == 0);
        _ = case.board.deadline();
    }
}

fn access(case: *Case, source: *Source, effects: *Effects) void {
    const ports = [_]u16{
        map.pm1a_event, map.probe_port, map.debug_exit_port,  map.uart_port,
        0x40,           0x61,           0x70,                 0x20,
        0xa0,           0x4d0,          0x60,                 0x92,
        map.reset_port, map.crtc_port,  map.pci_address_port, map.pci_data_port,
    };
    const places = [_]u64{
        map.io_apic_gpa,
        map.probe_gpa,
        map.ecam_gpa,
        map.ecam_gpa + (1 << 15),
        map.ecam_gpa + (1 << 15) + 0x40,
        map.pci_window_gpa,
        map.pci_window_gpa + 0x800,
        map.pci_window_gpa + 0x4000,
    };
    const space: m.Space = if (source.boolean()) .mmio else .port;
    const offset = source.below(16);
    const address: u64 = if (source.below(8) == 0) source.wide() else switch (space) {
        .port => @as(u64, ports[source.below(ports.len)]) + offset,
        .mmio => places[source.below(places.len)] + @as(u64, offset) *
            @as(u64, if (source.boolean()) 8 else 4),
    };
    var data: [8]u8 = @bitCast(source.wide());
    const size = 1 + source.below(8);
    const write = source.boolean();
    case.board.access(space, address, write, data[0..size], case.now_ns, effects);
}

fn interrupt(case: *Case, source: *Source) void {
    switch (source.below(12)) {
        0 => case.apic.nmi(),
        1 => case.apic.requestInit(),
        2 => case.apic.requestSipi(source.int(u8)),
        3 => if (case.apic.deliverable()) |vector| case.apic.acknowledge(vector, case.now_ns),
        4 => case.apic.tick(case.now_ns, source.boolean()),
        5 => case.apic.setTscDeadline(source.wide(), case.now_ns + source.below(100), case.now_ns),
        6 => case.apic.retime(case.now_ns + source.below(100)),
        7...10 => register(case, source),
        else => case.apic.accept(source.int(u8), source.boolean()),
    }
    if (case.apic.takeInit()) case.apic.reset();
    _ = case.apic.deadline(source.boolean());
}

/// A store to a register of the local APIC, or a load of the timer's count.
fn register(case: *Case, source: *Source) void {
    const timer = [_]u12{ 0xf0, 0x320, 0x380, 0x3e0 };
    const value: u32 = @truncate(source.wide());
    const any: u12 = @truncate(source.int(u16));
    const offset = if (source.boolean()) timer[source.below(timer.len)] else any;
    var effects: ApicEffects = .{};
    switch (source.below(4)) {
        0 => _ = case.apic.mmioRead(0x390, case.now_ns),
        1 => case.apic.mmioWrite(offset, value, case.now_ns, &effects),
        2 => _ = case.apic.msrWrite(0x800 + (offset >> 4), value, case.now_ns, &effects),
        // On, its timer in any mode, open.
        else => {
            case.apic.mmioWrite(0xf0, 0x1ff, case.now_ns, &effects);
            case.apic.mmioWrite(0x320, value & ~@as(u32, 1 << 16), case.now_ns, &effects);
        },
    }
}

/// What a peer says of its vCPUs, and an interrupt to whoever it reaches.
fn told(case: *Case, source: *Source) void {
    const base = source.wide();
    case.states[source.below(states_max)] = .{
        .id = @truncate(source.wide()),
        .ldr = @truncate(source.wide()),
        .dfr = @truncate(source.wide()),
        .x2apic = base & 1 << 10 != 0,
        .enabled = base & 1 << 11 != 0,
        .software_enabled = source.boolean(),
    };
    _ = destination.resolve(&case.states, source.below(states_max), &.{
        .mode = std.enums.fromInt(destination.Mode, source.below(8)) orelse .fixed,
        .vector = source.int(u8),
        .shorthand = @enumFromInt(source.below(4)),
        .logical = source.boolean(),
        .destination = @truncate(source.wide()),
        .narrow = source.boolean(),
    });
}
