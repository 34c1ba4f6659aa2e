//! Messages on their way to one peer, kept until all their parts are acknowledged. The slot of a
//! message is its number modulo the window, so looking one up never searches; three queues, one per
//! class, hold the parts that wait to be sent (first time or again).

const std = @import("std");
const limits = @import("../limits.zig");
const codec = @import("../wire/codec.zig");
const guards = @import("guards.zig");
const untouched = @import("../untouched.zig");
const Class = @import("../wire/message.zig").Class;
const assert = std.debug.assert;

const window = limits.link_messages;
const mask = window - 1;

pub const Part = struct { number: u64, index: u8 };

/// Bytes of each part but the last, of as few as there may be with `most` bytes each.
pub fn evenly(length: usize, most: usize) u16 {
    const parts = (length + most - 1) / most;
    return @intCast((length + parts - 1) / parts);
}

const Slot = struct {
    /// 0 = free.
    number: u64 = 0,
    after: u64 = 0,
    class: Class = .urgent,
    length: u16 = 0,
    part_bytes: u16 = 0,
    parts: u8 = 0,
    /// Bit sets over the parts.
    acked: u8 = 0,
    queued: u8 = 0,
};

const Queue = struct {
    items: []Part,
    head: usize = 0,
    length: usize = 0,

    fn push(self: *Queue, part: Part) void {
        assert(self.length < self.items.len);
        self.items[(self.head + self.length) % self.items.len] = part;
        self.length += 1;
    }

    fn pop(self: *Queue) Part {
        assert(self.length > 0);
        const part = self.items[self.head];
        self.head = (self.head + 1) % self.items.len;
        self.length -= 1;
        return part;
    }
};

pub const Outgoing = struct {
    slots: []Slot,
    storage: []u8,
    queues: [3]Queue,
    next: u64 = 1,
    /// Oldest number that may still be unacknowledged.
    oldest: u64 = 1,
    /// Last message of each bucket of order keys. Two keys in one bucket wait for each other
    /// without need, which is rare and harmless: the order is that of sending.
    last_of_key: []u64,

    pub fn init(allocator: std.mem.Allocator) !Outgoing {
        const slots = try allocator.alloc(Slot, window);
        @memset(slots, .{});
        const last_of_key = try allocator.alloc(u64, window);
        @memset(last_of_key, 0);
        var self: Outgoing = .{
            .slots = slots,
            // Never written before a message uses it, so untouched slots cost no memory.
            .storage = try untouched.alloc(u8, window * codec.message_bytes_max),
            .queues = undefined,
            .last_of_key = last_of_key,
        };
        for (&self.queues) |*queue| {
            queue.* = .{ .items = try allocator.alloc(Part, window * limits.fragments_max) };
        }
        return self;
    }

    pub fn deinit(self: *Outgoing, allocator: std.mem.Allocator) void {
        for (&self.queues) |*queue| allocator.free(queue.items);
        untouched.free(u8, self.storage);
        allocator.free(self.last_of_key);
        allocator.free(self.slots);
    }

    pub fn room(self: *const Outgoing) usize {
        return window - (self.next - self.oldest);
    }

    pub fn empty(self: *const Outgoing) bool {
        return self.next == self.oldest;
    }

    /// Takes a copy. The caller has checked room().
    pub fn add(self: *Outgoing, class: Class, key: u64, bytes: []const u8, part_bytes: u16) void {
        assert(self.room() > 0 and bytes.len > 0 and bytes.len <= codec.message_bytes_max);
        const number = self.next;
        self.next += 1;
        const slot = &self.slots[number & mask];
        assert(slot.number == 0);
        const spread = (key *% 0x9e3779b97f4a7c15) >> (64 - 12);
        const bucket = &self.last_of_key[if (guards.on(.keys_apart)) spread else 0];
        const parts = (bytes.len + part_bytes - 1) / part_bytes;
        assert(parts <= limits.fragments_max);
        // The receiver derives the size of a part from the total and the count.
        assert(part_bytes == (bytes.len + parts - 1) / parts);
        slot.* = .{
            .number = number,
            // Acknowledged is not delivered: the peer may hold it for an older one. Only when all
            // older messages are acknowledged too is it certain.
            .after = if (bucket.* >= self.oldest) bucket.* else 0,
            .class = class,
            .length = @intCast(bytes.len),
            .part_bytes = part_bytes,
            .parts = @intCast(parts),
        };
        bucket.* = number;
        @memcpy(self.bytesOf(number)[0..bytes.len], bytes);
        for (0..parts) |index| self.enqueue(.{ .number = number, .index = @intCast(index) });
    }

    comptime {
        if (window != 1 << 12) @compileError("the bucket takes the top 12 bits of the hash");
    }

    /// Puts a part into its class's queue unless it is there, acknowledged or gone.
    pub fn enqueue(self: *Outgoing, part: Part) void {
        const slot = self.live(part.number) orelse return;
        const bit = @as(u8, 1) << @intCast(part.index);
        if ((slot.acked | slot.queued) & bit != 0) return;
        const queue = &self.queues[@intFromEnum(slot.class)];
        if (queue.length == queue.items.len) self.purge(queue);
        slot.queued |= bit;
        queue.push(part);
    }

    /// Leaves what was acknowledged while it waited to be sent again; the rest has room for all
    /// parts of a window.
    fn purge(self: *Outgoing, queue: *Queue) void {
        for (0..queue.length) |_| {
            const part = queue.pop();
            if (self.waits(part)) queue.push(part);
        }
    }

    /// Whether a queue's entry still stands for a part to be sent; forgets it where not.
    fn waits(self: *Outgoing, part: Part) bool {
        const slot = self.live(part.number) orelse return false;
        const bit = @as(u8, 1) << @intCast(part.index);
        if (slot.acked & bit == 0) return true;
        slot.queued &= ~bit;
        return false;
    }

    /// Splits what is not acknowledged anew, in parts of `most` bytes at most, and queues it all:
    /// nothing is under way any longer.
    pub fn narrow(self: *Outgoing, most: usize) void {
        for (&self.queues) |*queue| queue.length = 0;
        for (self.oldest..self.next) |number| {
            const slot = self.live(number) orelse continue;
            slot.queued = 0;
            if (slot.part_bytes > most) {
                slot.part_bytes = evenly(slot.length, most);
                slot.parts = @intCast((slot.length + slot.part_bytes - 1) / slot.part_bytes);
                assert(slot.parts <= limits.fragments_max);
                slot.acked = 0;
            }
            for (0..slot.parts) |index| {
                self.enqueue(.{ .number = number, .index = @intCast(index) });
            }
        }
    }

    /// Whether a part is still to be acknowledged.
    pub fn wanted(self: *Outgoing, part: Part) bool {
        const slot = self.live(part.number) orelse return false;
        return slot.acked & @as(u8, 1) << @intCast(part.index) == 0;
    }

    /// The part that would leave next, skipping what was acknowledged meanwhile.
    pub fn peek(self: *Outgoing, class: Class) ?Part {
        const queue = &self.queues[@intFromEnum(class)];
        while (queue.length > 0) {
            const part = queue.items[queue.head];
            if (self.waits(part)) return part;
            _ = queue.pop();
        }
        return null;
    }

    pub fn take(self: *Outgoing, class: Class) Part {
        const part = self.queues[@intFromEnum(class)].pop();
        self.live(part.number).?.queued &= ~(@as(u8, 1) << @intCast(part.index));
        return part;
    }

    /// Of a message that is not acknowledged yet.
    pub fn classOf(self: *Outgoing, number: u64) ?Class {
        return if (self.live(number)) |slot| slot.class else null;
    }

    pub const View = struct { after: u64, total: u32, count: u8, bytes: []const u8 };

    pub fn view(self: *Outgoing, part: Part) View {
        const slot = self.live(part.number).?;
        const start = @as(usize, part.index) * slot.part_bytes;
        const end = @min(start + slot.part_bytes, slot.length);
        return .{
            .after = slot.after,
            .total = slot.length,
            .count = slot.parts,
            .bytes = self.bytesOf(part.number)[start..end],
        };
    }

    pub fn acknowledge(self: *Outgoing, part: Part) void {
        const slot = self.live(part.number) orelse return;
        slot.acked |= @as(u8, 1) << @intCast(part.index);
        if (@popCount(slot.acked) < slot.parts) return;
        slot.number = 0;
        while (self.oldest < self.next and self.slots[self.oldest & mask].number == 0) {
            self.oldest += 1;
        }
    }

    fn live(self: *Outgoing, number: u64) ?*Slot {
        if (number == 0) return null;
        const slot = &self.slots[number & mask];
        return if (slot.number == number) slot else null;
    }

    fn bytesOf(self: *Outgoing, number: u64) []u8 {
        const at = (number & mask) * codec.message_bytes_max;
        return self.storage[at..][0..codec.message_bytes_max];
    }
};

test "parts acknowledged while they wait to be sent again take no room from others" {
    var out: Outgoing = try .init(std.testing.allocator);
    defer out.deinit(std.testing.allocator);
    const bytes: [limits.fragments_max]u8 = @splat(7);
    while (out.room() > 0) out.add(.bulk, 1, &bytes, 1);
    // All parts of the first message, and of the second all but one.
    var again: [2 * limits.fragments_max - 1]Part = undefined;
    for (&again) |*part| {
        part.* = out.peek(.bulk).?;
        _ = out.take(.bulk);
        out.enqueue(part.*);
    }
    for (again) |part| out.acknowledge(part);
    try std.testing.expectEqual(1, out.room());
    out.add(.bulk, 1, &bytes, 1);
    var left: usize = 0;
    while (out.peek(.bulk) != null) : (left += 1) _ = out.take(.bulk);
    try std.testing.expectEqual(window * limits.fragments_max - (limits.fragments_max - 1), left);
}
