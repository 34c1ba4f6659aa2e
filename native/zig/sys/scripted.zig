//! A kernel for unit tests: it keeps descriptors, mappings, datagrams and page faults as the real
//! one does where all goes well, and a test says where it does not: a rule for the next calls of a
//! kind, or the failure of the k-th call whatever it is. Guest memory is real memory.
//!
//! Serves the thread that installs it. Every call is kept, so a test sees what was asked, in order.

const std = @import("std");
const kernel = @import("kernel.zig");
const kvm = @import("kvm.zig");
const udp = @import("udp.zig");
const uffd = @import("uffd.zig");
const Call = kernel.Call;
const Net = @import("scripted_net.zig").Net;
const failure = kernel.failure;
const os = std.os.linux;
const assert = std.debug.assert;

/// A kind of call: by its number, or by the request of an ioctl.
pub const What = union(enum) { call: kernel.Number, request: u32 };

pub const Answer = union(enum) {
    fails: os.E,
    returns: usize,
    /// Does what a test says, with Scripted.context at hand.
    does: *const fn (self: *Scripted, made: Call) usize,
};

const Thing = enum { device, vm, vcpu, userfault, memory, socket, other };
const Descriptor = struct { fd: i32, thing: Thing };
const Rule = struct { what: What, answer: Answer, left: usize };

/// A loop of the code under test that asks for ever ends here.
const calls_max = 200_000;
const first_fd = 1000;
const run_bytes = 3 * 4096;

pub const Scripted = struct {
    arena: std.heap.ArenaAllocator,
    calls: std.ArrayList(Call) = .empty,
    rules: std.ArrayList(Rule) = .empty,
    /// What is open, and what is mapped.
    descriptors: std.ArrayList(Descriptor) = .empty,
    mappings: std.ArrayList([]align(4096) u8) = .empty,
    next_fd: i32 = first_fd,
    /// What waits to be read from the userfaultfd, oldest first.
    faults: std.ArrayList(uffd.Message) = .empty,
    net: Net,
    /// Shared page of the youngest vCPU.
    run: ?*kvm.Run = null,
    /// Calls that could have failed so far, and which of them does.
    points: usize = 0,
    fails_at: ?usize = null,
    context: ?*anyopaque = null,

    pub fn init(allocator: std.mem.Allocator) Scripted {
        return .{ .arena = .init(allocator), .net = .init(allocator) };
    }

    /// From here on this thread talks to the script; `self` must not move.
    pub fn install(self: *Scripted) void {
        assert(kernel.script == null);
        kernel.script = .{ .context = self, .answer = answer };
    }

    /// Back to the real kernel.
    pub fn remove(self: *Scripted) void {
        kernel.script = null;
        for (self.mappings.items) |mapping| _ = os.munmap(mapping.ptr, mapping.len);
        for (self.descriptors.items) |d| if (d.thing == .memory) {
            _ = os.close(d.fd);
        };
        self.net.deinit();
        self.arena.deinit();
    }

    /// The next `times` calls of this kind get this answer; rules of one kind follow each other.
    pub fn next(self: *Scripted, what: What, reply: Answer, times: usize) void {
        self.add(&self.rules, Rule{ .what = what, .answer = reply, .left = times });
    }

    pub fn add(self: *Scripted, list: anytype, item: anytype) void {
        list.append(self.arena.allocator(), item) catch @panic("out of memory");
    }

    pub fn count(self: *const Scripted, what: What) usize {
        var total: usize = 0;
        for (self.calls.items) |made| total += @intFromBool(matches(what, made));
        return total;
    }

    /// Exactly these requests were made of descriptors, in this order; forgets them.
    pub fn expectRequests(self: *Scripted, expected: []const u32) !void {
        var requests: std.ArrayList(u32) = .empty;
        for (self.calls.items) |made| if (made.number == .ioctl) {
            self.add(&requests, @as(u32, @intCast(made.arguments[1])));
        };
        try std.testing.expectEqualSlices(u32, expected, requests.items);
        self.calls = .empty;
    }

    /// Everything that was opened or mapped is closed again.
    pub fn expectNothingLeft(self: *const Scripted) !void {
        try std.testing.expectEqualSlices(Descriptor, &.{}, self.descriptors.items);
        try std.testing.expectEqual(0, self.mappings.items.len);
    }

    fn answer(context: *anyopaque, made: Call) usize {
        const self: *Scripted = @ptrCast(@alignCast(context));
        self.add(&self.calls, made);
        if (self.calls.items.len > calls_max) @panic("a loop of system calls does not end");
        if (canFail(made.number)) {
            self.points += 1;
            if (self.points == self.fails_at) return failure(.NOMEM);
        }
        for (self.rules.items) |*rule| {
            if (rule.left == 0 or !matches(rule.what, made)) continue;
            rule.left -= 1;
            return switch (rule.answer) {
                .fails => |code| failure(code),
                .returns => |value| value,
                .does => |act| act(self, made),
            };
        }
        return self.usual(made);
    }

    /// What a kernel with everything answers.
    pub fn usual(self: *Scripted, made: Call) usize {
        const a = &made.arguments;
        switch (made.number) {
            .open => return self.open(.device),
            .userfaultfd => return self.open(.userfault),
            .socket => return self.open(.socket),
            .epoll_create1, .eventfd2 => return self.open(.other),
            .pipe2 => for (made.at([2]i32, 0)) |*fd| {
                fd.* = @intCast(self.open(.other));
            },
            .memfd_create => {
                const fd = kernel.real(made);
                self.add(&self.descriptors, Descriptor{ .fd = @intCast(fd), .thing = .memory });
                return fd;
            },
            .ftruncate, .fallocate, .madvise => return kernel.real(made),
            .close => self.close(made.fd()),
            .mmap => return self.map(made),
            .munmap => return self.unmap(made),
            .read => return self.read(made),
            .write => return a[2],
            .sendto => return self.net.send(made),
            .recvfrom => return self.net.receive(made),
            .recvmsg => return self.net.receiveError(made),
            .getsockopt => made.at(u32, 3).* = 1500,
            .getsockname => made.at(udp.Address, 1).* = .{ .in = .{ .port = 1, .addr = 0 } },
            .ioctl => return self.request(made),
            .timer_create => made.at(i32, 2).* = 0,
            .gettid => return 1,
            .clone3 => return failure(.AGAIN),
            // Nothing to wait for, and nothing to say.
            else => {},
        }
        return 0;
    }

    fn open(self: *Scripted, thing: Thing) usize {
        self.add(&self.descriptors, Descriptor{ .fd = self.next_fd, .thing = thing });
        self.next_fd += 1;
        return @intCast(self.next_fd - 1);
    }

    fn indexOf(self: *Scripted, fd: i32) usize {
        for (self.descriptors.items, 0..) |d, i| if (d.fd == fd) return i;
        std.debug.panic("descriptor {d} is not open", .{fd});
    }

    fn thingOf(self: *Scripted, fd: i32) Thing {
        return self.descriptors.items[self.indexOf(fd)].thing;
    }

    fn close(self: *Scripted, fd: i32) void {
        const closed = self.descriptors.swapRemove(self.indexOf(fd));
        if (closed.thing == .memory) _ = os.close(fd);
    }

    fn map(self: *Scripted, made: Call) usize {
        var actual = made;
        const flags: os.MAP = @bitCast(@as(u32, @truncate(made.arguments[3])));
        const fd: i32 = @bitCast(@as(u32, @truncate(made.arguments[4])));
        const is_vcpu = !flags.ANONYMOUS and self.thingOf(fd) == .vcpu;
        if (is_vcpu) {
            const kind: os.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true };
            actual.arguments[3] = @as(u32, @bitCast(kind));
        }
        const address = kernel.real(actual);
        assert(os.errno(address) == .SUCCESS);
        if (is_vcpu) self.run = @ptrFromInt(address);
        // A fixed mapping lies inside one that is known.
        if (flags.FIXED) return address;
        const start: [*]align(4096) u8 = @ptrFromInt(address);
        self.add(&self.mappings, start[0..made.arguments[1]]);
        return address;
    }

    fn unmap(self: *Scripted, made: Call) usize {
        for (self.mappings.items, 0..) |mapping, i| {
            if (@intFromPtr(mapping.ptr) != made.arguments[0]) continue;
            assert(mapping.len == made.arguments[1]);
            _ = self.mappings.swapRemove(i);
            return kernel.real(made);
        }
        @panic("what is unmapped was never mapped");
    }

    fn read(self: *Scripted, made: Call) usize {
        const waiting = self.thingOf(made.fd()) == .userfault and self.faults.items.len > 0;
        if (!waiting) return failure(.AGAIN);
        const into: [*]uffd.Message = @ptrFromInt(made.arguments[1]);
        const most = made.arguments[2] / @sizeOf(uffd.Message);
        const given = @min(most, self.faults.items.len);
        for (0..given) |i| into[i] = self.faults.orderedRemove(0);
        return given * @sizeOf(uffd.Message);
    }

    fn request(self: *Scripted, made: Call) usize {
        _ = self.indexOf(made.fd());
        switch (@as(u32, @intCast(made.arguments[1]))) {
            kvm.get_api_version => return 12,
            kvm.check_extension => return 1,
            kvm.get_vcpu_mmap_size => return run_bytes,
            kvm.create_vm => return self.open(.vm),
            kvm.create_vcpu => return self.open(.vcpu),
            kvm.get_supported_cpuid => made.at(kvm.Cpuid, 2).count = 0,
            kvm.get_tsc_khz => return 2_000_000,
            kvm.get_regs => made.at(kvm.Regs, 2).* = .{},
            kvm.get_sregs => made.at(kvm.Sregs, 2).* = std.mem.zeroes(kvm.Sregs),
            // Without a rule a guest ends by a triple fault.
            kvm.run_vcpu => self.run.?.exit_reason = kvm.exit_shutdown,
            uffd.ioctl_api => made.at(uffd.Api, 2).features |= uffd.feature_wp_unpopulated,
            uffd.ioctl_new => return self.open(.userfault),
            else => {},
        }
        return 0;
    }
};

fn matches(what: What, made: Call) bool {
    return switch (what) {
        .call => |number| made.number == number,
        .request => |wanted| made.number == .ioctl and made.arguments[1] == wanted,
    };
}

fn canFail(number: kernel.Number) bool {
    return switch (number) {
        .close, .munmap, .gettid, .getpid, .clone3 => false,
        else => true,
    };
}
