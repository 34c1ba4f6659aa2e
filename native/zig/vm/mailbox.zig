//! What other threads want of a vCPU, and how they get its attention. A kick is never lost: the
//! word changes first, then immediate_exit, then the signal; the vCPU reads the word before it
//! looks for work and sleeps only while it is unchanged.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const Waits = @import("../engine/waits.zig").Waits;
const os = linux.os;

const kick_signal = linux.kick_signal;

pub const Command = enum(u32) { run = 0, pause = 1, stop = 2 };

pub const Mailbox = struct {
    command: std.atomic.Value(u32) = .init(0),
    /// Counts kicks; futex word of a vCPU that sleeps in HLT or waits.
    kicks: std.atomic.Value(u32) = .init(0),
    /// The vCPU is in KVM_RUN, or about to enter it.
    inside: std.atomic.Value(bool) = .init(false),
    /// The vCPU obeys a pause: it is outside the guest and stays there.
    held: std.atomic.Value(bool) = .init(false),
    tid: std.atomic.Value(u32) = .init(0),

    pub fn read(self: *const Mailbox) Command {
        return @enumFromInt(self.command.load(.acquire));
    }

    /// Any thread. Gets the vCPU's attention; one that waits in a page fault gives it when the page
    /// is there (`waits`), or at once without.
    pub fn kick(self: *Mailbox, run: *kvm.Run, waits: ?*Waits, slot: usize) void {
        _ = self.kicks.fetchAdd(1, .seq_cst);
        linux.futexWake(&self.kicks);
        if (!self.inside.load(.seq_cst)) return;
        @atomicStore(u8, &run.immediate_exit, 1, .seq_cst);
        if (waits) |w| if (w.takesKick(slot)) return;
        const tid = self.tid.load(.acquire);
        if (tid != 0) linux.kickThread(tid);
    }

    /// Any thread. Wakes a vCPU that sleeps outside the guest; one that is inside needs not know.
    pub fn nudge(self: *Mailbox) void {
        _ = self.kicks.fetchAdd(1, .seq_cst);
        linux.futexWake(&self.kicks);
    }
};

/// The page of the vCPU whose thread this is, for the signal handler.
threadlocal var current: ?*kvm.Run = null;

/// A timer of this thread may expire between the last look and KVM_RUN: the handler makes the entry
/// return at once.
fn onKick(_: os.SIG) callconv(.c) void {
    if (current) |run| @atomicStore(u8, &run.immediate_exit, 1, .seq_cst);
}

/// Once per process, before the first vCPU thread.
pub fn installHandler() void {
    const action: os.Sigaction = .{
        .handler = .{ .handler = onKick },
        .mask = os.sigemptyset(),
        .flags = 0,
    };
    _ = os.sigaction(@enumFromInt(kick_signal), &action, null);
}

/// Makes the calling thread the one of this vCPU.
pub fn enterThread(self: *Mailbox, run: *kvm.Run) void {
    current = run;
    linux.blockSignals(kick_signal);
    self.tid.store(linux.threadId(), .release);
}

/// A POSIX timer whose signal goes to the calling thread (timer_create(2), SIGEV_THREAD_ID).
pub const Alarm = struct {
    id: i32,
    armed_ns: u64 = 0,

    const Event = extern struct {
        value: u64 = 0,
        signo: i32 = kick_signal,
        notify: i32 = 4,
        tid: i32,
        padding: [44]u8 = @splat(0),
    };
    const Spec = extern struct { interval: os.timespec, value: os.timespec };

    comptime {
        if (@sizeOf(Event) != 64) @compileError("struct sigevent is 64 bytes");
    }

    pub fn init() linux.Error!Alarm {
        const event: Event = .{ .tid = @intCast(linux.threadId()) };
        var id: i32 = 0;
        const monotonic = 1;
        _ = try linux.check(kernel.call(.timer_create, .{ monotonic, &event, &id }));
        return .{ .id = id };
    }

    pub fn deinit(self: *Alarm) void {
        _ = kernel.call(.timer_delete, .{self.id});
    }

    /// Absolute CLOCK_MONOTONIC time; null disarms. Costs a system call only when it changes.
    pub fn set(self: *Alarm, at_ns: ?u64) void {
        const wanted = at_ns orelse 0;
        if (wanted == self.armed_ns) return;
        self.armed_ns = wanted;
        const spec: Spec = .{
            .interval = .{ .sec = 0, .nsec = 0 },
            .value = .{
                .sec = @intCast(wanted / std.time.ns_per_s),
                .nsec = @intCast(wanted % std.time.ns_per_s),
            },
        };
        const absolute = 1;
        _ = kernel.call(.timer_settime, .{ self.id, absolute, &spec, null });
    }
};
