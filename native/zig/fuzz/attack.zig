//! Datagrams that a link must drop and count, made for one of the two links of link.zig: a
//! stranger's, a broken one, one with parts outside the window, acknowledgements of packets that
//! were never sent, packet numbers far ahead.

const std = @import("std");
const cbor = @import("../wire/cbor.zig");
const frame = @import("../transport/frame.zig");
const header = @import("../transport/header.zig");
const limits = @import("../limits.zig");
const pair = @import("pair.zig");
const Case = @import("link.zig").Case;
const Ranges = @import("../transport/ranges.zig").Ranges;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;

pub fn one(case: *Case, to: u8, source: *Source) !void {
    var buffer: [2048]u8 = undefined;
    const length = switch (source.below(5)) {
        0 => stranger(case, to, source, &buffer) orelse return,
        1 => broken(to, source, &buffer) orelse return,
        2 => outside(case, to, source, &buffer),
        3 => neverSent(case, to, source, &buffer),
        else => farAhead(case, to, source, &buffer),
    };
    const link = &case.sides[to].link;
    const before = link.stats;
    case.receive(to, buffer[0..length]);
    try expect(link.stats.dropped == before.dropped + 1);
    try expect(link.stats.messages_received == before.messages_received);
    try expect(link.heard_ns == case.now_ns or link.stats.datagrams_received ==
        before.datagrams_received);
}

/// An honest datagram whose head was changed in one place that says whose it is.
fn stranger(case: *Case, to: u8, source: *Source, buffer: []u8) ?usize {
    if (case.kept_length == 0) return null;
    const kept = &case.kept[source.below(@intCast(case.kept_length))];
    if (kept.to != to) return null;
    @memcpy(buffer[0..kept.length], kept.bytes[0..kept.length]);
    // All of the head but the packet number.
    buffer[source.below(header.bytes - 8)] ^= 1 + source.below(255);
    return kept.length;
}

/// The right head and a body that is no sequence of frames.
fn broken(to: u8, source: *Source, buffer: []u8) ?usize {
    pair.head(to, source.int(u16)).write(buffer);
    const body = source.slice(600);
    @memcpy(buffer[header.bytes..][0..body.len], body);
    var reader: cbor.Reader = .init(body);
    while (frame.next(&reader) catch return header.bytes + body.len) |_| {}
    return null;
}

/// A part that no sender makes, or far outside the window.
fn outside(case: *Case, to: u8, source: *Source, buffer: []u8) usize {
    const base = case.sides[to].link.incoming.base;
    const bytes = [_]u8{0x55} ** 8;
    var part: frame.Part = .{
        .number = base + source.below(8),
        .after = 0,
        .total = 8,
        .bytes = &bytes,
    };
    switch (source.below(3)) {
        0 => part.number = @max(base + limits.link_messages, source.wide()),
        1 => {
            part.count = 2 + source.below(limits.fragments_max - 1);
            part.index = source.below(part.count);
            // Each part of these would hold more than it does.
            part.total = 100 + @as(u32, source.int(u16)) * 100;
        },
        else => {
            part.total = 1 + source.below(2);
            part.count = 4;
            part.index = source.below(4);
            part.bytes = bytes[0..1];
        },
    }
    pair.head(to, source.int(u16)).write(buffer);
    var writer: cbor.Writer = .init(buffer[header.bytes..]);
    frame.writePart(&writer, &part);
    return header.bytes + writer.end;
}

fn neverSent(case: *Case, to: u8, source: *Source, buffer: []u8) usize {
    const next = case.sides[to].link.packets.next;
    var seen: Ranges = .{};
    seen.items[0] = .{ .first = 1, .last = @max(next, source.wide()) };
    seen.items[0].first = seen.items[0].last -| source.int(u16);
    seen.length = 1;
    pair.head(to, source.int(u16)).write(buffer);
    var writer: cbor.Writer = .init(buffer[header.bytes..]);
    frame.writeAck(&writer, &seen, source.int(u32));
    return header.bytes + writer.end;
}

fn farAhead(case: *Case, to: u8, source: *Source, buffer: []u8) usize {
    const seen = case.sides[to].link.seen.slice();
    const newest = if (seen.len == 0) 0 else seen[0].last;
    pair.head(to, @max(newest + limits.packet_jump_max, source.wide())).write(buffer);
    var writer: cbor.Writer = .init(buffer[header.bytes..]);
    frame.writePing(&writer);
    return header.bytes + writer.end;
}
