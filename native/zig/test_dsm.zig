//! Unit tests of coherence and its simulator.

comptime {
    _ = @import("dsm/page_map.zig");
    _ = @import("dsm/gather.zig");
    _ = @import("dsm/local.zig");
    _ = @import("dsm/guards.zig");
    _ = @import("dsm/dsm.zig");
    _ = @import("sim/channel.zig");
    _ = @import("sim/instructions.zig");
    _ = @import("sim/coherence_test.zig");
}
