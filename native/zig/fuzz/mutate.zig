//! Inputs made from others by a seed: what `zig build test` runs a fixed number of. The long,
//! coverage-guided search is `npm run fuzz` (docs/fuzzing.md).

const std = @import("std");
const assert = std.debug.assert;

pub const input_bytes_max = 8192;

pub const Mutator = struct {
    random: std.Random,
    buffer: [input_bytes_max]u8 = undefined,
    length: usize = 0,

    /// One of the corpus with a few changes, or noise. Valid until the next call.
    pub fn next(self: *Mutator, corpus: []const []const u8) []const u8 {
        const r = self.random;
        if (corpus.len == 0 or r.uintLessThan(u8, 8) == 0) {
            self.length = r.uintAtMost(usize, 512);
            r.bytes(self.buffer[0..self.length]);
            return self.buffer[0..self.length];
        }
        const base = corpus[r.uintLessThan(usize, corpus.len)];
        self.length = @min(base.len, input_bytes_max);
        @memcpy(self.buffer[0..self.length], base[0..self.length]);
        for (0..1 + r.uintLessThan(usize, 6)) |_| self.change(corpus);
        return self.buffer[0..self.length];
    }

    fn change(self: *Mutator, corpus: []const []const u8) void {
        const r = self.random;
        const edges = [_]u8{ 0, 1, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x7f, 0x80, 0xff };
        const at = r.uintAtMost(usize, self.length);
        switch (r.uintLessThan(u8, 7)) {
            0 => if (at < self.length) {
                self.buffer[at] ^= @as(u8, 1) << r.int(u3);
            },
            1 => if (at < self.length) {
                self.buffer[at] = edges[r.uintLessThan(usize, edges.len)];
            },
            2 => if (at < self.length) {
                self.buffer[at] = r.int(u8);
            },
            3 => @memset(self.buffer[at..@min(self.length, at + 8)], r.int(u8)),
            4 => self.length = at,
            5 => self.insert(at, self.buffer[at..@min(self.length, at + 16)]),
            6 => {
                const other = corpus[r.uintLessThan(usize, corpus.len)];
                const from = r.uintAtMost(usize, other.len);
                const most = r.uintAtMost(usize, 64);
                self.insert(at, other[from..@min(other.len, from + most)]);
            },
            else => unreachable,
        }
    }

    fn insert(self: *Mutator, at: usize, piece: []const u8) void {
        assert(at <= self.length and piece.len <= 64);
        var copy: [64]u8 = undefined;
        @memcpy(copy[0..piece.len], piece);
        if (self.length + piece.len > input_bytes_max) return;
        const tail = self.length - at;
        const to = self.buffer[at + piece.len ..][0..tail];
        std.mem.copyBackwards(u8, to, self.buffer[at..][0..tail]);
        @memcpy(self.buffer[at..][0..piece.len], copy[0..piece.len]);
        self.length += piece.len;
    }
};
