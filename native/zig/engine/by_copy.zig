//! How a page becomes readable and no more on kernels whose UFFDIO_CONTINUE maps every page
//! writable (before Linux 6.4): its bytes leave the page cache and come back by UFFDIO_COPY, which
//! can map a page of shared memory write-protected since 5.19. Only the thread of the engine
//! touches the alias, so nobody sees the page cache without the page.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const uffd = @import("../sys/uffd.zig");
const Memory = @import("memory.zig").Memory;
const Page = @import("../wire/message.zig").Page;
const page_size = @import("../limits.zig").page_size;
const os = linux.os;

/// Of an entry of /proc/self/pagemap: a page is mapped (admin-guide/mm/pagemap.rst).
const present: u64 = 1 << 63;

pub const ByCopy = struct {
    /// /proc/self/pagemap, in which a fault that was told twice is found out.
    pagemap: i32,

    pub fn init() linux.Error!ByCopy {
        const flags: os.O = .{ .CLOEXEC = true };
        const fd = linux.fdOf(kernel.call(.open, .{ "/proc/self/pagemap", flags, 0 }));
        return .{ .pagemap = fd catch return error.Unsupported };
    }

    pub fn deinit(self: ByCopy) void {
        linux.close(self.pagemap);
    }

    /// Maps what the alias holds to be read, and wakes whoever waits. No store that the guest
    /// mapping let through before is lost.
    pub fn map(self: ByCopy, memory: *const Memory, page: Page) linux.Error!void {
        const target: []u8 = memory.guestPage(page);
        // A page that stayed mapped would be taken from its readers, who then fault on it again,
        // are told again, and so on.
        if (try self.isMapped(target)) return memory.reprotect(target, true);
        // An entry that the kernel is moving is not present, and may let stores through afterwards.
        try memory.drop(page);
        const bytes = memory.aliasPage(page).*;
        try memory.forget(page);
        try uffd.copyProtected(memory.uffd, target, &bytes);
    }

    fn isMapped(self: ByCopy, target: []const u8) linux.Error!bool {
        var entry: u64 = undefined;
        const size = @sizeOf(u64);
        const offset = @intFromPtr(target.ptr) / page_size * size;
        const got = try linux.check(kernel.call(.pread64, .{ self.pagemap, &entry, size, offset }));
        if (got != size) return error.Unexpected;
        return entry & present != 0;
    }
};
