//! A real node beside a peer that breaks the protocol: engine, links, coherence and machine end by
//! one sentence, and what is no peer's is counted. Nothing here may end by a panic.

const std = @import("std");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const m = @import("../wire/message.zig");
const rig_room = @import("rig.zig");
const udp = @import("../sys/udp.zig");
const peer = @import("hostile_peer.zig");
const Pair = peer.Pair;
const Peer = peer.Peer;
const access = peer.access;
const ipi = peer.ipi;
const testing = std.testing;

const ping = [_]u8{ 0x81, 3 };

const Bad = struct { m.Message, []const u8 };

fn state(vcpu: u8) m.Message {
    return .{ .apic_state = .{
        .vcpu = vcpu,
        .seq = 1 << 60,
        .base = 0xfee0_0800,
        .id = 0xffff_ffff,
        .ldr = 0xffff_ffff,
        .dfr = 0,
        .enabled = true,
    } };
}

fn reply(vcpu: u8, data: []const u8) m.Message {
    return .{ .io_reply = .{ .vcpu = vcpu, .seq = 0, .status = 0, .data = data } };
}

/// Node 0 runs vCPU 0 and has 64 pages, node 1 runs vCPU 1 and has the next 64.
const bad = [_]Bad{
    .{ ipi(3, &.{0}), "an interrupt of no known mode" },
    .{ ipi(0, &.{ 0, 1 }), "an interrupt for another node's vCPU" },
    .{ ipi(4, &.{255}), "an interrupt for another node's vCPU" },
    .{ state(0), "an APIC's state told by a node that does not run its vCPU" },
    .{ state(255), "an APIC's state told by a node that does not run its vCPU" },
    .{ .{ .apic_ack = .{ .vcpu = 9, .seq = 0 } }, "an answer for another node's vCPU" },
    .{ .{ .apic_ack = .{ .vcpu = 0, .seq = 0 } }, "an acknowledgement of what was not told" },
    .{ .{ .apic_ack = .{ .vcpu = 0, .seq = 7 } }, "an acknowledgement of what was not told" },
    .{ access(0, 1, 1, &.{}), "an access by another node's vCPU" },
    .{ access(1, 0, 1, &.{}), "an access of a size no instruction has" },
    .{ access(1, 9, 1, &.{}), "an access of a size no instruction has" },
    .{ access(1, 8, 0xffff_ffff, &.{}), "an access of a size no instruction has" },
    .{ access(1, 2, 1, "abc"), "an access of a size no instruction has" },
    .{ access(1, 4, 1025, &.{}), "an access of a size no instruction has" },
    .{ reply(1, ""), "an answer for another node's vCPU" },
    .{ .{ .done = .{ .page = 1 << 20, .tx = 1 << 56 } }, "a page outside RAM" },
    .{ .{ .done = .{ .page = 3, .tx = 1 << 56 } }, "Done for an idle page" },
    .{ .{ .put_ack = .{ .page = 70, .tx = 0 } }, "PutAck without a Put" },
};

test "each way to break the protocol ends the VM by its sentence" {
    for (&bad) |*one| {
        var pair = try Pair.init();
        defer pair.deinit();
        pair.peer.say(one[0]);
        pair.peer.settle(&pair, Pair.ended);
        const told = try pair.rig.event(.engine_error);
        try testing.expectEqualStrings(one[1], told.text[0..told.length]);
        // Nothing more is obeyed, and nothing said twice.
        pair.peer.say(one[0]);
        pair.peer.say(access(1, 1, 1, &.{}));
        pair.peer.settle(&pair, never);
        try testing.expectEqual(0, pair.peer.replies);
        try pair.rig.stop();
    }
}

fn never(_: *Pair) bool {
    return false;
}

test "bytes that are no message end the VM by a sentence" {
    var pair = try Pair.init();
    defer pair.deinit();
    try pair.peer.link.send(.control, 1, &.{ 0x82, 0x18, 0x63, 0 }, linux.nowNs());
    pair.peer.settle(&pair, Pair.ended);
    const told = try pair.rig.event(.engine_error);
    const text = told.text[0..told.length];
    try testing.expectEqualStrings("a peer sent a message that cannot be read", text);
}

/// Something a peer may say, in numbers of all sizes.
fn permitted(r: std.Random, data: []const u8) m.Message {
    const sizes = [_]u8{ 1, 2, 3, 4, 5, 6, 7, 8 };
    const size = sizes[r.uintLessThan(usize, sizes.len)];
    const count = if (r.boolean()) 1 else r.intRangeAtMost(u32, 1, 4096 / @as(u32, size));
    const ports = [_]u64{
        0xf4, 0x40, 0x43, 0x600, 0x604, 0x608, 0x3f8, 0x3fb, 0x3ff, 0x1000, 0xcf8, 0xcfc, 0xcfe,
    };
    const pages = [_]u64{ 0xfec0_0000, 0xe000_0000, 0xe000_8000, 0xc000_0000 };
    const write = r.boolean();
    const mmio = r.uintLessThan(u8, 4) == 0;
    return switch (r.uintLessThan(u8, 6)) {
        0 => .{ .eoi = .{ .vector = r.int(u8) } },
        1 => ipi(([_]u8{ 0, 1, 2, 4, 6, 7 })[r.uintLessThan(usize, 6)], &.{ 0, 0, 0 }),
        2 => .{ .apic_state = .{
            .vcpu = 1,
            .seq = r.int(u64),
            .base = r.int(u64),
            .id = r.int(u32),
            .ldr = r.int(u32),
            .dfr = r.int(u32),
            .enabled = r.boolean(),
        } },
        3 => reply(0, data[0..r.uintLessThan(usize, data.len)]),
        else => .{ .io_request = .{
            .vcpu = 1,
            .seq = r.int(u64),
            .space = if (mmio) .mmio else .port,
            .write = write,
            .address = if (mmio)
                pages[r.uintLessThan(usize, pages.len)] + r.uintLessThan(u8, 0x50)
            else if (r.uintLessThan(u8, 8) == 0)
                r.int(u64)
            else
                ports[r.uintLessThan(usize, ports.len)],
            .size = size,
            .count = count,
            .data = if (write) data[0 .. size * count] else &.{},
        } },
    };
}

test "thousands of odd accesses, interrupts and APIC states leave the node as it was" {
    var pair = try Pair.init();
    defer pair.deinit();
    var prng: std.Random.DefaultPrng = .init(20);
    const r = prng.random();
    var data: [4096]u8 = undefined;
    for (0..6000) |_| {
        r.bytes(&data);
        pair.peer.say(permitted(r, &data));
    }
    pair.peer.settle(&pair, Pair.ended);
    try testing.expect(!pair.ended());
    try testing.expect(pair.peer.replies > 500);
    try testing.expect(pair.counter(.io_served) > 1000);
}

/// An answer of 4 KB.
const long_access = access(1, 4, 1024, &.{});

test "answers beyond a window wait for a peer that acknowledges late" {
    var pair = try Pair.init();
    defer pair.deinit();
    pair.peer.acknowledges = false;
    const count = limits.link_messages + 1000;
    for (0..count) |_| pair.peer.say(long_access);
    while (pair.counter(.io_served) < count and !pair.ended()) pair.peer.pump();
    try testing.expect(!pair.ended());
    pair.peer.acknowledges = true;
    while (pair.peer.replies < count and !pair.ended()) pair.peer.pump();
    pair.peer.settle(&pair, Pair.ended);
    try testing.expectEqual(count, pair.peer.replies);
    try testing.expect(!pair.ended());
}

test "a peer that takes no answer ends the VM by a sentence" {
    var pair = try Pair.init();
    defer pair.deinit();
    pair.peer.acknowledges = false;
    while (!pair.ended()) pair.peer.say(long_access);
    const told = try pair.rig.event(.engine_error);
    const text = told.text[0..told.length];
    try testing.expectEqualStrings("a peer takes nothing of what it asks for", text);
}

test "what is dropped is counted by its reason" {
    var pair = try Pair.init();
    defer pair.deinit();
    const here = try udp.Address.parse("127.0.0.1", 0);
    const elsewhere = try udp.open(&here);
    defer linux.close(elsewhere);
    var head = Peer.headOf(1);
    var bytes: [limits.mtu_min]u8 = @splat(0);
    head.write(&bytes);
    try udp.send(elsewhere, &pair.peer.to, &bytes);
    head.vm_id = 2;
    try pair.peer.raw(head, &ping);
    head = Peer.headOf(1);
    head.epoch = 0;
    try pair.peer.raw(head, &ping);
    try pair.peer.raw(Peer.headOf(1), &.{ 0x81, 9 });
    try udp.send(pair.peer.socket, &pair.peer.to, "hello");
    try pair.peer.raw(Peer.headOf(std.math.maxInt(u64)), &ping);
    try rig_room.await(&pair, struct {
        fn counted(p: *Pair) bool {
            return p.counter(.dropped) == 6;
        }
    }.counted);
    try testing.expectEqual(2, pair.counter(.dropped_foreign));
    try testing.expectEqual(1, pair.counter(.dropped_epoch));
    try testing.expectEqual(2, pair.counter(.dropped_malformed));
    try testing.expectEqual(1, pair.counter(.dropped_refused));
    try testing.expect(!pair.ended());
}
