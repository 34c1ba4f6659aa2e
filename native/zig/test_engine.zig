//! Unit tests of the engine and what it calls.

comptime {
    _ = @import("sys/kernel.zig");
    _ = @import("sys/linux.zig");
    _ = @import("sys/uffd.zig");
    _ = @import("sys/udp.zig");
    _ = @import("engine/memory.zig");
    _ = @import("engine/memory_test.zig");
    _ = @import("engine/memory_script_test.zig");
    _ = @import("engine/desk.zig");
    _ = @import("engine/events.zig");
    _ = @import("engine/fabric.zig");
    _ = @import("engine/gate.zig");
    _ = @import("engine/engine.zig");
    _ = @import("engine/fault_script_test.zig");
    _ = @import("engine/reclaim_script_test.zig");
    _ = @import("engine/sleep_script_test.zig");
    _ = @import("engine/socket_script_test.zig");
    _ = @import("engine/heat.zig");
    _ = @import("engine/history.zig");
    _ = @import("engine/inspect_script_test.zig");
    _ = @import("engine/rests.zig");
    _ = @import("engine/spin.zig");
    _ = @import("engine/waits.zig");
    _ = @import("engine/guest.zig");
    _ = @import("sys/image.zig");
    _ = @import("engine/samples.zig");
}
