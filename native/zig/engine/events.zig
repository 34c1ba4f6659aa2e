//! Events to TypeScript: fixed records in a bounded ring and one byte in a pipe, the doorbell. Any
//! thread may push; nobody ever waits for TypeScript. What a guest or a peer may repeat as often as
//! it likes gives way to everything else. Console output is not here (devices/output.zig) but rings
//! the same doorbell.

const std = @import("std");
const abi = @import("../abi.zig");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const os = linux.os;
const assert = std.debug.assert;

const capacity = 16384;
/// Records only for those that a guest or a peer cannot bring about as often as it likes.
const reserved_own = 1024;

pub const Events = struct {
    lock: linux.Lock = .{},
    ring: []abi.Event,
    head: usize = 0,
    length: usize = 0,
    pipe: [2]i32,
    lost: u64 = 0,

    pub fn init(allocator: std.mem.Allocator) !Events {
        var pipe: [2]i32 = undefined;
        const flags: os.O = .{ .CLOEXEC = true, .NONBLOCK = true };
        const ring = try allocator.alloc(abi.Event, capacity);
        errdefer allocator.free(ring);
        _ = try linux.check(kernel.call(.pipe2, .{ &pipe, flags }));
        return .{ .ring = ring, .pipe = pipe };
    }

    pub fn deinit(self: *Events, allocator: std.mem.Allocator) void {
        linux.close(self.pipe[0]);
        linux.close(self.pipe[1]);
        allocator.free(self.ring);
    }

    /// One event; data longer than a record continues in records of kind `text`. False when it was
    /// lost, which only what a guest or a peer repeats can be when TypeScript does not keep up.
    /// Whoever repeats a power-off has had the first one delivered.
    pub fn push(self: *Events, head: abi.Event, data: []const u8) bool {
        const most = abi.Event.data_max;
        const records = @max(1, (data.len + most - 1) / most);
        self.lock.lock();
        const first = self.length == 0;
        const kept = keptFrom(@enumFromInt(head.kind));
        if (self.length + records + kept > capacity) {
            assert(kept > 0);
            self.lost += data.len;
            self.lock.unlock();
            return false;
        }
        for (0..records) |i| {
            const part = data[@min(i * most, data.len)..@min((i + 1) * most, data.len)];
            var event = head;
            if (i > 0) event.kind = @intFromEnum(abi.EventKind.text);
            event.length = @intCast(part.len);
            event.more = @intFromBool(i + 1 < records);
            @memcpy(event.data[0..part.len], part);
            self.ring[(self.head + self.length) % capacity] = event;
            self.length += 1;
        }
        self.lock.unlock();
        if (first) self.wake();
        return true;
    }

    /// Lets TypeScript look. A full pipe already says so.
    pub fn wake(self: *Events) void {
        _ = kernel.call(.write, .{ self.pipe[1], "!", 1 });
    }

    /// Records that an event of this kind leaves free for others.
    fn keptFrom(kind: abi.EventKind) usize {
        return switch (kind) {
            .io, .poweroff, .reset, .debug_exit, .disk, .answer => reserved_own,
            // Each at most once for a load, a vCPU, a peer or the node.
            .loaded, .crash, .stopped, .engine_error, .text => 0,
            .peer_refused, .peer_silent, .narrowed => 0,
            // Once until the debugger lets the vCPU go on.
            .debug_stop => 0,
        };
    }

    pub fn simple(self: *Events, kind: abi.EventKind, node: u8, a: u64) void {
        _ = self.push(.{ .kind = @intFromEnum(kind), .length = 0, .node = node, .a = a }, &.{});
    }

    pub fn text(self: *Events, kind: abi.EventKind, a: u64, data: []const u8) void {
        _ = self.push(.{ .kind = @intFromEnum(kind), .length = 0, .node = 0, .a = a }, data);
    }

    /// Takes up to out.len records, oldest first.
    pub fn take(self: *Events, out: []align(1) abi.Event) usize {
        self.lock.lock();
        defer self.lock.unlock();
        const count = @min(out.len, self.length);
        for (0..count) |i| out[i] = self.ring[(self.head + i) % capacity];
        self.head = (self.head + count) % capacity;
        self.length -= count;
        return count;
    }
};

test "long data comes in parts, and the doorbell rings once for a burst" {
    var events = try Events.init(std.testing.allocator);
    defer events.deinit(std.testing.allocator);
    events.text(.crash, 3, "0123456789" ** 7);
    events.simple(.stopped, 0, 0);
    var out: [8]abi.Event = undefined;
    try std.testing.expectEqual(4, events.take(&out));
    try std.testing.expectEqual(1, out[0].more);
    try std.testing.expectEqual(0, out[2].more);
    try std.testing.expectEqual(6, out[2].length);
    var bell: [4]u8 = undefined;
    try std.testing.expectEqual(1, os.read(events.pipe[0], &bell, 4));
}

test "what repeats gives way, other events never" {
    var events = try Events.init(std.testing.allocator);
    defer events.deinit(std.testing.allocator);
    // A guest that resets without end takes its part, and no more.
    for (0..capacity) |_| events.simple(.reset, 0, 0);
    try std.testing.expectEqual(capacity - reserved_own, events.length);
    const access: abi.Event = .{ .kind = @intFromEnum(abi.EventKind.io), .length = 0, .node = 1 };
    try std.testing.expect(!events.push(access, "x" ** 4096));
    for (0..reserved_own) |_| events.simple(.stopped, 0, 0);
    try std.testing.expectEqual(capacity, events.length);
}
