//! The inputs kept for a target, in corpus/NAME.txt: one a line, a name without spaces and the
//! bytes in hexadecimal. What once broke something stays there for ever.

const std = @import("std");

pub const Corpus = struct {
    arena: std.heap.ArenaAllocator,
    inputs: []const []const u8,
    names: []const []const u8,

    pub fn parse(allocator: std.mem.Allocator, text: []const u8) !Corpus {
        var arena: std.heap.ArenaAllocator = .init(allocator);
        errdefer arena.deinit();
        const a = arena.allocator();
        var inputs: std.ArrayList([]const u8) = .empty;
        var names: std.ArrayList([]const u8) = .empty;
        var lines = std.mem.tokenizeScalar(u8, text, '\n');
        while (lines.next()) |line| {
            const space = std.mem.indexOfScalar(u8, line, ' ') orelse return error.NoBytes;
            const hex = line[space + 1 ..];
            const bytes = try a.alloc(u8, hex.len / 2);
            try inputs.append(a, try std.fmt.hexToBytes(bytes, hex));
            try names.append(a, line[0..space]);
        }
        return .{ .inputs = inputs.items, .names = names.items, .arena = arena };
    }

    pub fn deinit(self: *Corpus) void {
        self.arena.deinit();
    }
};

test "a line is a name and its bytes" {
    var corpus = try Corpus.parse(std.testing.allocator, "empty \nack 8400ff\n");
    defer corpus.deinit();
    try std.testing.expectEqual(2, corpus.inputs.len);
    try std.testing.expectEqualStrings("ack", corpus.names[1]);
    try std.testing.expectEqualSlices(u8, &.{ 0x84, 0, 0xff }, corpus.inputs[1]);
}
