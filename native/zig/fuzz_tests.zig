//! The targets under coverage guidance: `GIANTVM_FUZZ=NAME zig build fuzz --release=safe
//! --fuzz=RUNS`. The fuzzer gives one byte string, the same that the corpus keeps, so what it finds
//! replays as a line there. `npm run fuzz` drives it (docs/fuzzing.md).
//!
//! One program for all targets, because its build takes longer than many runs; a test that is not
//! named skips itself and is then no fuzz test.

const std = @import("std");
const targets = @import("fuzz/targets.zig");
const Corpus = @import("fuzz/corpus.zig").Corpus;
const Smith = std.testing.Smith;
const input_bytes_max = @import("fuzz/mutate.zig").input_bytes_max;

// The leak checks of std.testing.allocator are the bounded tests' part; here runs count.
const allocator = std.heap.c_allocator;

test "codec" {
    try guide("codec");
}
test "config" {
    try guide("config");
}
test "frame" {
    try guide("frame");
}
test "ranges" {
    try guide("ranges");
}
test "incoming" {
    try guide("incoming");
}
test "link" {
    try guide("link");
}
test "peer" {
    try guide("peer");
}
test "dsm" {
    try guide("dsm");
}
test "entry" {
    try guide("entry");
}
test "board" {
    try guide("board");
}
test "virtio" {
    try guide("virtio");
}

comptime {
    if (targets.all.len != 11) @compileError("a target without its test here");
}

fn guide(comptime name: []const u8) !void {
    const wanted = std.c.getenv("GIANTVM_FUZZ") orelse return error.SkipZigTest;
    if (!std.mem.eql(u8, std.mem.span(wanted), name)) return error.SkipZigTest;
    const target = comptime for (targets.all) |each| {
        if (std.mem.eql(u8, each.name, name)) break each;
    } else @compileError("no such target: " ++ name);
    var corpus = try Corpus.parse(allocator, target.corpus);
    defer corpus.deinit();
    const arena = corpus.arena.allocator();
    const inputs = try arena.alloc([]const u8, corpus.inputs.len);
    // As Smith reads a slice: its length, then its bytes.
    for (corpus.inputs, inputs) |bytes, *input| {
        const copy = try arena.alloc(u8, 4 + bytes.len);
        std.mem.writeInt(u32, copy[0..4], @intCast(bytes.len), .little);
        @memcpy(copy[4..], bytes);
        input.* = copy;
    }
    try std.testing.fuzz(target, one, .{ .corpus = inputs });
}

fn one(target: targets.Target, smith: *Smith) anyerror!void {
    var buffer: [input_bytes_max]u8 = undefined;
    const lengths = [_]Smith.Weight{
        .rangeAtMost(u32, 0, 64, 200),
        .rangeAtMost(u32, 65, 1024, 20),
        .rangeAtMost(u32, 1025, input_bytes_max, 1),
    };
    const length = smith.sliceWeighted(&buffer, &lengths, Smith.baselineWeights(u8));
    try target.run(allocator, buffer[0..length]);
}
