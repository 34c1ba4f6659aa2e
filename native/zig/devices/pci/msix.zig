//! MSI-X (PCI Local Bus 3.0, 6.8.2): a table of messages in one of the function's BARs, a mask for
//! each and one for all, and a bit for each that waits behind a mask. A masked interrupt is kept,
//! not lost: it leaves when the last mask in its way goes.

const std = @import("std");
const limits = @import("../../limits.zig");
const msi = @import("../../apic/msi.zig");
const Effects = @import("effects.zig").Effects;
const assert = std.debug.assert;

pub const id = 0x11;
/// Of the message control word.
pub const enable = 1 << 15;
pub const mask_all = 1 << 14;
pub const entry_bytes = 16;
const vector_masked = 1;

/// Where table and pending bits are.
pub const Place = struct { vectors: u16, bar: u3, table: u32 = 0, pending: u32 };

/// What follows id and link in the capability: control, table, pending bits.
pub fn capability(place: *const Place) [10]u8 {
    var body: [10]u8 = undefined;
    std.mem.writeInt(u16, body[0..2], place.vectors - 1, .little);
    std.mem.writeInt(u32, body[2..6], place.table | place.bar, .little);
    std.mem.writeInt(u32, body[6..10], place.pending | place.bar, .little);
    return body;
}

const Entry = struct { address: u64 = 0, data: u32 = 0, masked: bool = true };

const Bits = std.StaticBitSet(limits.msix_vectors_max);

pub const Msix = struct {
    place: Place,
    entries: [limits.msix_vectors_max]Entry = @splat(.{}),
    waiting: Bits = .initEmpty(),

    pub fn init(place: Place) Msix {
        assert(place.vectors >= 1 and place.vectors <= limits.msix_vectors_max);
        assert(place.table % 8 == 0 and place.pending % 8 == 0);
        const table_end = place.table + place.vectors * entry_bytes;
        assert(table_end <= place.pending or place.pending + pending_bytes <= place.table);
        return .{ .place = place };
    }

    /// The function interrupts by this vector.
    pub fn raise(self: *Msix, vector: u16) void {
        assert(vector < self.place.vectors);
        self.waiting.set(vector);
    }

    /// Sends whatever waits behind no mask. `open`: neither disabled nor masked as a whole.
    pub fn flush(self: *Msix, open: bool, effects: *Effects) void {
        if (!open) return;
        var vectors = self.waiting.iterator(.{});
        while (vectors.next()) |vector| {
            const entry = &self.entries[vector];
            if (entry.masked) continue;
            self.waiting.unset(vector);
            effects.send(msi.decode(entry.address, entry.data) orelse continue);
        }
    }

    /// An access to the BAR of the place; false when it is to something else in it.
    pub fn access(self: *Msix, offset: u64, write: bool, data: []u8) bool {
        const table_end = self.place.table + self.place.vectors * entry_bytes;
        if (offset >= self.place.table and offset < table_end) {
            self.table(offset - self.place.table, write, data);
            return true;
        }
        if (offset < self.place.pending or offset >= self.place.pending + pending_bytes)
            return false;
        // Pending bits are the function's own.
        if (!write) for (data, offset - self.place.pending..) |*byte, at| {
            byte.* = self.pendingByte(at);
        };
        return true;
    }

    /// Whole words or pairs of them (6.8.2); anything else reads as zero and changes nothing.
    fn table(self: *Msix, offset: u64, write: bool, data: []u8) void {
        const whole = offset % 4 == 0 and data.len % 4 == 0;
        var done: usize = 0;
        while (whole and done < data.len) : (done += 4) {
            const at = offset + done;
            if (at / entry_bytes >= self.place.vectors) break;
            const entry = &self.entries[@intCast(at / entry_bytes)];
            const word = data[done..][0..4];
            if (write) {
                store(entry, at % entry_bytes, std.mem.readInt(u32, word, .little));
            } else {
                std.mem.writeInt(u32, word, load(entry, at % entry_bytes), .little);
            }
        }
        if (!write) @memset(data[done..], 0);
    }

    fn pendingByte(self: *const Msix, at: u64) u8 {
        var byte: u8 = 0;
        for (0..8) |bit| {
            const vector = at * 8 + bit;
            if (vector >= self.place.vectors) break;
            if (self.waiting.isSet(@intCast(vector))) byte |= @as(u8, 1) << @intCast(bit);
        }
        return byte;
    }
};

pub const pending_bytes = (limits.msix_vectors_max + 63) / 64 * 8;

fn load(entry: *const Entry, at: u64) u32 {
    return switch (at) {
        0 => @truncate(entry.address),
        4 => @truncate(entry.address >> 32),
        8 => entry.data,
        12 => if (entry.masked) vector_masked else 0,
        else => unreachable,
    };
}

fn store(entry: *Entry, at: u64, value: u32) void {
    const low: u64 = 0xffff_ffff;
    switch (at) {
        0 => entry.address = (entry.address & ~low) | (value & ~@as(u32, 3)),
        4 => entry.address = (entry.address & low) | @as(u64, value) << 32,
        8 => entry.data = value,
        12 => entry.masked = value & vector_masked != 0,
        else => unreachable,
    }
}

const testing = std.testing;

fn storeWords(msix: *Msix, offset: u64, words: []const u32) void {
    for (words, 0..) |word, i| {
        var data = std.mem.toBytes(word);
        testing.expect(msix.access(offset + 4 * i, true, &data)) catch unreachable;
    }
}

fn loadWord(msix: *Msix, offset: u64) u32 {
    var data: [4]u8 = @splat(0xee);
    testing.expect(msix.access(offset, false, &data)) catch unreachable;
    return std.mem.readInt(u32, &data, .little);
}

test "a masked vector waits, shows it, and leaves when its mask goes" {
    var msix: Msix = .init(.{ .vectors = 3, .bar = 1, .pending = 0x800 });
    storeWords(&msix, 16, &.{ 0xfee0_2003, 0, 0x41 });
    try testing.expectEqual(0xfee0_2000, loadWord(&msix, 16));
    try testing.expectEqual(vector_masked, loadWord(&msix, 28));
    var effects: Effects = .{};
    msix.raise(1);
    msix.flush(true, &effects);
    try testing.expectEqual(0, effects.requests().len);
    try testing.expectEqual(2, loadWord(&msix, 0x800));
    storeWords(&msix, 28, &.{0});
    msix.flush(false, &effects);
    try testing.expectEqual(0, effects.requests().len);
    msix.flush(true, &effects);
    try testing.expectEqual(1, effects.requests().len);
    try testing.expectEqual(0x41, effects.requests()[0].vector);
    try testing.expectEqual(2, effects.requests()[0].destination);
    try testing.expectEqual(0, loadWord(&msix, 0x800));
}

test "two words at once, and what no table takes" {
    var msix: Msix = .init(.{ .vectors = 1, .bar = 0, .pending = 0x800 });
    var pair: [8]u8 = @bitCast(@as(u64, 0x1_fee0_1000));
    try testing.expect(msix.access(0, true, &pair));
    try testing.expectEqual(0x1_fee0_1000, msix.entries[0].address);
    try testing.expect(msix.access(1, true, &pair));
    try testing.expectEqual(0x1_fee0_1000, msix.entries[0].address);
    try testing.expect(!msix.access(16, false, &pair));
    var byte: [1]u8 = .{0x55};
    try testing.expect(msix.access(8, false, &byte));
    try testing.expectEqual(0, byte[0]);
}
