//! One link whose peer says anything a datagram can say, with the right head: it must survive,
//! deliver no message number twice and keep its own accounts straight.

const std = @import("std");
const cbor = @import("../wire/cbor.zig");
const codec = @import("../wire/codec.zig");
const frame = @import("../transport/frame.zig");
const header = @import("../transport/header.zig");
const limits = @import("../limits.zig");
const pair = @import("pair.zig");
const Class = @import("../wire/message.zig").Class;
const Link = @import("../transport/link.zig").Link;
const Ranges = @import("../transport/ranges.zig").Ranges;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;

const Host = struct {
    delivered: u64 = 0,
    too_long: bool = false,

    pub fn deliver(self: *Host, bytes: []const u8) void {
        self.delivered += 1;
        if (bytes.len == 0 or bytes.len > codec.message_bytes_max) self.too_long = true;
    }

    pub fn transmit(_: *Host, datagram: []const u8) void {
        std.debug.assert(datagram.len >= header.bytes);
    }
};

pub fn run(allocator: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    var host: Host = .{};
    var link = try Link.init(allocator, pair.config(0, limits.ns_per_ms), 1);
    defer link.deinit(allocator);
    var now_ns: u64 = 1;
    var packet: u64 = 1;
    while (source.more()) {
        switch (source.below(8)) {
            0 => now_ns += source.int(u32),
            1 => link.poll(now_ns, &host),
            2 => {
                const bytes = [_]u8{7} ** 3000;
                const length = 1 + source.int(u16) % bytes.len;
                // Full is an answer: the engine ends the VM then.
                const class: Class = @enumFromInt(source.below(3));
                link.send(class, source.below(4), bytes[0..length], now_ns) catch {};
            },
            else => {
                packet = if (source.below(16) == 0) source.wide() else packet +% source.below(3);
                var buffer: [4096]u8 = undefined;
                const datagram = build(&link, &source, packet, &buffer);
                link.receive(datagram, now_ns, &host);
            },
        }
    }
    _ = link.deadline();
    try accounts(&link, &host);
}

/// Frames with fields of all sizes, or the input's own bytes.
fn build(link: *const Link, source: *Source, packet: u64, buffer: []u8) []const u8 {
    pair.head(0, packet).write(buffer);
    var writer: cbor.Writer = .init(buffer[header.bytes..]);
    for (0..1 + source.below(4)) |_| switch (source.below(5)) {
        0 => frame.writePing(&writer),
        1 => ack(link, source, &writer),
        2 => {
            const bytes = source.slice(600);
            @memcpy(writer.buffer[writer.end..][0..bytes.len], bytes);
            writer.end += bytes.len;
        },
        else => part(link, source, &writer),
    };
    return buffer[0 .. header.bytes + writer.end];
}

fn ack(link: *const Link, source: *Source, writer: *cbor.Writer) void {
    var seen: Ranges = .{};
    var last = if (source.boolean()) link.packets.next -| source.below(4) else source.wide();
    for (0..1 + source.below(limits.ack_ranges)) |_| {
        const first = last -| source.int(u16);
        seen.items[seen.length] = .{ .first = first, .last = last };
        seen.length += 1;
        const gap = 2 + @as(u64, source.below(8));
        if (first < gap) break;
        last = first - gap;
    }
    frame.writeAck(writer, &seen, source.int(u32));
}

fn part(link: *const Link, source: *Source, writer: *cbor.Writer) void {
    const near = link.incoming.base -| 2 + source.below(8);
    const number = @max(1, if (source.below(8) == 0) source.wide() else near);
    var distance: u64 = source.below(6);
    if (distance >= number) distance = 0;
    var item: frame.Part = .{
        .number = number,
        .after = if (distance == 0) 0 else number - distance,
        .total = 0,
        .bytes = source.slice(64),
    };
    if (source.boolean()) {
        item.count = 2 + source.below(limits.fragments_max - 1);
        item.index = source.below(item.count);
        item.total = if (source.below(4) == 0) @truncate(source.wide()) else total: {
            const length: u32 = @intCast(item.bytes.len);
            break :total length * item.count -| source.below(4);
        };
    }
    frame.writePart(writer, &item);
}

fn accounts(link: *Link, host: *const Host) !void {
    try expect(!host.too_long);
    try expect(host.delivered <= link.incoming.base - 1 + limits.link_messages);
    var in_flight: u64 = 0;
    for (link.packets.slots) |*slot| {
        if (slot.in_flight) in_flight += slot.bytes;
    }
    try expect(in_flight == link.congestion.in_flight);
    try expect(link.outgoing.oldest <= link.outgoing.next);
    try expect(link.packets.oldest <= link.packets.next);
    try expect(link.seen.length <= limits.ack_ranges);
    // Everything counted is accounted for: nothing is silently lost.
    const s = link.stats;
    try expect(s.dropped == s.malformed + s.foreign + s.other_epoch + s.refused);
}
