//! Unit tests of the interrupt controllers and devices.

comptime {
    _ = @import("apic/local.zig");
    _ = @import("apic/timer.zig");
    _ = @import("apic/destination.zig");
}
