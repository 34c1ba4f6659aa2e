//! Messages coming from one peer: exactly once, in the order of their key. A message that names a
//! predecessor not delivered yet is held in its slot; fragments are gathered there too. Everything
//! else goes straight from the datagram to the engine.

const std = @import("std");
const limits = @import("../limits.zig");
const codec = @import("../wire/codec.zig");
const untouched = @import("../untouched.zig");
const guards = @import("guards.zig");
const Part = @import("frame.zig").Part;
const assert = std.debug.assert;

const window = limits.link_messages;
const mask = window - 1;

const State = enum { absent, gathering, held, delivered };

const Slot = struct {
    number: u64 = 0,
    state: State = .absent,
    /// The held message that waits for this one; 0 = none. Each message is named by one at most.
    waiter: u64 = 0,
    after: u64 = 0,
    total: u16 = 0,
    count: u8 = 0,
    have: u8 = 0,
};

pub const Verdict = enum { fresh, duplicate, refused };

pub const Incoming = struct {
    slots: []Slot,
    storage: []u8,
    /// All numbers below were delivered.
    base: u64 = 1,

    pub fn init(allocator: std.mem.Allocator) !Incoming {
        const slots = try allocator.alloc(Slot, window);
        @memset(slots, .{});
        return .{
            .slots = slots,
            .storage = try untouched.alloc(u8, window * codec.message_bytes_max),
        };
    }

    pub fn deinit(self: *Incoming, allocator: std.mem.Allocator) void {
        untouched.free(u8, self.storage);
        allocator.free(self.slots);
    }

    /// Takes one part; calls host.deliver(bytes) for each message that became deliverable.
    /// `refused`: outside the window or inconsistent, so it must not be acknowledged.
    pub fn accept(self: *Incoming, part: *const Part, host: anytype) Verdict {
        if (part.number < self.base) return self.again(part, host);
        if (!self.plausible(part)) return .refused;
        const slot = self.claim(part.number);
        if (slot.state == .delivered) return self.again(part, host);
        if (slot.state == .held) return .duplicate;
        if (part.count > 1 or slot.state == .gathering) {
            switch (self.gather(slot, part)) {
                .fresh => if (!complete(slot)) return .fresh,
                else => |verdict| return verdict,
            }
            self.release(slot, part.after, self.bytesOf(part.number)[0..slot.total], host);
            return .fresh;
        }
        slot.total = @intCast(part.total);
        self.release(slot, part.after, part.bytes, host);
        return .fresh;
    }

    /// What a sender of this protocol can have sent, judged from the part alone and the window. It
    /// comes before a slot is touched: a part that is refused leaves no trace.
    pub fn plausible(self: *const Incoming, part: *const Part) bool {
        if (part.number < self.base) return true;
        if (part.number - self.base >= window) return false;
        if (part.total == 0 or part.total > codec.message_bytes_max) return false;
        // The sender splits evenly, so every part's place follows from the total alone.
        const each = (part.total + part.count - 1) / part.count;
        const start = part.index * each;
        // The last part has something in it, so all together can be complete.
        if ((part.count - 1) * each >= part.total) return false;
        return part.bytes.len == @min(each, part.total - start);
    }

    /// A part of a message that was delivered already.
    fn again(_: *Incoming, part: *const Part, host: anytype) Verdict {
        if (!guards.on(.duplicate_suppression) and part.count == 1) host.deliver(part.bytes);
        return .duplicate;
    }

    fn complete(slot: *const Slot) bool {
        return @popCount(slot.have) == slot.count or !guards.on(.all_parts);
    }

    fn gather(self: *Incoming, slot: *Slot, part: *const Part) Verdict {
        if (slot.state == .absent) {
            slot.state = .gathering;
            slot.total = @intCast(part.total);
            slot.count = part.count;
            slot.after = part.after;
            slot.have = 0;
        }
        if (slot.total != part.total or slot.after != part.after) return .refused;
        // The sender splits anew where large datagrams do not arrive, and waits for no older part.
        if (part.count < slot.count) return .duplicate;
        if (part.count > slot.count) {
            slot.count = part.count;
            slot.have = 0;
        }
        const each = (@as(usize, slot.total) + slot.count - 1) / slot.count;
        const start = @as(usize, part.index) * each;
        const bit = @as(u8, 1) << @intCast(part.index);
        if (slot.have & bit != 0) return .duplicate;
        slot.have |= bit;
        @memcpy(self.bytesOf(part.number)[start..][0..part.bytes.len], part.bytes);
        return .fresh;
    }

    /// Delivers the message, or holds it when its predecessor is missing; then whoever waited.
    fn release(self: *Incoming, slot: *Slot, after: u64, bytes: []const u8, host: anytype) void {
        if (guards.on(.key_order) and !self.delivered(after)) {
            slot.state = .held;
            slot.after = after;
            const kept = self.bytesOf(slot.number)[0..bytes.len];
            if (kept.ptr != bytes.ptr) @memcpy(kept, bytes);
            self.claim(after).waiter = slot.number;
            return;
        }
        self.deliver(slot, bytes, host);
        var waiter = slot.waiter;
        while (waiter != 0) {
            const next = &self.slots[waiter & mask];
            if (next.number != waiter or next.state != .held) break;
            waiter = next.waiter;
            self.deliver(next, self.bytesOf(next.number)[0..next.total], host);
        }
        self.advance();
    }

    fn deliver(self: *Incoming, slot: *Slot, bytes: []const u8, host: anytype) void {
        _ = self;
        assert(slot.state != .delivered);
        slot.state = .delivered;
        host.deliver(bytes);
    }

    fn delivered(self: *Incoming, number: u64) bool {
        if (number < self.base) return true;
        const slot = &self.slots[number & mask];
        return slot.number == number and slot.state == .delivered;
    }

    fn claim(self: *Incoming, number: u64) *Slot {
        assert(number >= self.base and number < self.base + window);
        const slot = &self.slots[number & mask];
        if (slot.number != number) {
            assert(slot.number < self.base);
            slot.* = .{ .number = number };
        }
        return slot;
    }

    fn advance(self: *Incoming) void {
        while (true) {
            const slot = &self.slots[self.base & mask];
            if (slot.number != self.base or slot.state != .delivered) return;
            self.base += 1;
        }
    }

    fn bytesOf(self: *Incoming, number: u64) []u8 {
        const at = (number & mask) * codec.message_bytes_max;
        return self.storage[at..][0..codec.message_bytes_max];
    }
};
