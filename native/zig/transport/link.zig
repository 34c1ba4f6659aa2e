//! Reliable datagrams between two nodes, as a state machine: bytes and `now` go in, datagrams and
//! messages come out. Exactly once, in order per key and not otherwise, urgent before bulk.
//!
//! Intuition: messages are numbered and live until acknowledged; packets are numbered separately
//! and die when acknowledged or lost; a lost packet only puts its parts back into the queues.
//!
//! Long because receiving, acknowledging and sending share all of the state.

const std = @import("std");
const backlog_room = @import("backlog.zig");
const cbor = @import("../wire/cbor.zig");
const codec = @import("../wire/codec.zig");
const limits = @import("../limits.zig");
const frame = @import("frame.zig");
const guards = @import("guards.zig");
const header = @import("header.zig");
const Class = @import("../wire/message.zig").Class;
const Congestion = @import("congestion.zig").Congestion;
const Incoming = @import("incoming.zig").Incoming;
const outgoing_room = @import("outgoing.zig");
const Outgoing = outgoing_room.Outgoing;
const Part = outgoing_room.Part;
const Packets = @import("packets.zig").Packets;
const Packet = @import("packets.zig").Packet;
const path_room = @import("path.zig");
const Ranges = @import("ranges.zig").Ranges;
const Rtt = @import("rtt.zig").Rtt;
const assert = std.debug.assert;

pub const Config = struct {
    vm_id: u64,
    epoch: u32,
    self: u8,
    peer: u8,
    /// Largest UDP payload of the path.
    mtu: u32,
    heartbeat_ns: u64,
    /// Of the VM: what may be owed to a peer grows with them.
    nodes: u8,
};

pub const Stats = struct {
    datagrams_sent: u64 = 0,
    datagrams_received: u64 = 0,
    bytes_sent: u64 = 0,
    bytes_received: u64 = 0,
    messages_sent: u64 = 0,
    messages_received: u64 = 0,
    retransmitted: u64 = 0,
    duplicates: u64 = 0,
    /// All of the following.
    dropped: u64 = 0,
    malformed: u64 = 0,
    /// Of another VM, node or kind of packet.
    foreign: u64 = 0,
    other_epoch: u64 = 0,
    /// Outside the window, or nothing that a sender of this protocol sends.
    refused: u64 = 0,
};

pub const Reason = enum { malformed, foreign, other_epoch, refused };

/// Later packets acknowledged before one counts as lost (RFC 9002 section 6.1.1).
const reorder_packets = 3;
/// Probes in a row without an answer that stand for a way that is blocked (RFC 9002 section 7.6).
const silent_probes = 3;
/// What left so long before a probe that is answered is lost: nothing is overtaken by that much.
const probe_reach_ns = limits.rto_min_ns / 2;

/// Full: more waits for the peer than the protocols above may owe it (limits.zig), so it asks
/// without end, or never acknowledges.
pub const SendError = error{Full};

pub const Link = struct {
    config: Config,
    outgoing: Outgoing,
    /// What finds no room there.
    backlog: backlog_room.Backlog,
    incoming: Incoming,
    packets: Packets,
    path: path_room.Path = .{},
    /// What was taken for the largest payload of the path until it was found to be none; else 0.
    narrowed_from: u32 = 0,
    /// Something that was sent is acknowledged.
    answered: bool = false,
    rtt: Rtt = .{},
    congestion: Congestion,
    seen: Ranges = .{},
    /// When the last probe left.
    probed_ns: u64 = 0,
    stats: Stats = .{},
    heard_ns: u64,
    sent_ns: u64,
    largest_seen_ns: u64 = 0,
    ack_due_ns: ?u64 = null,
    unacked_packets: u32 = 0,
    buffer: []u8,

    pub fn init(allocator: std.mem.Allocator, config: Config, now_ns: u64) !Link {
        assert(config.mtu >= path_room.least_bytes and config.mtu <= limits.datagram_bytes_max);
        assert(config.self != config.peer);
        return .{
            .config = config,
            .outgoing = try Outgoing.init(allocator),
            .backlog = try .init(backlog_room.sizeFor(config.nodes)),
            .incoming = try Incoming.init(allocator),
            .packets = try Packets.init(allocator),
            .congestion = .init(config.mtu),
            .heard_ns = now_ns,
            .sent_ns = now_ns,
            .buffer = try allocator.alloc(u8, config.mtu + frame.ack_bytes_max),
        };
    }

    pub fn deinit(self: *Link, allocator: std.mem.Allocator) void {
        self.outgoing.deinit(allocator);
        self.backlog.deinit();
        self.incoming.deinit(allocator);
        self.packets.deinit(allocator);
        allocator.free(self.buffer);
    }

    /// Queues a copy of the message; poll sends it.
    pub fn send(
        self: *Link,
        class: Class,
        key: u64,
        bytes: []const u8,
        now_ns: u64,
    ) SendError!void {
        _ = now_ns;
        if (self.room() > 0) {
            self.outgoing.add(class, key, bytes, self.partBytes(bytes.len));
        } else {
            try self.backlog.add(.{ .class = class, .key = key, .bytes = bytes });
        }
        self.stats.messages_sent += 1;
    }

    /// How many messages would not have to wait for an acknowledgement; none overtakes those that
    /// do.
    pub fn room(self: *const Link) usize {
        const free = self.backlog.empty() or !guards.on(.backlog_first);
        return if (free) self.outgoing.room() else 0;
    }

    fn refill(self: *Link) void {
        if (self.backlog.empty()) return;
        var buffer: [codec.message_bytes_max]u8 = undefined;
        while (!self.backlog.empty() and self.outgoing.room() > 0) {
            const item = self.backlog.take(&buffer);
            self.outgoing.add(item.class, item.key, item.bytes, self.partBytes(item.bytes.len));
        }
    }

    /// Bytes of a message that fit into one datagram beside an acknowledgement.
    fn partMost(self: *const Link) usize {
        return self.config.mtu - header.bytes - frame.part_overhead - 32;
    }

    fn partBytes(self: *const Link, length: usize) u16 {
        return outgoing_room.evenly(length, self.partMost());
    }

    pub fn lastHeard(self: *const Link) u64 {
        return self.heard_ns;
    }

    /// Nothing waits for the peer: what a quiesced link must say before an epoch ends.
    pub fn idle(self: *const Link) bool {
        return self.outgoing.empty() and self.backlog.empty();
    }

    /// Takes one datagram as it came from the socket. One that is dropped changes nothing but the
    /// counters.
    pub fn receive(self: *Link, datagram: []const u8, now_ns: u64, host: anytype) void {
        const head = header.Header.read(datagram) catch return self.drop(.malformed);
        if (self.foreign(&head)) |reason| return self.drop(reason);
        const body = datagram[header.bytes..];
        if (self.implausible(body)) |reason| return self.drop(reason);
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.len;
        self.heard_ns = now_ns;
        if (head.packet < self.seen.floor) {
            // Too old to be reported in an acknowledgement; its parts came again in later packets.
            self.stats.duplicates += 1;
            return;
        }
        var reader: cbor.Reader = .init(body);
        var eliciting = false;
        while (frame.next(&reader) catch unreachable) |item| switch (item) {
            .ack => |*ack| self.onAck(ack, now_ns),
            .ping => eliciting = true,
            .part => |*part| {
                eliciting = true;
                switch (self.incoming.accept(part, host)) {
                    .fresh => self.stats.messages_received += 1,
                    .duplicate => self.stats.duplicates += 1,
                    // Unacknowledged, so the peer sends it again when there is room.
                    .refused => return self.drop(.refused),
                }
            },
        };
        const newest = self.seen.length == 0 or head.packet > self.seen.items[0].last;
        const gap = !newest or (self.seen.length > 0 and head.packet - self.seen.items[0].last > 1);
        _ = self.seen.add(head.packet);
        if (newest) self.largest_seen_ns = now_ns;
        if (eliciting) self.owe(now_ns, gap);
    }

    /// A hole is reported at once, so that the peer repairs it in a round trip.
    fn owe(self: *Link, now_ns: u64, gap: bool) void {
        self.unacked_packets += 1;
        const prompt = gap or self.unacked_packets >= 8;
        const due = if (prompt) now_ns else now_ns + limits.ack_delay_ns;
        self.ack_due_ns = if (self.ack_due_ns) |earlier| @min(earlier, due) else due;
    }

    fn foreign(self: *const Link, head: *const header.Header) ?Reason {
        const wanted = self.config;
        if (head.plane != .data or head.vm_id != wanted.vm_id or head.source != wanted.peer or
            head.destination != wanted.self or head.key_epoch != 0 or head.tag_length != 0)
        {
            return .foreign;
        }
        if (head.epoch != wanted.epoch and guards.on(.epoch_check)) return .other_epoch;
        const newest = if (self.seen.length == 0) 0 else self.seen.items[0].last;
        return if (head.packet -| newest >= limits.packet_jump_max) .refused else null;
    }

    /// Looks at every frame before one is obeyed.
    fn implausible(self: *const Link, body: []const u8) ?Reason {
        var reader: cbor.Reader = .init(body);
        while (frame.next(&reader) catch return .malformed) |item| switch (item) {
            // Of packets that were never sent.
            .ack => |*ack| if (ack.items[0].last >= self.packets.next) return .refused,
            .part => |*part| if (!self.incoming.plausible(part)) return .refused,
            .ping => {},
        };
        return null;
    }

    fn drop(self: *Link, reason: Reason) void {
        self.stats.dropped += 1;
        switch (reason) {
            inline else => |name| @field(self.stats, @tagName(name)) += 1,
        }
    }

    fn onAck(self: *Link, ack: *const frame.Ack, now_ns: u64) void {
        const largest = ack.items[0].last;
        assert(largest < self.packets.next);
        self.answered = true;
        if (self.packets.get(largest)) |packet| {
            const elapsed = now_ns -| packet.sent_ns;
            self.rtt.sample(elapsed -| @as(u64, ack.delay_us) * 1000);
        }
        var probed: u64 = 0;
        for (ack.slice()) |range| {
            const named = if (guards.on(.exact_acks)) range.first else 0;
            const first = @max(named, self.packets.oldest);
            var number = first;
            while (number <= range.last) : (number += 1) {
                const packet = self.packets.get(number) orelse continue;
                for (packet.slice()) |part| self.outgoing.acknowledge(part);
                probed = @max(probed, packet.asks);
                self.rtt.answered();
                self.congestion.acked(packet.bytes);
                self.path.arrived(packet.bytes);
                self.packets.finish(packet);
            }
        }
        self.path.acknowledged(largest, now_ns);
        // Fast retransmit: everything well below the largest acknowledged packet is lost, and what
        // a probe asked for that is not named with it.
        while (self.packets.oldestInFlight()) |packet| {
            const passed = packet.number + reorder_packets <= largest or packet.number <= probed;
            if (!passed or !guards.on(.fast_retransmit)) break;
            self.lose(packet, now_ns);
        }
    }

    fn lose(self: *Link, packet: *Packet, now_ns: u64) void {
        var again = false;
        for (packet.slice()) |part| {
            if (!self.outgoing.wanted(part)) continue;
            again = true;
            if (guards.on(.retransmission)) self.outgoing.enqueue(part);
        }
        self.stats.retransmitted += @intFromBool(again);
        self.congestion.lost(packet.bytes, packet.sent_ns, now_ns);
        self.packets.finish(packet);
    }

    /// Sends what may be sent; host.transmit(datagram) for each. Call after send, receive and at
    /// deadline().
    pub fn poll(self: *Link, now_ns: u64, host: anytype) void {
        if (self.path.blocked(now_ns)) self.narrow(now_ns);
        self.refill();
        self.drain(now_ns, host);
        // A probe may be bulk: nothing urgent waits behind it.
        self.expire(now_ns, host);
        self.drain(now_ns, host);
        const ack_due = if (self.ack_due_ns) |due| due <= now_ns else false;
        const silent = now_ns -| self.sent_ns >= self.config.heartbeat_ns;
        if ((ack_due or silent) and !self.packets.full()) self.emit(now_ns, host);
    }

    fn drain(self: *Link, now_ns: u64, host: anytype) void {
        while (!self.packets.full() and self.nextClass() != null) self.emit(now_ns, host);
    }

    /// Next time poll has something to do; null never happens, as there is always a heartbeat.
    pub fn deadline(self: *Link) ?u64 {
        const probe_ns = self.probeDue();
        // No packet leaves before one of those under way is lost or acknowledged.
        if (self.packets.full()) return probe_ns;
        var at = self.sent_ns + self.config.heartbeat_ns;
        if (self.ack_due_ns) |due| at = @min(at, due);
        if (probe_ns) |due| at = @min(at, due);
        return at;
    }

    /// When the oldest packet has waited for a time-out, since it left or since the last probe.
    pub fn probeDue(self: *Link) ?u64 {
        const packet = self.packets.oldestInFlight() orelse return null;
        return @max(packet.sent_ns, self.probed_ns) + self.rtt.timeout();
    }

    /// Probes instead of sending everything again (RFC 9002 section 6.2): most often the peer is
    /// only slow. The answer to the probe tells what is lost, and how long the way is.
    fn expire(self: *Link, now_ns: u64, host: anytype) void {
        while (self.probeDue()) |due| {
            if (due > now_ns) return;
            const packet = self.packets.oldestInFlight().?;
            const full = self.packets.full();
            if (full) {
                // Its place is for what drain sends next, with an acknowledgement on board.
                self.lose(packet, now_ns);
            } else if (!self.probe(packet, now_ns, host)) {
                self.congestion.gone(packet.bytes);
                self.packets.finish(packet);
                continue;
            }
            self.probed_ns = now_ns;
            self.rtt.expired();
            if (self.rtt.backoff >= silent_probes) self.congestion.collapse(now_ns);
            if (self.path.doubtful() and !full and !self.packets.full()) self.ping(now_ns, host);
        }
    }

    /// Small, so it may arrive where no large datagram does; its acknowledgement tells.
    fn ping(self: *Link, now_ns: u64, host: anytype) void {
        const packet = self.packets.begin(now_ns);
        var writer = self.begin(packet);
        self.acknowledge(&writer, now_ns);
        frame.writePing(&writer);
        self.transmit(packet, &writer, host);
    }

    /// From now on no datagram is larger than what every way takes. Nothing of what is under way
    /// is waited for, as its parts are others now.
    fn narrow(self: *Link, now_ns: u64) void {
        while (self.packets.oldestInFlight()) |packet| self.packets.finish(packet);
        self.narrowed_from = self.config.mtu;
        self.config.mtu = path_room.least_bytes;
        self.path = .{};
        self.congestion = .init(self.config.mtu);
        self.outgoing.narrow(self.partMost());
        self.rtt.answered();
        self.probed_ns = now_ns;
    }

    /// Sends again what nobody acknowledged of a packet, beyond the congestion window; false if all
    /// of it came with other packets.
    fn probe(self: *Link, old: *const Packet, now_ns: u64, host: anytype) bool {
        if (!guards.on(.retransmission)) return false;
        const packet = self.packets.begin(now_ns);
        var writer = self.begin(packet);
        for (old.slice()) |part| {
            if (self.outgoing.wanted(part)) self.write(packet, part, &writer);
        }
        if (packet.count == 0) return false;
        packet.asks = self.packets.sentBy(now_ns -| probe_reach_ns);
        self.stats.retransmitted += 1;
        self.transmit(packet, &writer, host);
        return true;
    }

    fn nextClass(self: *Link) ?Class {
        if (!guards.on(.urgent_first) and self.outgoing.peek(.bulk) != null) return .bulk;
        for ([_]Class{ .urgent, .control }) |class| {
            if (self.outgoing.peek(class) != null) return class;
        }
        if (!self.congestion.mayRelease()) return null;
        return if (self.outgoing.peek(.bulk) != null) .bulk else null;
    }

    /// Builds and transmits one datagram: acknowledgement first, then parts by class.
    fn emit(self: *Link, now_ns: u64, host: anytype) void {
        const packet = self.packets.begin(now_ns);
        var writer = self.begin(packet);
        self.acknowledge(&writer, now_ns);
        self.fill(packet, &writer);
        if (packet.count == 0 and now_ns -| self.sent_ns >= self.config.heartbeat_ns) {
            frame.writePing(&writer);
        }
        self.transmit(packet, &writer, host);
    }

    /// What was received, if the peer is to hear of it.
    fn acknowledge(self: *Link, writer: *cbor.Writer, now_ns: u64) void {
        if (self.ack_due_ns == null) return;
        const delay_us = (now_ns -| self.largest_seen_ns) / 1000;
        frame.writeAck(writer, &self.seen, @intCast(@min(delay_us, 1_000_000)));
        self.ack_due_ns = null;
        self.unacked_packets = 0;
    }

    /// The clear header; the rest is to be written behind it.
    fn begin(self: *Link, packet: *const Packet) cbor.Writer {
        const head: header.Header = .{
            .plane = .data,
            .vm_id = self.config.vm_id,
            .epoch = self.config.epoch,
            .source = self.config.self,
            .destination = self.config.peer,
            .packet = packet.number,
        };
        head.write(self.buffer);
        return .init(self.buffer[header.bytes..]);
    }

    fn transmit(self: *Link, packet: *Packet, writer: *const cbor.Writer, host: anytype) void {
        const size: u32 = @intCast(header.bytes + writer.end);
        assert(size <= self.config.mtu);
        const eliciting = packet.count > 0;
        const now_ns = packet.sent_ns;
        self.packets.commit(packet, size, eliciting);
        if (eliciting) {
            self.congestion.sent(size);
            self.path.sent(packet.number, size);
        }
        self.sent_ns = now_ns;
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += size;
        host.transmit(self.buffer[0..size]);
    }

    fn fill(self: *Link, packet: *Packet, writer: *cbor.Writer) void {
        while (packet.count < limits.frames_per_packet) {
            const class = self.nextClass() orelse return;
            const part = self.outgoing.peek(class).?;
            const view = self.outgoing.view(part);
            const end = header.bytes + writer.end + frame.part_overhead + view.bytes.len;
            if (end > self.config.mtu and packet.count > 0) return;
            // A part always fits beside nothing or a short acknowledgement (partBytes); a long one
            // may push it past the MTU, then it waits for the next datagram.
            if (end > self.config.mtu and writer.end > 0) return;
            _ = self.outgoing.take(class);
            self.write(packet, part, writer);
        }
    }

    fn write(self: *Link, packet: *Packet, part: Part, writer: *cbor.Writer) void {
        const view = self.outgoing.view(part);
        frame.writePart(writer, &.{
            .number = part.number,
            .after = view.after,
            .total = view.total,
            .index = part.index,
            .count = view.count,
            .bytes = view.bytes,
        });
        packet.parts[packet.count] = part;
        packet.count += 1;
    }
};
