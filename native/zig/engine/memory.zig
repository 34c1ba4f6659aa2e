//! Guest RAM: one memfd, mapped twice. The guest mapping is registered with userfaultfd and given
//! to KVM; its page tables ARE the coherence state. The alias mapping is never registered: through
//! it the engine reads and writes page bytes without faulting.

const std = @import("std");
const limits = @import("../limits.zig");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const uffd = @import("../sys/uffd.zig");
const ByCopy = @import("by_copy.zig").ByCopy;
const State = @import("../dsm/dsm.zig").State;
const Page = @import("../wire/message.zig").Page;
const os = linux.os;
const assert = std.debug.assert;

pub const page_size = limits.page_size;
/// RAM below this offset is at the same guest physical address; the rest lies above the MMIO hole.
pub const low_bytes: u64 = 3 << 30;
pub const hole_bytes: u64 = 1 << 30;

pub fn gpaOf(offset: u64) u64 {
    return if (offset < low_bytes) offset else offset + hole_bytes;
}

/// The RAM offset of a guest physical address; null in the hole or past the end.
pub fn offsetOf(gpa: u64, ram_bytes: u64) ?u64 {
    const offset = if (gpa < low_bytes)
        gpa
    else if (gpa >= low_bytes + hole_bytes)
        gpa - hole_bytes
    else
        return null;
    return if (offset < ram_bytes) offset else null;
}

const keep_size = 1;
const punch_hole = 2;
/// madvise(2), Linux 5.14.
const populate_read = 22;

pub const Slot = struct { gpa: u64, bytes: []align(page_size) u8 };

pub const Memory = struct {
    memfd: i32,
    uffd: i32,
    ram_bytes: u64,
    /// Laid out by guest physical address, hole included.
    guest: []align(page_size) u8,
    alias: []align(page_size) u8,
    /// Where the kernel cannot map a page write-protected as it lies in the page cache.
    by_copy: ?ByCopy,
    /// What maps the guest mapping once more: the VM's descriptor, once nobody uses it any longer.
    vm: ?i32 = null,

    pub fn init(ram_bytes: u64) !Memory {
        assert(ram_bytes > 0 and ram_bytes % page_size == 0);
        const memfd = try linux.fdOf(kernel.call(.memfd_create, .{ "guest-ram", os.MFD.CLOEXEC }));
        errdefer linux.close(memfd);
        _ = try linux.check(kernel.call(.ftruncate, .{ memfd, ram_bytes }));
        const alias = try mapShared(null, ram_bytes, memfd, 0);
        errdefer unmap(alias);
        const guest = try reserve(gpaOf(ram_bytes - 1) + 1);
        errdefer unmap(guest);
        const low = @min(ram_bytes, low_bytes);
        _ = try mapShared(guest.ptr, low, memfd, 0);
        if (ram_bytes > low) {
            const high = guest.ptr + low_bytes + hole_bytes;
            _ = try mapShared(@alignCast(high), ram_bytes - low, memfd, low);
        }
        advise(guest);
        advise(alias);
        const opened = try uffd.open();
        errdefer linux.close(opened.fd);
        const by_copy: ?ByCopy = if (opened.continues_protected) null else try .init();
        errdefer if (by_copy) |way| way.deinit();
        var self: Memory = .{
            .memfd = memfd,
            .uffd = opened.fd,
            .ram_bytes = ram_bytes,
            .guest = guest,
            .alias = alias,
            .by_copy = by_copy,
        };
        for (self.slots().slice()) |slot| try uffd.register(self.uffd, slot.bytes);
        return self;
    }

    /// Only when no thread can touch the guest mapping any more: a waiter would read zeros. The
    /// kernel frees some GB a second, and KVM goes through its tables of every page; a guest that
    /// reboots waits for none of it.
    pub fn deinit(self: *Memory) void {
        const thread = kernel.spawn(1 << 20, release, .{self.*}) catch return release(self.*);
        thread.detach();
    }

    fn release(self: Memory) void {
        // First, or each page would be taken from KVM by itself.
        if (self.vm) |fd| linux.close(fd);
        unmap(self.guest);
        unmap(self.alias);
        linux.close(self.uffd);
        linux.close(self.memfd);
        if (self.by_copy) |way| way.deinit();
    }

    pub const Slots = struct {
        items: [2]Slot,
        count: usize,

        pub fn slice(self: *const Slots) []const Slot {
            return self.items[0..self.count];
        }
    };

    /// The ranges of guest physical memory, for userfaultfd and for KVM.
    pub fn slots(self: *const Memory) Slots {
        const low: usize = @intCast(@min(self.ram_bytes, low_bytes));
        var result: Slots = .{ .items = undefined, .count = 1 };
        result.items[0] = .{ .gpa = 0, .bytes = self.guest[0..low] };
        if (self.ram_bytes > low) {
            const high: usize = @intCast(low_bytes + hole_bytes);
            result.items[1] = .{ .gpa = high, .bytes = @alignCast(self.guest[high..]) };
            result.count = 2;
        }
        return result;
    }

    pub fn guestPage(self: *const Memory, page: Page) *align(page_size) [page_size]u8 {
        const gpa = gpaOf(@as(u64, page) * page_size);
        return @alignCast(self.guest[@intCast(gpa)..][0..page_size]);
    }

    pub fn aliasPage(self: *const Memory, page: Page) *align(page_size) [page_size]u8 {
        const offset = @as(usize, page) * page_size;
        return @alignCast(self.alias[offset..][0..page_size]);
    }

    /// The page behind an address inside the guest mapping.
    pub fn pageAt(self: *const Memory, address: u64) Page {
        const gpa = address - @intFromPtr(self.guest.ptr);
        return @intCast(offsetOf(gpa, self.ram_bytes).? / page_size);
    }

    /// The only way a page becomes usable: maps what the alias holds with the state's protection
    /// and wakes whoever waits. Where CONTINUE does never COPY or ZEROPAGE: both fail once the
    /// alias has touched the page.
    pub fn map(self: *const Memory, page: Page, state: State) linux.Error!void {
        assert(state != .invalid);
        const target: []u8 = self.guestPage(page);
        const protected = state == .shared;
        if (protected) if (self.by_copy) |way| return way.map(self, page);
        uffd.continuePages(self.uffd, target, protected) catch |err| switch (err) {
            // Nothing in the page cache yet: a read through the alias puts a zero page there.
            error.BadAddress => {
                std.mem.doNotOptimizeAway(@as(*volatile u8, &self.aliasPage(page)[0]).*);
                try self.mapPresent(target, protected);
            },
            // Something is mapped, with a protection nobody knows.
            error.Exists => try self.reprotect(target, protected),
            else => return err,
        };
    }

    /// Pages one behind the other that nobody has ever used, to be written. They come into the page
    /// cache by one call and are mapped by another; what is in the way of either keeps no page from
    /// being mapped by itself.
    pub fn mapRun(self: *const Memory, first: Page, count: u32) linux.Error!void {
        // The guest mapping has its hole there, the alias none.
        const low: Page = low_bytes / page_size;
        if (first < low and first + count > low) {
            try self.mapRun(first, low - first);
            return self.mapRun(low, first + count - low);
        }
        const bytes = @as(usize, count) * page_size;
        const populate = .{ self.aliasPage(first), bytes, populate_read };
        _ = kernel.call(.madvise, populate);
        const target = @as([*]u8, self.guestPage(first))[0..bytes];
        uffd.continuePages(self.uffd, target, false) catch {
            for (first..first + count) |page| try self.map(@intCast(page), .modified);
        };
    }

    fn mapPresent(self: *const Memory, target: []u8, protected: bool) linux.Error!void {
        uffd.continuePages(self.uffd, target, protected) catch |err| switch (err) {
            error.Exists => try self.reprotect(target, protected),
            else => return err,
        };
    }

    /// Of a page that is mapped already.
    pub fn reprotect(self: *const Memory, target: []u8, protected: bool) linux.Error!void {
        try uffd.writeProtect(self.uffd, target, protected);
        try uffd.wake(self.uffd, target);
    }

    /// Pages of this host's memory that the guest takes (tmpfs counts them in blocks of 512 bytes).
    pub fn takenPages(self: *const Memory) u64 {
        var info: os.Statx = std.mem.zeroes(os.Statx);
        const itself = os.AT.EMPTY_PATH;
        // Of an open file this does not fail; if it did, nothing would be given up.
        _ = kernel.call(.statx, .{ self.memfd, "", itself, os.STATX.BASIC_STATS, &info });
        return info.blocks / (page_size / 512);
    }

    /// Gives the memory of a page back that is not mapped: its bytes are gone.
    pub fn forget(self: *const Memory, page: Page) linux.Error!void {
        const offset = @as(u64, page) * page_size;
        const hole = .{ self.memfd, keep_size | punch_hole, offset, page_size };
        _ = try linux.check(kernel.call(.fallocate, hole));
    }

    /// Write -> read. No store lands after it returns.
    pub fn protect(self: *const Memory, page: Page) linux.Error!void {
        try uffd.writeProtect(self.uffd, self.guestPage(page), true);
    }

    /// Unmaps; the bytes stay behind the alias. No access lands after it returns.
    pub fn drop(self: *const Memory, page: Page) linux.Error!void {
        const target = self.guestPage(page);
        _ = try linux.check(kernel.call(.madvise, .{ target, page_size, os.MADV.DONTNEED }));
    }
};

fn mapShared(
    at: ?[*]align(page_size) u8,
    bytes: u64,
    fd: i32,
    offset: u64,
) linux.Error![]align(page_size) u8 {
    const access: os.PROT = .{ .READ = true, .WRITE = true };
    const kind: os.MAP = .{ .TYPE = .SHARED, .FIXED = at != null, .NORESERVE = true };
    const address = try linux.check(kernel.call(.mmap, .{ at, bytes, access, kind, fd, offset }));
    return @as([*]align(page_size) u8, @ptrFromInt(address))[0..@intCast(bytes)];
}

fn reserve(bytes: u64) linux.Error![]align(page_size) u8 {
    const kind: os.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true };
    const address = try linux.check(kernel.call(.mmap, .{ null, bytes, os.PROT{}, kind, -1, 0 }));
    return @as([*]align(page_size) u8, @ptrFromInt(address))[0..@intCast(bytes)];
}

fn unmap(memory: []align(page_size) u8) void {
    _ = kernel.call(.munmap, .{ memory.ptr, memory.len });
}

/// 4 KiB pages only, not copied into a child, not in core dumps.
fn advise(memory: []align(page_size) u8) void {
    for ([_]u32{ os.MADV.NOHUGEPAGE, os.MADV.DONTFORK, os.MADV.DONTDUMP }) |advice| {
        _ = kernel.call(.madvise, .{ memory.ptr, memory.len, advice });
    }
}
