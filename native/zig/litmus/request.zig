//! What a run is asked to do: `litmus=SB,MP iterations=N seed=N`, as words of the command line of
//! the built-in guest or arguments of the native program.

const std = @import("std");
const shapes = @import("shapes.zig");

pub const Error = error{ UnknownShape, UnknownWord, BadNumber, MixedThreads };

pub const Request = struct {
    /// Indices into shapes.all.
    wanted: std.StaticBitSet(shapes.all.len) = .initEmpty(),
    /// Per shape, over all its cases.
    iterations: u64 = 1_000_000,
    seed: u64 = 1,

    fn want(request: *Request, names: []const u8) Error!void {
        var each = std.mem.splitScalar(u8, names, ',');
        while (each.next()) |name| {
            const index = for (&shapes.all, 0..) |*shape, i| {
                if (std.mem.eql(u8, shape.name, name)) break i;
            } else return error.UnknownShape;
            request.wanted.set(index);
            if (shapes.all[index].threads.len != request.threads()) return error.MixedThreads;
        }
    }

    /// Threads that all wanted shapes have.
    pub fn threads(request: *const Request) usize {
        return shapes.all[request.wanted.findFirstSet().?].threads.len;
    }
};

/// Null when the line does not ask for litmus tests.
pub fn parse(line: []const u8) Error!?Request {
    if (std.mem.indexOf(u8, line, "litmus=") == null) return null;
    var request: Request = .{};
    var words = std.mem.tokenizeScalar(u8, line, ' ');
    while (words.next()) |word| {
        const equals = std.mem.indexOfScalar(u8, word, '=') orelse return error.UnknownWord;
        const value = word[equals + 1 ..];
        const name = word[0..equals];
        if (std.mem.eql(u8, name, "litmus")) {
            try request.want(value);
        } else if (std.mem.eql(u8, name, "iterations")) {
            request.iterations = try number(value);
        } else if (std.mem.eql(u8, name, "seed")) {
            request.seed = try number(value);
        } else return error.UnknownWord;
    }
    if (request.wanted.count() == 0) return error.UnknownShape;
    return request;
}

fn number(text: []const u8) Error!u64 {
    var value: u64 = 0;
    if (text.len == 0 or text.len > 18) return error.BadNumber;
    for (text) |digit| {
        if (digit < '0' or digit > '9') return error.BadNumber;
        value = value * 10 + digit - '0';
    }
    return value;
}

/// For whoever typed it.
pub fn explain(err: Error) []const u8 {
    return switch (err) {
        error.UnknownShape => "litmus= takes names of shapes: SB,MP,LB,S,R,2+2W or IRIW",
        error.UnknownWord => "only litmus=, iterations= and seed= are known",
        error.BadNumber => "give a number of at most 18 digits",
        error.MixedThreads => "shapes of one run have equally many threads: IRIW goes alone",
    };
}

test "words of a line" {
    try std.testing.expectEqual(null, try parse("quiet"));
    const request = (try parse("litmus=SB,2+2W iterations=500 seed=9")).?;
    try std.testing.expectEqual(2, request.wanted.count());
    try std.testing.expectEqual(2, request.threads());
    try std.testing.expectEqual(500, request.iterations);
    try std.testing.expectEqual(9, request.seed);
    try std.testing.expectEqual(4, (try parse("litmus=IRIW")).?.threads());
    try std.testing.expectError(error.UnknownShape, parse("litmus=SBB"));
    try std.testing.expectError(error.UnknownShape, parse("litmus="));
    try std.testing.expectError(error.MixedThreads, parse("litmus=SB,IRIW"));
    try std.testing.expectError(error.BadNumber, parse("litmus=SB iterations=1e6"));
    try std.testing.expectError(error.UnknownWord, parse("litmus=SB speed=1"));
}
