//! Unit tests of what decides a packet's fate between test namespaces.

comptime {
    _ = @import("faults/words.zig");
    _ = @import("faults/bucket.zig");
    _ = @import("faults/direction.zig");
    _ = @import("faults/held.zig");
}
