//! A split virtqueue from the device's side (virtio 1.2, chapter 2.7): takes chains of descriptors
//! that the driver made available, and gives them back used. Pure: guest memory is whatever
//! `memory` offers (below), and nothing of what stands in it is believed before it was checked.
//!
//! Intuition: the driver owns everything but the used ring, and may change it at any moment. So
//! each word is read once into here, and each walk ends after as many steps as the queue has
//! entries.
//!
//! `memory` has read(gpa, []u8), write(gpa, []const u8), load16(gpa), store16(gpa, u16), each
//! failing with BadAddress outside of RAM, and fence(). load16 is a load-acquire, store16 a
//! store-release of one aligned word.

const std = @import("std");
const assert = std.debug.assert;

/// Entries of the largest queue a device offers.
pub const size_max = 256;

/// The driver broke the rules; the device can only wait for its reset (2.1.2, NEEDS_RESET).
pub const Error = error{ Broken, BadAddress };

pub const Layout = struct {
    /// Entries, a power of two.
    size: u16,
    descriptors: u64,
    /// The available ring.
    driver: u64,
    /// The used ring.
    device: u64,

    /// 2.7: alignments of the three parts, and sizes a split ring may have.
    pub fn valid(self: *const Layout) bool {
        if (self.size == 0 or self.size > size_max) return false;
        if (!std.math.isPowerOfTwo(self.size)) return false;
        return self.descriptors % 16 == 0 and self.driver % 2 == 0 and self.device % 4 == 0;
    }
};

/// Guest memory of one descriptor, not looked at yet.
pub const Segment = struct { gpa: u64, length: u32 };

/// One request: what the device may read, then what it may write.
pub const Chain = struct {
    /// Names the chain when it is given back.
    head: u16 = 0,
    segments: [size_max]Segment = undefined,
    count: usize = 0,
    /// How many of them are readable.
    split: usize = 0,
    bytes: u64 = 0,

    pub fn readable(self: *const Chain) []const Segment {
        return self.segments[0..self.split];
    }

    pub fn writable(self: *const Chain) []const Segment {
        return self.segments[self.split..self.count];
    }

    /// 2.7.4: readable before writable, and never 4 GiB in one chain.
    fn add(self: *Chain, segment: Segment, is_writable: bool) Error!void {
        if (!is_writable and self.count != self.split) return error.Broken;
        self.bytes += segment.length;
        if (self.bytes > std.math.maxInt(u32)) return error.Broken;
        if (segment.length == 0) return;
        self.segments[self.count] = segment;
        self.count += 1;
        if (!is_writable) self.split = self.count;
    }
};

const Descriptor = extern struct {
    gpa: u64,
    length: u32,
    flags: u16,
    next: u16,

    const next_follows = 1;
    const device_writes = 2;
    const indirect = 4;

    comptime {
        assert(@sizeOf(Descriptor) == 16);
    }
};

const no_interrupt = 1;
const no_notify = 1;

pub const Queue = struct {
    layout: Layout,
    event_index: bool,
    /// Next entry of the available ring, and of the used ring; they wrap.
    available: u16 = 0,
    used: u16 = 0,
    /// Where `used` stood when the driver was last looked after; null before the first time.
    signalled: ?u16 = null,

    pub fn init(layout: Layout, event_index: bool) Error!Queue {
        if (!layout.valid()) return error.Broken;
        return .{ .layout = layout, .event_index = event_index };
    }

    /// Takes the next chain; false when there is none.
    pub fn pop(self: *Queue, memory: anytype, chain: *Chain) Error!bool {
        if (try self.waiting(memory) == 0) return false;
        const slot = self.available % self.layout.size;
        const head = try memory.load16(try at(self.layout.driver, 4 + 2 * @as(u64, slot)));
        self.available +%= 1;
        chain.* = .{ .head = head };
        try self.walk(memory, chain);
        return true;
    }

    /// Chains the driver has made available and nobody has taken.
    fn waiting(self: *const Queue, memory: anytype) Error!u16 {
        const index = try memory.load16(try at(self.layout.driver, 2));
        const count = index -% self.available;
        return if (count <= self.layout.size) count else error.Broken;
    }

    fn walk(self: *const Queue, memory: anytype, chain: *Chain) Error!void {
        var table = self.layout.descriptors;
        var entries: u32 = self.layout.size;
        var index: u32 = chain.head;
        // A chain is never longer than the queue (2.7.5.3.1), its indirect table included.
        for (0..size_max + 1) |step| {
            if (index >= entries or step > self.layout.size) return error.Broken;
            const descriptor = try readDescriptor(memory, table, index);
            const follows = descriptor.flags & Descriptor.next_follows != 0;
            if (descriptor.flags & Descriptor.indirect != 0) {
                const nested = table != self.layout.descriptors or follows;
                if (nested or descriptor.length == 0 or descriptor.length % 16 != 0) {
                    return error.Broken;
                }
                table = descriptor.gpa;
                entries = descriptor.length / 16;
                index = 0;
                continue;
            }
            const writes = descriptor.flags & Descriptor.device_writes != 0;
            if (chain.count == chain.segments.len) return error.Broken;
            try chain.add(.{ .gpa = descriptor.gpa, .length = descriptor.length }, writes);
            if (!follows) return;
            index = descriptor.next;
        }
        return error.Broken;
    }

    /// Gives a chain back, of whose writable part the first `written` bytes are new.
    pub fn push(self: *Queue, memory: anytype, head: u16, written: u32) Error!void {
        const slot = self.used % self.layout.size;
        var entry: [8]u8 = undefined;
        std.mem.writeInt(u32, entry[0..4], head, .little);
        std.mem.writeInt(u32, entry[4..8], written, .little);
        try memory.write(try at(self.layout.device, 4 + 8 * @as(u64, slot)), &entry);
        self.used +%= 1;
        try memory.store16(try at(self.layout.device, 2), self.used);
    }

    /// Whether the driver wants an interrupt for what was pushed since the last call.
    pub fn wantsInterrupt(self: *Queue, memory: anytype) Error!bool {
        const before = self.signalled;
        self.signalled = self.used;
        if (before == self.used) return false;
        // The index is out before the driver's wish is read: it writes one and reads the other.
        memory.fence();
        if (!self.event_index) {
            return try memory.load16(self.layout.driver) & no_interrupt == 0;
        }
        const event = try memory.load16(try at(self.layout.driver, 4 + 2 * self.capacity()));
        const old = before orelse return true;
        return self.used -% event -% 1 < self.used -% old;
    }

    /// The device looks at the ring by itself: no doorbell needed.
    pub fn quiet(self: *const Queue, memory: anytype) Error!void {
        if (self.event_index) return;
        try memory.store16(self.layout.device, no_notify);
    }

    /// From here on the driver rings. False when something came before it could know.
    pub fn listen(self: *const Queue, memory: anytype) Error!bool {
        if (self.event_index) {
            try memory.store16(try at(self.layout.device, 4 + 8 * self.capacity()), self.available);
        } else {
            try memory.store16(self.layout.device, 0);
        }
        memory.fence();
        return try self.waiting(memory) == 0;
    }

    fn capacity(self: *const Queue) u64 {
        return self.layout.size;
    }
};

fn readDescriptor(memory: anytype, table: u64, index: u32) Error!Descriptor {
    var raw: [16]u8 = undefined;
    try memory.read(try at(table, 16 * @as(u64, index)), &raw);
    return .{
        .gpa = std.mem.readInt(u64, raw[0..8], .little),
        .length = std.mem.readInt(u32, raw[8..12], .little),
        .flags = std.mem.readInt(u16, raw[12..14], .little),
        .next = std.mem.readInt(u16, raw[14..16], .little),
    };
}

/// An address the driver chose, plus an offset: it may lie at the end of the address space.
fn at(base: u64, offset: u64) Error!u64 {
    return std.math.add(u64, base, offset) catch error.BadAddress;
}
