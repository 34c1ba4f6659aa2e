//! When two states of the small world of links behave alike. Packet numbers are taken relative to
//! the next one of their sender, times only as due or not; a range of acknowledged packets only as
//! far as the sender still asks for it.
//!
//! Left out because nothing here depends on them: round-trip times (they decide how long a time-out
//! is, and any may come at any moment), the congestion window (a few messages never fill it) and
//! statistics. Datagrams under way are a set.

const std = @import("std");
const cbor = @import("../wire/cbor.zig");
const frame = @import("../transport/frame.zig");
const header = @import("../transport/header.zig");
const links = @import("links.zig");
const Link = @import("../transport/link.zig").Link;
const Range = @import("../transport/ranges.zig").Range;
const limits = @import("../limits.zig");
const World = links.World;
const assert = std.debug.assert;

const Writer = struct {
    buffer: [1024]u8 = undefined,
    end: usize = 0,

    fn byte(self: *Writer, value: usize) void {
        self.buffer[self.end] = @intCast(value);
        self.end += 1;
    }

    fn hash(self: *const Writer) u64 {
        return std.hash.Wyhash.hash(0, self.buffer[0..self.end]);
    }
};

pub fn fingerprint(w: *World) u64 {
    var out: Writer = .{};
    const s = &w.shared;
    for ([_]u8{ s.losses, s.doubles, s.early, s.sent[0], s.sent[1] }) |value| out.byte(value);
    for (w.links, 0..) |*link, end| {
        out.byte(s.got[end]);
        outgoing(&out, link);
        incoming(&out, link, w.options.messages[1 - end].len);
        ranges(&out, link.seen.slice(), &w.links[1 - end]);
        assert(link.seen.floor == 0);
        out.byte(if (link.ack_due_ns) |due| @as(usize, if (due <= s.now[end]) 1 else 2) else 0);
        out.byte(@min(link.unacked_packets, 8));
        assert(link.congestion.mayRelease() and link.backlog.empty());
    }
    var under_way: u64 = 0;
    // A sum, as their order is nobody's.
    for (w.datagrams[0..s.count]) |*datagram| under_way +%= hashOf(w, datagram);
    const own = out.hash();
    return std.hash.Wyhash.hash(own, std.mem.asBytes(&under_way));
}

fn outgoing(out: *Writer, link: *Link) void {
    const o = &link.outgoing;
    out.byte(o.next);
    out.byte(o.oldest);
    for (o.oldest..o.next) |number| {
        const slot = &o.slots[number];
        if (slot.number != number) continue;
        out.byte(number);
        out.byte(slot.after);
        out.byte(slot.acked);
    }
    out.byte(0xff);
    for (&o.queues) |*queue| {
        for (0..queue.length) |i| {
            const part = queue.items[queue.head + i];
            const slot = &o.slots[part.number];
            const gone = slot.number != part.number or
                slot.acked >> @intCast(part.index) & 1 == 1;
            if (!gone) out.byte(part.number << 2 | part.index);
        }
        out.byte(0xff);
    }
    for (link.packets.oldest..link.packets.next) |number| {
        const packet = link.packets.get(number) orelse continue;
        out.byte(link.packets.next - number);
        out.byte(if (packet.asks == 0) 0 else link.packets.next - packet.asks);
        // Whether the next probe will ask for it.
        out.byte(@intFromBool(packet.sent_ns + limits.rto_min_ns / 2 <= link.probeDue().?));
        for (packet.slice()) |part| out.byte(part.number << 2 | part.index);
        out.byte(0xff);
    }
    out.byte(0xfe);
}

fn incoming(out: *Writer, link: *Link, count: usize) void {
    const base = link.incoming.base;
    out.byte(base);
    if (base > count) return;
    for (base..count + 1) |number| {
        const slot = &link.incoming.slots[number];
        if (slot.number != number) {
            out.byte(0xff);
            continue;
        }
        out.byte(@intFromEnum(slot.state));
        out.byte(slot.waiter);
        out.byte(slot.after);
        out.byte(slot.have);
    }
}

/// Of packets that `sender` has sent. It asks for none below the oldest in flight; of the newest
/// it also asks how far back it lies.
fn ranges(out: *Writer, list: []const Range, sender: *const Link) void {
    for (list, 0..) |range, i| {
        const oldest = sender.packets.oldest;
        if (i > 0 and range.last < oldest) break;
        out.byte(sender.packets.next - range.last);
        out.byte(sender.packets.next - @min(@max(range.first, oldest), range.last));
    }
    out.byte(0xff);
}

fn hashOf(w: *World, datagram: *const links.Datagram) u64 {
    var out: Writer = .{};
    const bytes = datagram.bytes[0..datagram.length];
    const head = header.Header.read(bytes) catch unreachable;
    const sender = &w.links[1 - datagram.to];
    out.byte(datagram.to);
    out.byte(sender.packets.next - head.packet);
    var reader: cbor.Reader = .init(bytes[header.bytes..]);
    while (frame.next(&reader) catch unreachable) |item| switch (item) {
        .ack => |*ack| {
            out.byte(0xfd);
            ranges(&out, ack.slice(), &w.links[datagram.to]);
        },
        .ping => out.byte(0xfc),
        .part => |*part| {
            out.byte(part.number << 2 | part.index);
            out.byte(part.after);
        },
    };
    return out.hash();
}
