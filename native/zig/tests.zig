//! Root of all unit tests.

comptime {
    _ = @import("errors.zig");
    _ = @import("test_wire.zig");
    _ = @import("test_dsm.zig");
    _ = @import("test_engine.zig");
    _ = @import("test_faults.zig");
    _ = @import("test_pc.zig");
    _ = @import("test_vm.zig");
    _ = @import("test_fuzz.zig");
    _ = @import("test_guest.zig");
    _ = @import("test_litmus.zig");
    _ = @import("sys/probe.zig");
}
