//! The engine and its socket on a scripted kernel: full buffers, refusals, errors of routes, and
//! datagrams that are none.

const std = @import("std");
const abi = @import("../abi.zig");
const limits = @import("../limits.zig");
const script_rig = @import("script_rig.zig");
const udp = @import("../sys/udp.zig");
const Datagram = @import("../sys/scripted_net.zig").Datagram;
const Rig = script_rig.Rig;
const os = std.os.linux;
const own_page = script_rig.own_page;
const remote_page = script_rig.remote_page;
const testing = std.testing;

test "a datagram the kernel does not take is sent again" {
    for ([_]os.E{ .NOBUFS, .AGAIN, .NOMEM, .PERM }) |code| {
        var rig: Rig = undefined;
        try rig.init();
        defer rig.deinit();
        rig.kernel.next(.{ .call = .sendto }, .{ .fails = code }, 1);
        rig.fault(remote_page, 0);
        rig.turn();
        try testing.expectEqual(0, rig.peer.link.stats.messages_received);
        try testing.expectEqual(0, rig.events.length);
        rig.engine.now_ns += 10 * std.time.ns_per_s;
        rig.turn();
        try testing.expectEqual(1, rig.peer.link.stats.messages_received);
    }
}

test "a refused port is told at once, of the peer whose it is" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    answers(&rig, 2);
    // Node 2 refused an earlier datagram; the kernel says so when one to node 1 is sent.
    rig.kernel.next(.{ .call = .sendto }, .{ .fails = .CONNREFUSED }, 1);
    rig.kernel.net.reported(rig.addresses[2], .CONNREFUSED);
    rig.fault(remote_page, 0);
    rig.turn();
    try rig.expectEvent(.peer_refused, 2);
    try testing.expectEqual(0, rig.events.length);
    // The one to node 1 went out nevertheless, without waiting for a repetition.
    try testing.expectEqual(1, rig.peer.link.stats.messages_received);
}

test "the failure of a route is taken from its queue, and costs no datagram" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(.{ .call = .sendto }, .{ .fails = .HOSTUNREACH }, 1);
    rig.kernel.net.reported(rig.addresses[2], .HOSTUNREACH);
    rig.fault(remote_page, 0);
    rig.turn();
    try testing.expectEqual(0, rig.kernel.net.reports.items.len);
    try testing.expectEqual(0, rig.events.length);
    try testing.expectEqual(1, rig.peer.link.stats.messages_received);
}

test "a refusal that comes up while reading does not hide the datagrams behind it" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    answers(&rig, 1);
    rig.kernel.next(.{ .call = .recvfrom }, .{ .fails = .CONNREFUSED }, 1);
    rig.kernel.next(.{ .call = .recvfrom }, .{ .fails = .INTR }, 2);
    rig.kernel.net.reported(rig.addresses[1], .CONNREFUSED);
    try rig.peer.want(own_page, .read);
    rig.turn();
    try rig.expectEvent(.peer_refused, 1);
    try testing.expectEqual(1, rig.engine.links[1].?.stats.messages_received);
}

test "a route that is gone for a while is no refusal" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    answers(&rig, 2);
    for ([_]os.E{ .HOSTUNREACH, .MSGSIZE, .NETUNREACH, .CONNREFUSED }) |code| {
        rig.kernel.next(.{ .call = .recvfrom }, .{ .fails = code }, 1);
        const node: usize = if (code == .CONNREFUSED) 2 else 1;
        rig.kernel.net.reported(rig.addresses[node], code);
    }
    rig.turn();
    try rig.expectEvent(.peer_refused, 2);
    try testing.expectEqual(0, rig.events.length);
}

test "a silent peer is lost after its silence, one never heard after the first word's limit" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    shorten(&rig);
    const start_ns = rig.engine.now_ns;
    try rig.peer.want(own_page, .read);
    rig.turn();
    pass(&rig, start_ns + second);
    try testing.expectEqual(0, rig.events.length);
    pass(&rig, start_ns + 2 * second);
    try expectSilent(&rig, 1, 1000);
    pass(&rig, start_ns + limits.first_word_ns - second);
    try testing.expectEqual(0, rig.events.length);
    pass(&rig, start_ns + limits.first_word_ns + second);
    try expectSilent(&rig, 2, 0);
    // Each is told once.
    pass(&rig, start_ns + 2 * limits.first_word_ns);
    try testing.expectEqual(0, rig.events.length);
}

test "a port that refuses before it answers is told after the first word's limit" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    const start_ns = rig.engine.now_ns;
    rig.engine.watch.silence_ns = limits.first_word_ns;
    rig.engine.watch.next_ns = 0;
    // Node 1 is heard all the same, and node 2 never is.
    for ([_]usize{ 1, 2 }) |node| rig.kernel.net.reported(rig.addresses[node], .CONNREFUSED);
    pass(&rig, start_ns + limits.first_word_ns - second);
    try rig.peer.want(own_page, .read);
    rig.turn();
    try testing.expectEqual(0, rig.kernel.net.reports.items.len);
    try testing.expectEqual(0, rig.events.length);
    pass(&rig, start_ns + limits.first_word_ns + second);
    for ([_]u8{ 1, 2 }) |node| try expectToldOf(&rig, .peer_refused, node, 1);
    try testing.expectEqual(0, rig.events.length);
}

test "a port that refused and then answered is forgiven, until it refuses again" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.engine.watch.silence_ns = limits.first_word_ns;
    rig.engine.watch.next_ns = 0;
    rig.kernel.net.reported(rig.addresses[1], .CONNREFUSED);
    rig.fault(remote_page, 0);
    rig.turn();
    // Its datagram brings the acknowledgement, too.
    try rig.peer.want(own_page, .read);
    rig.turn();
    // The first word is due before the silence is too long.
    rig.engine.watch.began_ns -= 2 * second;
    pass(&rig, rig.engine.now_ns + limits.first_word_ns - second);
    try testing.expectEqual(0, rig.events.length);
    rig.kernel.net.reported(rig.addresses[1], .CONNREFUSED);
    rig.engine.watch.next_ns = 0;
    rig.turn();
    try expectToldOf(&rig, .peer_refused, 1, 0);
}

test "while no guest runs a peer may be silent for longer" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    shorten(&rig);
    rig.engine.watch.calm.store(true, .monotonic);
    try rig.peer.want(own_page, .read);
    rig.turn();
    const heard_ns = rig.engine.now_ns;
    pass(&rig, heard_ns + limits.calm_silence_ns);
    try testing.expectEqual(0, rig.events.length);
    rig.engine.watch.calm.store(false, .monotonic);
    pass(&rig, heard_ns + limits.calm_silence_ns + second);
    try expectSilent(&rig, 1, 1000);
}

test "nobody was silent while this node was held up itself" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    shorten(&rig);
    try rig.peer.want(own_page, .read);
    rig.turn();
    rig.engine.now_ns += std.time.ns_per_hour;
    rig.turn();
    try testing.expectEqual(0, rig.events.length);
    pass(&rig, rig.engine.now_ns + 2 * second);
    try expectSilent(&rig, 1, 1000);
}

test "a way that takes only small datagrams is told once, and the peer is not lost" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.engine.links[1].?.narrowed_from = 8972;
    for (0..2) |_| rig.engine.watch.look(rig.engine.links, rig.engine.now_ns, &rig.events);
    var event: [2]abi.Event = undefined;
    try testing.expectEqual(1, rig.events.take(&event));
    try testing.expectEqual(@intFromEnum(abi.EventKind.narrowed), event[0].kind);
    try testing.expectEqual(1, event[0].node);
    try testing.expectEqual(8972, event[0].a);
}

const second = std.time.ns_per_s;

/// It has acknowledged something.
fn answers(rig: *Rig, node: usize) void {
    rig.engine.links[node].?.answered = true;
}

/// A second of silence is enough, from here on.
fn shorten(rig: *Rig) void {
    rig.engine.watch.silence_ns = second;
    rig.engine.watch.next_ns = 0;
    rig.turn();
}

/// The engine looks at its peers whenever it meant to.
fn pass(rig: *Rig, until_ns: u64) void {
    while (rig.engine.watch.next_ns < until_ns) {
        rig.engine.now_ns = rig.engine.watch.next_ns;
        rig.turn();
    }
    rig.engine.now_ns = until_ns;
    rig.turn();
}

fn expectSilent(rig: *Rig, node: u8, limit_ms: u64) !void {
    try expectToldOf(rig, .peer_silent, node, limit_ms);
}

fn expectToldOf(rig: *Rig, kind: abi.EventKind, node: u8, a: u64) !void {
    var event: [1]abi.Event = undefined;
    try testing.expectEqual(1, rig.events.take(&event));
    try testing.expectEqual(@intFromEnum(kind), event[0].kind);
    try testing.expectEqual(node, event[0].node);
    try testing.expectEqual(a, event[0].a);
}

test "short, cut and foreign datagrams are dropped and counted" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try rig.peer.want(own_page, .read);
    const whole = rig.kernel.net.inbox.orderedRemove(0);
    const long = try testing.allocator.alloc(u8, limits.datagram_bytes_max + 1);
    defer testing.allocator.free(long);
    @memset(long, 0);
    @memcpy(long[0..whole.bytes.len], whole.bytes);
    const stranger = try udp.Address.parse("192.0.2.9", 2);
    for ([_]Datagram{
        .{ .address = whole.address, .bytes = &.{} },
        .{ .address = whole.address, .bytes = whole.bytes[0..31] },
        // Longer than the buffer: its head is right, its end is lost.
        .{ .address = whole.address, .bytes = long },
        .{ .address = stranger, .bytes = whole.bytes },
    }) |datagram| rig.kernel.net.arrives(datagram.address, datagram.bytes);
    rig.turn();
    const gate = &rig.engine.gate.stats;
    try testing.expectEqual(4, gate.dropped);
    try testing.expectEqual(3, gate.malformed);
    try testing.expectEqual(1, gate.foreign);
    const stats = &rig.engine.links[1].?.stats;
    try testing.expectEqual(0, stats.datagrams_received);
    rig.kernel.net.arrives(whole.address, whole.bytes);
    rig.turn();
    try testing.expectEqual(1, stats.messages_received);
}

test "interrupts that a peer does not acknowledge wait and leave room for coherence" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    const fabric = &rig.engine.fabric;
    // Node 2 says nothing.
    while (fabric.length < fabric.items.len) {
        // The test's thread is the engine's, too, and may not wait for it.
        fabric.sendPromptly(2, .{ .eoi = .{ .vector = 7 } });
        rig.turn();
        try testing.expect(!rig.engine.ended);
    }
    const sent = &rig.engine.links[2].?.stats.messages_sent;
    try testing.expectEqual(limits.fabric_messages, sent.*);
    rig.fault(script_rig.silent_page, 0);
    rig.turn();
    try testing.expectEqual(limits.fabric_messages + 1, sent.*);
    try testing.expectEqual(0, rig.events.length);
    // It is lost, and nobody waits for it any more.
    shorten(&rig);
    pass(&rig, rig.engine.now_ns + 2 * limits.first_word_ns);
    fabric.send(2, .{ .eoi = .{ .vector = 7 } });
    try testing.expectEqual(fabric.items.len, fabric.length);
}
