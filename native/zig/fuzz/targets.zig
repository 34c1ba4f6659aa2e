//! Everything that takes bytes or messages of somebody else, each as a function of an input. A
//! target fails by an error or a panic; corpus/NAME.txt holds what it starts from.

const std = @import("std");

pub const Target = struct {
    name: []const u8,
    run: *const fn (std.mem.Allocator, []const u8) anyerror!void,
    corpus: []const u8,
    /// Inputs made by the seed in `zig build test`.
    bounded_runs: u32,
};

pub const all = [_]Target{
    of("codec", @import("codec.zig"), 20_000),
    of("config", @import("config.zig"), 10_000),
    of("frame", @import("frame.zig"), 20_000),
    of("ranges", @import("ranges.zig"), 300),
    of("incoming", @import("incoming.zig"), 300),
    of("link", @import("link.zig"), 100),
    of("peer", @import("peer.zig"), 300),
    of("dsm", @import("dsm.zig"), 5000),
    of("entry", @import("entry.zig"), 400),
    of("board", @import("board.zig"), 2000),
    of("virtio", @import("virtio.zig"), 5000),
};

fn of(comptime name: []const u8, comptime room: type, bounded_runs: u32) Target {
    return .{
        .name = name,
        .run = room.run,
        .corpus = @embedFile("corpus/" ++ name ++ ".txt"),
        .bounded_runs = bounded_runs,
    };
}
