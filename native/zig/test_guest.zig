//! Unit tests of what the built-in guest computes; all else of it is tested by running it.

comptime {
    _ = @import("guest/clocks.zig");
}
