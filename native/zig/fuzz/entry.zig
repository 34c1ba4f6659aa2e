//! Datagrams as the engine gets them, from any address, with any head and body, through gate, link,
//! codec and coherence of node 0 of 2: each is dropped and counted, or obeyed, or the VM ends by a
//! sentence.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const frame = @import("../transport/frame.zig");
const header = @import("../transport/header.zig");
const cbor = @import("../wire/cbor.zig");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const pair = @import("pair.zig");
const udp = @import("../sys/udp.zig");
const Dsm = @import("../dsm/dsm.zig").Dsm;
const Gate = @import("../engine/gate.zig").Gate;
const Host = @import("dsm.zig").Host;
const Link = @import("../transport/link.zig").Link;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;
const datagram_max = 9000;

const Case = struct {
    gate: Gate,
    link: Link,
    dsm: Dsm,
    host: Host = .{ .node = 0, .nodes = 2 },
    now_ns: u64 = 1,
    unreadable: bool = false,

    pub fn deliver(self: *Case, bytes: []const u8) void {
        const message = codec.decode(bytes) catch {
            self.unreadable = true;
            return;
        };
        if (!message.isCoherence()) return;
        self.dsm.receive(&self.host, 1, message, self.now_ns);
    }

    pub fn transmit(_: *Case, _: []const u8) void {}
};

pub fn run(allocator: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    const addresses = [_]udp.Address{
        try udp.Address.parse("10.0.0.1", 9000),
        try udp.Address.parse("10.0.0.2", 9000),
        try udp.Address.parse("fd00::2", 9000),
    };
    const case = try allocator.create(Case);
    defer allocator.destroy(case);
    case.* = .{
        .gate = .{ .node = 0, .addresses = addresses[0..2] },
        .link = try Link.init(allocator, pair.config(0, limits.ns_per_ms), 1),
        .dsm = try Dsm.init(allocator, .{
            .node = 0,
            .shares = &.{ 6, 6 },
            .requests = 4,
            .gang_requests = 2,
            .puts = 2,
            .inbox = 24,
            .parked = 8,
            .threads = 2,
        }),
    };
    defer case.dsm.deinit(allocator);
    defer case.link.deinit(allocator);
    var packet: u64 = 0;
    while (source.more() and !case.unreadable and case.host.reason == null) {
        case.now_ns += source.int(u16);
        packet += 1;
        if (source.below(8) == 0) {
            const access: m.Access = @enumFromInt(source.below(2));
            case.dsm.fault(&case.host, source.below(12), access, source.below(2), case.now_ns);
            continue;
        }
        var buffer: [datagram_max]u8 = undefined;
        const datagram = build(&source, packet, &buffer);
        const from = &addresses[if (source.below(8) == 0) source.below(3) else 1];
        const before = counted(case);
        if (case.gate.admit(from, datagram)) |peer| {
            try expect(peer == 1);
            case.link.receive(datagram, case.now_ns, case);
        }
        try expect(counted(case) > before);
        case.link.poll(case.now_ns, case);
        if (case.host.failure) |failure| return failure;
    }
}

/// Every datagram is in one of these.
fn counted(case: *const Case) u64 {
    return case.gate.stats.dropped + case.link.stats.dropped + case.link.stats.datagrams_received;
}

fn build(source: *Source, packet: u64, buffer: []u8) []const u8 {
    if (source.below(16) == 0) return source.slice(datagram_max);
    pair.head(0, packet).write(buffer);
    // Now and then not quite.
    if (source.below(8) == 0) buffer[source.below(header.bytes)] ^= source.int(u8);
    var writer: cbor.Writer = .init(buffer[header.bytes..]);
    const bytes = source.slice(codec.message_bytes_max);
    if (source.below(8) == 0 or bytes.len == 0) {
        @memcpy(writer.buffer[0..bytes.len], bytes);
        writer.end = bytes.len;
    } else frame.writePart(&writer, &.{
        .number = packet,
        .after = 0,
        .total = @intCast(bytes.len),
        .bytes = bytes,
    });
    return buffer[0 .. header.bytes + writer.end];
}
