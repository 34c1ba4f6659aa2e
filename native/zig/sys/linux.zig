//! The system calls of the data plane that have no room of their own: memory, time, waiting,
//! threads. Results become Zig errors here and nowhere else (errors.zig turns them back for
//! TypeScript).

const std = @import("std");
const kernel = @import("kernel.zig");
const limits = @import("../limits.zig");
pub const os = std.os.linux;
const assert = std.debug.assert;

/// Flags of open() for a device.
pub const read_write: os.O = .{ .ACCMODE = .RDWR, .CLOEXEC = true };

pub const Error = error{
    AccessDenied,
    PermissionDenied,
    OutOfMemory,
    AddressInUse,
    AddressNotAvailable,
    NoDevice,
    Again,
    Exists,
    BadAddress,
    Interrupted,
    Refused,
    Busy,
    Unsupported,
    NotFound,
    Unexpected,
};

/// The value of a successful call, or its errno as an error.
pub fn check(rc: usize) Error!usize {
    return switch (os.errno(rc)) {
        .SUCCESS => rc,
        .ACCES => error.AccessDenied,
        .PERM => error.PermissionDenied,
        .NOMEM, .NFILE, .MFILE => error.OutOfMemory,
        .ADDRINUSE => error.AddressInUse,
        .ADDRNOTAVAIL => error.AddressNotAvailable,
        .NODEV, .NXIO => error.NoDevice,
        .NOENT, .NOTDIR => error.NotFound,
        // NOBUFS: the queue of a network device is full.
        .AGAIN, .NOBUFS => error.Again,
        .EXIST => error.Exists,
        .FAULT => error.BadAddress,
        .INTR => error.Interrupted,
        .BUSY => error.Busy,
        .CONNREFUSED => error.Refused,
        .OPNOTSUPP, .NOSYS => error.Unsupported,
        else => error.Unexpected,
    };
}

pub fn fdOf(rc: usize) Error!i32 {
    return @intCast(try check(rc));
}

pub fn close(fd: i32) void {
    if (fd >= 0) _ = kernel.call(.close, .{fd});
}

/// CLOCK_MONOTONIC in nanoseconds; a vDSO call through libc, no system call.
pub fn nowNs() u64 {
    var ts: std.c.timespec = undefined;
    const rc = std.c.clock_gettime(.MONOTONIC, &ts);
    assert(rc == 0);
    return @as(u64, @intCast(ts.sec)) * std.time.ns_per_s + @as(u64, @intCast(ts.nsec));
}

pub fn threadId() u32 {
    return @intCast(kernel.call(.gettid, .{}));
}

/// Blocks every signal in the calling thread but `open` (0 = none): Bun's handlers must not run
/// here.
pub fn blockSignals(open: u6) void {
    var set: u64 = ~@as(u64, 0);
    if (open != 0) set &= ~(@as(u64, 1) << (open - 1));
    const rc = kernel.call(.rt_sigprocmask, .{ os.SIG.SETMASK, &set, null, 8 });
    assert(os.errno(rc) == .SUCCESS);
}

/// Real-time signal of kicks; 32-34 belong to libc, the low ones to Bun.
pub const kick_signal = 35;

/// Throws a thread out of KVM_RUN, or keeps it from entering (vm/mailbox.zig has the handler).
pub fn kickThread(tid: u32) void {
    _ = kernel.call(.tgkill, .{ kernel.call(.getpid, .{}), tid, kick_signal });
}

pub fn nameThread(name: [*:0]const u8) void {
    _ = kernel.call(.prctl, .{ @intFromEnum(os.PR.SET_NAME), name, 0, 0, 0 });
}

/// struct sched_attr of linux/sched/types.h, its first version.
pub const SchedAttr = extern struct {
    size: u32 = @sizeOf(SchedAttr),
    policy: u32 = 0,
    flags: u64 = 0,
    nice: i32 = 0,
    priority: u32 = 0,
    /// Of an ordinary thread its slice in ns, from Linux 6.12 on; 0.1 ms is the least.
    runtime_ns: u64 = 0,
    deadline_ns: u64 = 0,
    period_ns: u64 = 0,
};

/// Lets the calling thread run as soon as it wakes, before any ordinary thread (SCHED_RR, lowest
/// priority). False where that is not permitted: then it has slices of 0.1 ms and, where permitted,
/// a nice value of -20, and goes before others most of the time. Only for threads that sleep most
/// of the time.
pub fn preferThread() bool {
    const round_robin = 2;
    const priority: i32 = 1;
    const rc = kernel.call(.sched_setscheduler, .{ 0, round_robin, &priority });
    if (os.errno(rc) == .SUCCESS) return true;
    var attr = scheduling() orelse return false;
    attr.runtime_ns = limits.ns_per_ms / 10;
    for ([_]i32{ -20, attr.nice }) |nice| {
        attr.nice = nice;
        if (os.errno(kernel.call(.sched_setattr, .{ 0, &attr, 0 })) == .SUCCESS) break;
    }
    return false;
}

fn scheduling() ?SchedAttr {
    var attr: SchedAttr = .{};
    const rc = kernel.call(.sched_getattr, .{ 0, &attr, @sizeOf(SchedAttr), 0 });
    return if (os.errno(rc) == .SUCCESS) attr else null;
}

/// Whether preferThread could give a thread of this process its place; tried on one that then ends.
pub fn mayPrefer() bool {
    var may = false;
    const thread = kernel.spawn(1 << 20, ask, .{&may}) catch return false;
    thread.join();
    return may;
}

fn ask(may: *bool) void {
    may.* = preferThread();
}

/// Sleeps while the word equals `expected`, at most until `deadline_ns` (CLOCK_MONOTONIC).
/// Returns early on wakes and signals: the caller looks again.
pub fn futexWait(word: *const std.atomic.Value(u32), expected: u32, deadline_ns: ?u64) void {
    const bitset_absolute = 9 | 128;
    var ts: os.timespec = undefined;
    if (deadline_ns) |at| ts = .{
        .sec = @intCast(at / std.time.ns_per_s),
        .nsec = @intCast(at % std.time.ns_per_s),
    };
    const until = if (deadline_ns != null) &ts else null;
    const any_bit = 0xffff_ffff;
    _ = kernel.call(.futex, .{ word, bitset_absolute, expected, until, null, any_bit });
}

pub fn futexWake(word: *const std.atomic.Value(u32)) void {
    wakeSome(word, std.math.maxInt(i32));
}

fn wakeSome(word: *const std.atomic.Value(u32), most: u32) void {
    const wake_private = 1 | 128;
    _ = kernel.call(.futex, .{ word, wake_private, most });
}

/// A plain futex mutex (Drepper, "Futexes are tricky", mutex 2).
pub const Lock = struct {
    word: std.atomic.Value(u32) = .init(0),

    pub fn lock(self: *Lock) void {
        if (self.word.cmpxchgStrong(0, 1, .acquire, .monotonic) == null) return;
        while (self.word.swap(2, .acquire) != 0) futexWait(&self.word, 2, null);
    }

    pub fn unlock(self: *Lock) void {
        // One is enough: whoever waited leaves a 2 when it has the lock, and so wakes the next.
        if (self.word.swap(0, .release) == 2) wakeSome(&self.word, 1);
    }
};

/// Waits for epoll events until `deadline_ns`; returns how many.
pub fn epollWait(epoll: i32, events: []os.epoll_event, now_ns: u64, deadline_ns: ?u64) usize {
    var ts: os.timespec = .{ .sec = 0, .nsec = 0 };
    if (deadline_ns) |at| {
        const left = at -| now_ns;
        ts = .{
            .sec = @intCast(left / std.time.ns_per_s),
            .nsec = @intCast(left % std.time.ns_per_s),
        };
    }
    const until = if (deadline_ns != null) &ts else null;
    const rc = kernel.call(.epoll_pwait2, .{ epoll, events.ptr, events.len, until, null, 0 });
    return check(rc) catch 0;
}

pub fn epollAdd(epoll: i32, fd: i32, events: u32, tag: u64) Error!void {
    var event: os.epoll_event = .{ .events = events, .data = .{ .u64 = tag } };
    _ = try check(kernel.call(.epoll_ctl, .{ epoll, os.EPOLL.CTL_ADD, fd, &event }));
}

test "a lock excludes and a futex times out" {
    var lock: Lock = .{};
    var total: u32 = 0;
    const Work = struct {
        fn run(l: *Lock, t: *u32) void {
            for (0..20_000) |_| {
                l.lock();
                t.* += 1;
                l.unlock();
            }
        }
    };
    const other = try std.Thread.spawn(.{}, Work.run, .{ &lock, &total });
    Work.run(&lock, &total);
    other.join();
    try std.testing.expectEqual(40_000, total);
    var word: std.atomic.Value(u32) = .init(1);
    const before = nowNs();
    futexWait(&word, 1, before + 1_000_000);
    try std.testing.expect(nowNs() >= before + 1_000_000);
}
