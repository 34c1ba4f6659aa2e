//! The thread that wakes the board when its interval timer comes due; on the device node only. It
//! sleeps as long as nothing is due: a guest that has found a better timer costs nothing here.

const std = @import("std");
const devices = @import("devices.zig");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const BoardEffects = @import("../devices/board.zig").Effects;
const Machine = @import("machine.zig").Machine;

pub const Ticker = struct {
    /// Raised whenever the deadline becomes earlier, so that none is slept through.
    changes: std.atomic.Value(u32) = .init(0),
    thread: ?std.Thread = null,

    pub fn start(self: *Ticker, machine: *Machine) !void {
        self.thread = try kernel.spawn(1 << 20, run, .{ self, machine });
    }

    /// After `machine.stopping` was set; returns when the thread has ended.
    pub fn join(self: *Ticker) void {
        self.poke();
        if (self.thread) |thread| thread.join();
        self.thread = null;
    }

    pub fn poke(self: *Ticker) void {
        _ = self.changes.fetchAdd(1, .seq_cst);
        linux.futexWake(&self.changes);
    }

    fn run(self: *Ticker, machine: *Machine) void {
        linux.blockSignals(0);
        linux.nameThread("gvm-ticker");
        while (true) {
            const seen = self.changes.load(.seq_cst);
            // Whoever stops the machine sets this first and pokes then.
            if (machine.stopping.load(.seq_cst)) return;
            var effects: BoardEffects = .{};
            machine.board_lock.lock();
            machine.board.tick(linux.nowNs(), &effects);
            const next_ns = machine.board.deadline();
            machine.board_lock.unlock();
            devices.carryOut(machine, &effects);
            linux.futexWait(&self.changes, seen, next_ns);
        }
    }
};
