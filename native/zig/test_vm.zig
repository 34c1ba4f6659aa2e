//! Unit tests of the virtual machine.

comptime {
    _ = @import("vm/exit.zig");
    _ = @import("vm/exit_test.zig");
    _ = @import("vm/start_test.zig");
    _ = @import("vm/hostile_test.zig");
    _ = @import("vm/machine_test.zig");
    _ = @import("vm/console_test.zig");
    _ = @import("vm/long_test.zig");
    _ = @import("vm/board_test.zig");
    _ = @import("vm/pci_test.zig");
    _ = @import("vm/peer_test.zig");
    _ = @import("vm/clock_script_test.zig");
    _ = @import("vm/step_script_test.zig");
    _ = @import("vm/tsc_test.zig");
    _ = @import("vm/interrupts.zig");
    _ = @import("vm/observe_test.zig");
    _ = @import("vm/int3_test.zig");
    _ = @import("vm/setup_script_test.zig");
    _ = @import("vm/vcpu_script_test.zig");
    _ = @import("vm/cpuid.zig");
    _ = @import("vm/deadline.zig");
    _ = @import("vm/deadline_test.zig");
    _ = @import("vm/deadline_trial_test.zig");
    _ = @import("vm/clock.zig");
    _ = @import("vm/firmware.zig");
    _ = @import("vm/disk_test.zig");
}
