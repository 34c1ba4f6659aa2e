//! The corpus of every target again, and a fixed number of inputs made from it by a seed.

const std = @import("std");
const Corpus = @import("corpus.zig").Corpus;
const Mutator = @import("mutate.zig").Mutator;
const targets = @import("targets.zig");

const allocator = std.testing.allocator;
const seed = 0x6769616e74;

test "inputs that once mattered" {
    for (&targets.all) |*target| {
        var corpus = try Corpus.parse(allocator, target.corpus);
        defer corpus.deinit();
        try std.testing.expect(corpus.inputs.len > 0);
        for (corpus.inputs, corpus.names) |input, name| {
            errdefer std.debug.print("{s}: {s}\n", .{ target.name, name });
            try target.run(allocator, input);
        }
    }
}

test "inputs made from them by a seed" {
    for (&targets.all) |*target| {
        var corpus = try Corpus.parse(allocator, target.corpus);
        defer corpus.deinit();
        var prng: std.Random.DefaultPrng = .init(seed);
        var mutator: Mutator = .{ .random = prng.random() };
        for (0..target.bounded_runs) |_| {
            const input = mutator.next(corpus.inputs);
            // A panic leaves no time to say which it was; this seed and number of runs find it
            // again: npm run fuzz -- --target NAME --seed S --runs N.
            errdefer std.debug.print("{s}: found {x}\n", .{ target.name, input });
            try target.run(allocator, input);
        }
    }
}
