//! Unit tests of the virtual machine.

comptime {
    _ = @import("vm/exit.zig");
    _ = @import("vm/cpuid.zig");
}
