//! Unit tests of the interrupt controllers and devices.

comptime {
    _ = @import("apic/interface.zig");
    _ = @import("apic/local_test.zig");
    _ = @import("apic/local_timer_test.zig");
    _ = @import("apic/timer.zig");
    _ = @import("apic/destination.zig");
    _ = @import("apic/ioapic.zig");
    _ = @import("apic/msi.zig");
    _ = @import("devices/board_serial_test.zig");
    _ = @import("devices/board_test.zig");
    _ = @import("devices/output.zig");
    _ = @import("devices/uart_test.zig");
    _ = @import("devices/pace_test.zig");
    _ = @import("devices/pit_test.zig");
    _ = @import("devices/cmos_test.zig");
    _ = @import("devices/acpi_pm.zig");
    _ = @import("devices/probe.zig");
    _ = @import("devices/pic.zig");
    _ = @import("devices/crtc.zig");
    _ = @import("devices/resets.zig");
    _ = @import("devices/pci/config.zig");
    _ = @import("devices/pci/host_test.zig");
    _ = @import("devices/pci/msix.zig");
    _ = @import("devices/virtio/queue_test.zig");
    _ = @import("devices/virtio/transport_test.zig");
    _ = @import("devices/virtio/block_test.zig");
}
