//! What the guest has printed and nobody has taken yet: the wire behind the serial port, which the
//! built-in guest's probe device prints to as well. Below its mark the printers are told to wait,
//! as by a slow line; the room beyond is for those that were told just before, and for those that
//! do not listen. Only when that is full too is a byte lost.

const std = @import("std");
const assert = std.debug.assert;

pub const Output = struct {
    /// A ring; its last quarter is the room beyond the mark.
    bytes: []u8,
    head: usize = 0,
    length: usize = 0,

    /// False when the byte is lost.
    pub fn push(self: *Output, byte: u8) bool {
        if (self.length == self.bytes.len) return false;
        self.bytes[(self.head + self.length) % self.bytes.len] = byte;
        self.length += 1;
        return true;
    }

    /// Whether a printer may go on.
    pub fn ready(self: *const Output) bool {
        return self.length <= self.bytes.len - self.bytes.len / 4;
    }

    /// Takes up to out.len bytes, oldest first.
    pub fn take(self: *Output, out: []u8) usize {
        const count = @min(out.len, self.length);
        const first = @min(count, self.bytes.len - self.head);
        @memcpy(out[0..first], self.bytes[self.head..][0..first]);
        @memcpy(out[first..count], self.bytes[0 .. count - first]);
        self.head = (self.head + count) % self.bytes.len;
        self.length -= count;
        return count;
    }
};

test "bytes leave in order, over the ring's end too" {
    var bytes: [8]u8 = undefined;
    var output: Output = .{ .bytes = &bytes };
    var next: u8 = 0;
    var due: u8 = 0;
    for ([_]usize{ 3, 8, 1, 5, 7, 8, 2 }) |count| {
        for (0..count) |_| {
            try std.testing.expect(output.push(next));
            next += 1;
        }
        var out: [8]u8 = undefined;
        // In two parts.
        for ([_]usize{ count / 2, 8 }) |part| for (out[0..output.take(out[0..part])]) |byte| {
            try std.testing.expectEqual(due, byte);
            due += 1;
        };
        try std.testing.expectEqual(next, due);
    }
}

test "printers are told to wait before anything is lost" {
    var bytes: [16]u8 = undefined;
    var output: Output = .{ .bytes = &bytes };
    for (0..12) |_| {
        try std.testing.expect(output.ready());
        try std.testing.expect(output.push('a'));
    }
    try std.testing.expect(output.ready());
    for (0..4) |_| {
        try std.testing.expect(output.push('b'));
        try std.testing.expect(!output.ready());
    }
    try std.testing.expect(!output.push('c'));
    var out: [4]u8 = undefined;
    try std.testing.expectEqual(4, output.take(&out));
    try std.testing.expect(output.ready());
    try std.testing.expectEqualStrings("aaaa", &out);
}
