//! userfaultfd by hand (Documentation/admin-guide/mm/userfaultfd.rst, uapi/linux/userfaultfd.h).
//! native/c/abi_check.c compares numbers and sizes with the kernel's header.

const std = @import("std");
const kernel = @import("kernel.zig");
const linux = @import("linux.zig");
const os = linux.os;
const assert = std.debug.assert;

pub const Range = extern struct { start: u64, len: u64 };
pub const Api = extern struct { api: u64, features: u64, ioctls: u64 };
const Register = extern struct { range: Range, mode: u64, ioctls: u64 };
pub const Copy = extern struct { to: u64, from: u64, len: u64, mode: u64, copied: i64 };
pub const Continue = extern struct { range: Range, mode: u64, mapped: i64 };
pub const WriteProtect = extern struct { range: Range, mode: u64 };

pub const Message = extern struct {
    event: u8,
    reserved: [7]u8,
    flags: u64,
    address: u64,
    thread: u32,
    padding: u32,
};

comptime {
    assert(@sizeOf(Message) == 32);
    assert(ioctl_api == 0xc018aa3f);
    assert(ioctl_register == 0xc020aa00);
    assert(ioctl_wake == 0x8010aa02);
    assert(ioctl_copy == 0xc028aa03);
    assert(ioctl_write_protect == 0xc018aa06);
    assert(ioctl_continue == 0xc020aa07);
}

pub const ioctl_api = os.IOCTL.IOWR(0xaa, 0x3f, Api);
pub const ioctl_register = os.IOCTL.IOWR(0xaa, 0x00, Register);
pub const ioctl_wake = os.IOCTL.IOR(0xaa, 0x02, Range);
pub const ioctl_copy = os.IOCTL.IOWR(0xaa, 0x03, Copy);
pub const ioctl_write_protect = os.IOCTL.IOWR(0xaa, 0x06, WriteProtect);
pub const ioctl_continue = os.IOCTL.IOWR(0xaa, 0x07, Continue);

pub const event_pagefault: u8 = 0x12;
pub const flag_write: u64 = 1;
pub const flag_wp: u64 = 2;

const feature_thread_id = 1 << 8;
const feature_missing_shmem = 1 << 5;
const feature_minor_shmem = 1 << 10;
const feature_wp_shmem = 1 << 12;
pub const features_needed: u64 = feature_thread_id | feature_missing_shmem | feature_minor_shmem |
    feature_wp_shmem;
/// UFFD_FEATURE_WP_UNPOPULATED: not needed for shared memory, but as old as a UFFDIO_CONTINUE that
/// write-protects, of which no feature tells (both Linux 6.4).
pub const feature_wp_unpopulated: u64 = 1 << 13;

const mode_missing_wp_minor = 1 | 2 | 4;
pub const continue_wp = 2;
pub const copy_wp = 2;
pub const write_protect_wp = 1;

pub const ioctl_new = os.IOCTL.IO(0xaa, 0x00);

/// A non-blocking userfaultfd without features yet, that also handles kernel-mode faults (KVM's):
/// by the system call, or by the device an administrator may have opened to this user.
pub fn openPlain() linux.Error!i32 {
    const flags = 0o2000000 | 0o4000;
    return linux.fdOf(kernel.call(.userfaultfd, .{flags})) catch |failure| {
        if (failure == error.Unsupported) return failure;
        const opened = kernel.call(.open, .{ "/dev/userfaultfd", linux.read_write, 0 });
        const device = linux.fdOf(opened) catch return failure;
        defer linux.close(device);
        return linux.fdOf(kernel.call(.ioctl, .{ device, ioctl_new, flags }));
    };
}

pub const Opened = struct {
    fd: i32,
    /// Whether continuePages can write-protect.
    continues_protected: bool,
};

/// Opens one with all features the engine needs.
pub fn open() linux.Error!Opened {
    const fd = try openPlain();
    errdefer linux.close(fd);
    var api: Api = .{ .api = 0xaa, .features = features_needed, .ioctls = 0 };
    _ = linux.check(ioctl(fd, ioctl_api, &api)) catch return error.Unsupported;
    // The kernel answers with all features that it has.
    return .{ .fd = fd, .continues_protected = api.features & feature_wp_unpopulated != 0 };
}

/// Features this kernel has; the descriptor must be new.
pub fn offered(fd: i32) linux.Error!u64 {
    var api: Api = .{ .api = 0xaa, .features = 0, .ioctls = 0 };
    _ = try linux.check(ioctl(fd, ioctl_api, &api));
    return api.features;
}

fn ioctl(fd: i32, request: u32, argument: anytype) usize {
    return kernel.call(.ioctl, .{ fd, request, argument });
}

pub fn register(fd: i32, memory: []u8) linux.Error!void {
    var r: Register = .{ .range = rangeOf(memory), .mode = mode_missing_wp_minor, .ioctls = 0 };
    _ = try linux.check(ioctl(fd, ioctl_register, &r));
}

/// Maps pages that are in the page cache and wakes; Exists when something is mapped already. On an
/// error some may be mapped.
pub fn continuePages(fd: i32, pages: []u8, protected: bool) linux.Error!void {
    while (true) {
        var c: Continue = .{
            .range = rangeOf(pages),
            .mode = if (protected) continue_wp else 0,
            .mapped = 0,
        };
        _ = linux.check(ioctl(fd, ioctl_continue, &c)) catch |err| switch (err) {
            // The address space is changing under us (another thread's mmap): ask again.
            error.Again => continue,
            else => return err,
        };
        return;
    }
}

/// Puts these bytes into the page cache, where the page must not be yet, maps them write-protected
/// and wakes.
pub fn copyProtected(fd: i32, page: []u8, bytes: []const u8) linux.Error!void {
    assert(page.len == bytes.len);
    while (true) {
        var c: Copy = .{
            .to = @intFromPtr(page.ptr),
            .from = @intFromPtr(bytes.ptr),
            .len = page.len,
            .mode = copy_wp,
            .copied = 0,
        };
        _ = linux.check(ioctl(fd, ioctl_copy, &c)) catch |err| switch (err) {
            error.Again => continue,
            else => return err,
        };
        return;
    }
}

/// Changes the protection; taking it away also wakes.
pub fn writeProtect(fd: i32, page: []u8, protected: bool) linux.Error!void {
    while (true) {
        var w: WriteProtect = .{
            .range = rangeOf(page),
            .mode = if (protected) write_protect_wp else 0,
        };
        _ = linux.check(ioctl(fd, ioctl_write_protect, &w)) catch |err| switch (err) {
            error.Again => continue,
            else => return err,
        };
        return;
    }
}

pub fn wake(fd: i32, page: []u8) linux.Error!void {
    var r = rangeOf(page);
    _ = try linux.check(ioctl(fd, ioctl_wake, &r));
}

fn rangeOf(memory: []u8) Range {
    return .{ .start = @intFromPtr(memory.ptr), .len = memory.len };
}

/// Reads waiting events; an empty slice when there are none. The kernel gives whole ones only.
pub fn read(fd: i32, into: []Message) linux.Error![]Message {
    while (true) {
        const rc = kernel.call(.read, .{ fd, into.ptr, into.len * @sizeOf(Message) });
        const bytes = linux.check(rc) catch |err| switch (err) {
            error.Again => return into[0..0],
            error.Interrupted => continue,
            else => return err,
        };
        if (bytes % @sizeOf(Message) != 0) return error.Unexpected;
        return into[0 .. bytes / @sizeOf(Message)];
    }
}
