//! Disk images as files or block devices of the host: opened once for the life of a VM, locked
//! against other VMs, read and written at an offset. Failures are the kernel's errno, as it is what
//! a user is told.
//!
//! The lock is one of the open file description (fcntl(2), F_OFD_SETLK): it is the kernel's, so it
//! ends with the process however that ends, and a second opening within one process meets it too.

const std = @import("std");
const kernel = @import("kernel.zig");
const linux = @import("linux.zig");
const os = linux.os;
const assert = std.debug.assert;

pub const Code = os.E;

/// struct flock of 64-bit systems (uapi/asm-generic/fcntl.h).
pub const Flock = extern struct {
    kind: i16,
    whence: i16 = 0,
    start: i64 = 0,
    /// 0 = to the end, wherever that will be.
    length: i64 = 0,
    pid: i32 = 0,
};

comptime {
    assert(@sizeOf(Flock) == 32);
}

pub const set_lock = 37; // F_OFD_SETLK
const lock_shared = 0; // F_RDLCK
const lock_exclusive = 1; // F_WRLCK
const seek_end = 2;
const type_mask = 0o170000;
const type_regular = 0o100000;
const type_block = 0o060000;

pub const Image = struct { fd: i32, bytes: u64 };

/// Opens and locks: to write, for this VM alone; to read, beside others that read. AGAIN when
/// another opening has it that this one cannot share, NODEV for neither a file nor a block device.
pub fn open(path: [*:0]const u8, read_only: bool, out: *Image) Code {
    var info: os.Statx = undefined;
    const rc = kernel.call(.statx, .{ os.AT.FDCWD, path, 0, os.STATX{ .TYPE = true }, &info });
    if (os.errno(rc) != .SUCCESS) return os.errno(rc);
    const kind = info.mode & type_mask;
    if (kind != type_regular and kind != type_block) return .NODEV;
    // Of a block device the kernel itself refuses what is mounted or held by another.
    const flags: os.O = .{
        .ACCMODE = if (read_only) .RDONLY else .RDWR,
        .CLOEXEC = true,
        .EXCL = kind == type_block and !read_only,
    };
    const opened = kernel.call(.open, .{ path, flags, 0 });
    if (os.errno(opened) != .SUCCESS) return os.errno(opened);
    const fd: i32 = @intCast(opened);
    const code = lockAndMeasure(fd, read_only, &out.bytes);
    if (code == .SUCCESS) out.fd = fd else linux.close(fd);
    return code;
}

fn lockAndMeasure(fd: i32, read_only: bool, bytes: *u64) Code {
    const wanted: Flock = .{ .kind = if (read_only) lock_shared else lock_exclusive };
    const code = os.errno(kernel.call(.fcntl, .{ fd, set_lock, &wanted }));
    // Either errno may stand for a lock that another has (fcntl(2)).
    if (code != .SUCCESS) return if (code == .ACCES) .AGAIN else code;
    bytes.* = kernel.call(.lseek, .{ fd, 0, seek_end });
    return os.errno(bytes.*);
}

/// What was written is on the disk, or the first failure of it.
pub fn sync(fd: i32) Code {
    while (true) {
        const code = os.errno(kernel.call(.fdatasync, .{fd}));
        if (code != .INTR) return code;
    }
}

/// Fills `out`; IO when the image ends before that.
pub fn read(fd: i32, out: []u8, offset: u64) Code {
    var done: usize = 0;
    while (done < out.len) {
        const rest = out[done..];
        const rc = kernel.call(.pread64, .{ fd, rest.ptr, rest.len, offset + done });
        switch (os.errno(rc)) {
            .SUCCESS => if (rc == 0) return .IO,
            .INTR => continue,
            else => |code| return code,
        }
        done += rc;
    }
    return .SUCCESS;
}

pub fn write(fd: i32, bytes: []const u8, offset: u64) Code {
    var done: usize = 0;
    while (done < bytes.len) {
        const rest = bytes[done..];
        const rc = kernel.call(.pwrite64, .{ fd, rest.ptr, rest.len, offset + done });
        switch (os.errno(rc)) {
            .SUCCESS => if (rc == 0) return .IO,
            .INTR => continue,
            else => |code| return code,
        }
        done += rc;
    }
    return .SUCCESS;
}

/// The range has no content any more and takes no place, where the host's file system can do that.
pub fn discard(fd: i32, offset: u64, bytes: u64) Code {
    const hole_of_same_size = 3; // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    return allocate(fd, hole_of_same_size, offset, bytes);
}

/// The range reads as zeros, without being written; OPNOTSUPP where the file cannot.
pub fn zero(fd: i32, offset: u64, bytes: u64) Code {
    const zero_of_same_size = 0x11; // FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
    return allocate(fd, zero_of_same_size, offset, bytes);
}

fn allocate(fd: i32, mode: u32, offset: u64, bytes: u64) Code {
    while (true) {
        const code = os.errno(kernel.call(.fallocate, .{ fd, mode, offset, bytes }));
        // What a block device says of a range that is not of whole sectors of its own.
        if (code == .INVAL) return .OPNOTSUPP;
        if (code != .INTR) return code;
    }
}

/// Flushes and closes, which also ends the lock.
pub fn close(fd: i32) Code {
    const code = sync(fd);
    linux.close(fd);
    return code;
}

const testing = std.testing;
const Call = kernel.Call;
const Scripted = @import("scripted.zig").Scripted;

test "a writer is alone, readers share, and the lock ends with the opening" {
    const path = "/proc/self/fd/";
    const memory: i32 = @intCast(os.memfd_create("image", 0));
    defer _ = os.close(memory);
    _ = os.ftruncate(memory, 1024);
    var buffer: [32]u8 = undefined;
    const name = try std.fmt.bufPrintZ(&buffer, path ++ "{d}", .{memory});
    var writer: Image = undefined;
    try testing.expectEqual(Code.SUCCESS, open(name, false, &writer));
    try testing.expectEqual(1024, writer.bytes);
    var one: Image = undefined;
    var two: Image = undefined;
    for ([_]bool{ false, true }) |read_only| {
        try testing.expectEqual(Code.AGAIN, open(name, read_only, &one));
    }
    try testing.expectEqual(Code.SUCCESS, close(writer.fd));
    try testing.expectEqual(Code.SUCCESS, open(name, true, &one));
    try testing.expectEqual(Code.SUCCESS, open(name, true, &two));
    try testing.expectEqual(Code.AGAIN, open(name, false, &writer));
    _ = close(one.fd);
    _ = close(two.fd);
    try testing.expectEqual(Code.SUCCESS, open(name, false, &writer));
    _ = close(writer.fd);
}

fn regular(_: *Scripted, made: Call) usize {
    made.at(os.Statx, 4).mode = type_regular;
    return 0;
}

test "why an image cannot be opened is the kernel's word, and nothing stays open" {
    var scripted: Scripted = .init(testing.allocator);
    scripted.install();
    defer scripted.remove();
    const file = "/an/image";
    var image: Image = undefined;
    for ([_]Code{ .NAMETOOLONG, .LOOP }) |code| {
        scripted.next(.{ .call = .statx }, .{ .fails = code }, 1);
        try testing.expectEqual(code, open(file, true, &image));
    }
    for ([_]Code{ .ROFS, .TXTBSY, .PERM, .BUSY }) |code| {
        scripted.next(.{ .call = .statx }, .{ .does = regular }, 1);
        scripted.next(.{ .call = .open }, .{ .fails = code }, 1);
        try testing.expectEqual(code, open(file, false, &image));
    }
    // ACCES stands for a lock that another has as well.
    const locks = [_][2]Code{ .{ .NOLCK, .NOLCK }, .{ .AGAIN, .AGAIN }, .{ .ACCES, .AGAIN } };
    for (locks) |codes| {
        scripted.next(.{ .call = .statx }, .{ .does = regular }, 1);
        scripted.next(.{ .call = .fcntl }, .{ .fails = codes[0] }, 1);
        try testing.expectEqual(codes[1], open(file, false, &image));
    }
    scripted.next(.{ .call = .statx }, .{ .does = regular }, 1);
    scripted.next(.{ .call = .lseek }, .{ .fails = .OVERFLOW }, 1);
    try testing.expectEqual(Code.OVERFLOW, open(file, true, &image));
    try scripted.expectNothingLeft();
}

test "bytes come back from where they were put, and there are none behind the end" {
    const fd: i32 = @intCast(os.memfd_create("image", 0));
    defer _ = os.close(fd);
    _ = os.ftruncate(fd, 1024);
    try testing.expectEqual(Code.SUCCESS, write(fd, "sector", 512));
    var out: [6]u8 = undefined;
    try testing.expectEqual(Code.SUCCESS, read(fd, &out, 512));
    try testing.expectEqualStrings("sector", &out);
    try testing.expectEqual(Code.SUCCESS, discard(fd, 512, 512));
    try testing.expectEqual(Code.SUCCESS, read(fd, &out, 512));
    try testing.expectEqualStrings("\x00" ** 6, &out);
    try testing.expectEqual(Code.IO, read(fd, &out, 1020));
    try testing.expectEqual(Code.BADF, write(-1, "x", 0));
    var image: Image = undefined;
    try testing.expectEqual(Code.NODEV, open("/", true, &image));
    try testing.expectEqual(Code.NODEV, open("/dev/null", false, &image));
    try testing.expectEqual(Code.NOENT, open("/nonexistent/image", false, &image));
    try testing.expectEqual(Code.NOTDIR, open("/dev/null/image", false, &image));
}

/// Moves one byte a call.
fn oneByte(_: *Scripted, made: Call) usize {
    var single = made;
    single.arguments[2] = @min(1, made.arguments[2]);
    return kernel.real(single);
}

test "short transfers and interrupted calls go on, failures keep their errno" {
    const fd: i32 = @intCast(os.memfd_create("image", 0));
    defer _ = os.close(fd);
    var scripted: Scripted = .init(testing.allocator);
    scripted.install();
    defer scripted.remove();
    scripted.next(.{ .call = .pwrite64 }, .{ .does = oneByte }, 3);
    scripted.next(.{ .call = .pwrite64 }, .{ .fails = .INTR }, 1);
    scripted.next(.{ .call = .pwrite64 }, .{ .does = oneByte }, 1);
    try testing.expectEqual(Code.SUCCESS, write(fd, "four", 0));
    scripted.next(.{ .call = .pread64 }, .{ .fails = .INTR }, 1);
    scripted.next(.{ .call = .pread64 }, .{ .does = oneByte }, 4);
    var out: [4]u8 = undefined;
    try testing.expectEqual(Code.SUCCESS, read(fd, &out, 0));
    try testing.expectEqualStrings("four", &out);
    scripted.next(.{ .call = .pwrite64 }, .{ .fails = .NOSPC }, 1);
    try testing.expectEqual(Code.NOSPC, write(fd, "more", 0));
    scripted.next(.{ .call = .fallocate }, .{ .fails = .INVAL }, 1);
    try testing.expectEqual(Code.OPNOTSUPP, discard(fd, 512, 512));
    scripted.next(.{ .call = .fdatasync }, .{ .fails = .INTR }, 1);
    scripted.next(.{ .call = .fdatasync }, .{ .fails = .IO }, 1);
    try testing.expectEqual(Code.IO, sync(fd));
}
