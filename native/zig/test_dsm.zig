//! Unit tests of coherence and its simulator.

comptime {
    _ = @import("dsm/page_map.zig");
    _ = @import("dsm/credit.zig");
    _ = @import("dsm/gang.zig");
    _ = @import("dsm/gather_test.zig");
    _ = @import("dsm/local.zig");
    _ = @import("dsm/guards.zig");
    _ = @import("dsm/queue.zig");
    _ = @import("dsm/shares.zig");
    _ = @import("dsm/dsm_test.zig");
    _ = @import("dsm/discard_test.zig");
    _ = @import("dsm/end_test.zig");
    _ = @import("dsm/ahead_test.zig");
    _ = @import("dsm/gang_test.zig");
    _ = @import("sim/channel.zig");
    _ = @import("sim/instructions.zig");
    _ = @import("sim/coherence_test.zig");
    _ = @import("sim/mutants.zig");
    _ = @import("sim/growth_test.zig");
}
