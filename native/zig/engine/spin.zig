//! How long an idle engine looks before it sleeps: a wake on another CPU costs more than the whole
//! protocol, but looking in vain costs a CPU that vCPUs could use. As the kernel's halt polling
//! does (Documentation/virt/kvm/halt-polling.rst): more after an event that came soon after the
//! engine had gone to sleep, less after one that let it wait.

const std = @import("std");

const start_ns = 10_000;

pub const Spin = struct {
    /// Never longer than this; 0 = always sleep at once.
    most_ns: u64,
    now_ns: u64 = 0,

    /// An idle time has ended.
    pub fn waited(self: *Spin, idle_ns: u64) void {
        if (idle_ns <= self.now_ns) return;
        if (idle_ns <= self.most_ns) {
            const least_ns = @min(start_ns, self.most_ns);
            self.now_ns = std.math.clamp(self.now_ns * 2, least_ns, self.most_ns);
        } else {
            self.now_ns = if (self.now_ns <= start_ns) 0 else self.now_ns / 2;
        }
    }
};

test "short waits make it look longer, long ones shorter, and never without a budget" {
    var spin: Spin = .{ .most_ns = 50_000 };
    for ([_]u64{ 10_000, 20_000, 40_000, 50_000, 50_000 }) |expected| {
        spin.waited(50_000);
        try std.testing.expectEqual(expected, spin.now_ns);
    }
    // It came while the engine looked.
    spin.waited(30_000);
    try std.testing.expectEqual(50_000, spin.now_ns);
    for ([_]u64{ 25_000, 12_500, 6_250, 0, 0 }) |expected| {
        spin.waited(1_000_000);
        try std.testing.expectEqual(expected, spin.now_ns);
    }
    var never: Spin = .{ .most_ns = 0 };
    never.waited(1);
    try std.testing.expectEqual(0, never.now_ns);
}
