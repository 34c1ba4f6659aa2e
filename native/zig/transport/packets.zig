//! Packets in flight: what each carried, when it left, how large it was. A packet number is never
//! used again; a retransmission is a new packet that carries old parts.

const std = @import("std");
const limits = @import("../limits.zig");
const Part = @import("outgoing.zig").Part;
const assert = std.debug.assert;

const window = limits.link_packets;

pub const Packet = struct {
    number: u64 = 0,
    in_flight: bool = false,
    /// Of a probe: the newest packet of which it asks what became; else 0.
    asks: u64 = 0,
    sent_ns: u64 = 0,
    bytes: u32 = 0,
    count: u8 = 0,
    parts: [limits.frames_per_packet]Part = undefined,

    pub fn slice(self: *const Packet) []const Part {
        return self.parts[0..self.count];
    }
};

pub const Packets = struct {
    slots: []Packet,
    next: u64 = 1,
    /// Lowest number that may be in flight.
    oldest: u64 = 1,

    pub fn init(allocator: std.mem.Allocator) !Packets {
        const slots = try allocator.alloc(Packet, window);
        @memset(slots, .{});
        return .{ .slots = slots };
    }

    pub fn deinit(self: *Packets, allocator: std.mem.Allocator) void {
        allocator.free(self.slots);
    }

    pub fn full(self: *const Packets) bool {
        return self.next - self.oldest >= window;
    }

    /// The slot of the next packet; its number is `next` until commit.
    pub fn begin(self: *Packets, now_ns: u64) *Packet {
        assert(!self.full());
        const packet = &self.slots[self.next % window];
        assert(!packet.in_flight);
        packet.* = .{ .number = self.next, .sent_ns = now_ns };
        return packet;
    }

    /// The number is used up. A packet that nobody needs to acknowledge is not kept.
    pub fn commit(self: *Packets, packet: *Packet, bytes: u32, eliciting: bool) void {
        assert(packet.number == self.next);
        packet.bytes = bytes;
        packet.in_flight = eliciting;
        self.next += 1;
        self.trim();
    }

    pub fn get(self: *Packets, number: u64) ?*Packet {
        const packet = &self.slots[number % window];
        return if (packet.number == number and packet.in_flight) packet else null;
    }

    pub fn finish(self: *Packets, packet: *Packet) void {
        assert(packet.in_flight);
        packet.in_flight = false;
        self.trim();
    }

    /// The newest packet in flight that had left by then; 0 = none.
    pub fn sentBy(self: *Packets, at_ns: u64) u64 {
        var number = self.next;
        while (number > self.oldest) {
            number -= 1;
            const packet = self.get(number) orelse continue;
            if (packet.sent_ns <= at_ns) return number;
        }
        return 0;
    }

    pub fn oldestInFlight(self: *Packets) ?*Packet {
        self.trim();
        return if (self.oldest == self.next) null else &self.slots[self.oldest % window];
    }

    fn trim(self: *Packets) void {
        while (self.oldest < self.next and !self.slots[self.oldest % window].in_flight) {
            self.oldest += 1;
        }
    }
};
