//! Bounded fuzzing as unit tests (docs/fuzzing.md).

comptime {
    _ = @import("untouched.zig");
    _ = @import("fuzz/source.zig");
    _ = @import("fuzz/corpus.zig");
    _ = @import("fuzz/replay_test.zig");
}
