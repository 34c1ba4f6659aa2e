//! How the board wakes the thread of a PCI device: the guest's store to the device's BAR rings, the
//! thread looks at what there is to do, and sleeps when that is nothing. A ring between its look
//! and its sleep is not slept through.

const std = @import("std");
const linux = @import("../sys/linux.zig");

pub const Doorbell = struct {
    rings: std.atomic.Value(u32) = .init(0),

    /// Any thread; does not wait.
    pub fn ring(self: *Doorbell) void {
        _ = self.rings.fetchAdd(1, .seq_cst);
        linux.futexWake(&self.rings);
    }

    /// Before the thread looks for work.
    pub fn seen(self: *const Doorbell) u32 {
        return self.rings.load(.seq_cst);
    }

    /// Sleeps until it has rung more often than `rings`; may return early.
    pub fn wait(self: *Doorbell, rings: u32) void {
        linux.futexWait(&self.rings, rings, null);
    }
};
