//! Messages from vCPU and device threads to other nodes, on their way to the engine thread: a
//! bounded queue and an eventfd. The order of one sending thread is kept. A full queue makes the
//! sender wait for the engine, which never waits for a vCPU.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const m = @import("../wire/message.zig");
const os = linux.os;
const assert = std.debug.assert;

const capacity = 1024;

pub const Item = struct {
    to: m.NodeId,
    class: m.Class,
    key: u64,
    length: u32,
    bytes: [codec.message_bytes_max]u8,

    pub fn slice(self: *const Item) []const u8 {
        return self.bytes[0..self.length];
    }
};

pub const Fabric = struct {
    lock: linux.Lock = .{},
    items: []Item,
    head: usize = 0,
    length: usize = 0,
    /// Counts what the engine took; a sender that finds the queue full waits for a change.
    taken: std.atomic.Value(u32) = .init(0),
    /// Wakes the engine.
    event: i32,
    /// Set while the engine polls by itself, so that nobody pays for a wake.
    awake: std.atomic.Value(u32) = .init(0),

    pub fn init() !Fabric {
        const flags = os.EFD.CLOEXEC | os.EFD.NONBLOCK;
        const event = try linux.fdOf(kernel.call(.eventfd2, .{ 0, flags }));
        errdefer linux.close(event);
        return .{ .items = try std.heap.page_allocator.alloc(Item, capacity), .event = event };
    }

    pub fn deinit(self: *Fabric) void {
        std.heap.page_allocator.free(self.items);
        linux.close(self.event);
    }

    /// Any thread but the engine's.
    pub fn send(self: *Fabric, to: m.NodeId, message: m.Message) void {
        assert(!message.isCoherence());
        self.lock.lock();
        while (self.length == capacity) {
            const seen = self.taken.load(.acquire);
            self.lock.unlock();
            self.wake();
            linux.futexWait(&self.taken, seen, linux.nowNs() + 10_000_000);
            self.lock.lock();
        }
        const item = &self.items[(self.head + self.length) % capacity];
        item.to = to;
        item.class = message.classOf();
        item.key = message.orderKey();
        item.length = @intCast(codec.encode(&message, &item.bytes).len);
        self.length += 1;
        self.lock.unlock();
        self.wake();
    }

    pub fn wake(self: *Fabric) void {
        if (self.awake.load(.seq_cst) != 0) return;
        const one: u64 = 1;
        _ = kernel.call(.write, .{ self.event, &one, 8 });
    }

    /// Engine thread: hands every queued item to `use(context, item)`.
    pub fn drain(self: *Fabric, context: anytype, comptime use: anytype) bool {
        var any = false;
        while (true) {
            self.lock.lock();
            if (self.length == 0) {
                self.lock.unlock();
                break;
            }
            const item = &self.items[self.head];
            self.lock.unlock();
            // The slot stays ours until head moves.
            use(context, item);
            any = true;
            self.lock.lock();
            self.head = (self.head + 1) % capacity;
            self.length -= 1;
            self.lock.unlock();
            _ = self.taken.fetchAdd(1, .release);
            linux.futexWake(&self.taken);
        }
        return any;
    }
};

test "messages keep the order of their sender" {
    var fabric = try Fabric.init();
    defer fabric.deinit();
    for (0..5) |i| fabric.send(1, .{ .eoi = .{ .vector = @intCast(i) } });
    const Check = struct {
        next: u8 = 0,
        fn use(self: *@This(), item: *const Item) void {
            const message = codec.decode(item.slice()) catch unreachable;
            std.testing.expectEqual(self.next, message.eoi.vector) catch unreachable;
            self.next += 1;
        }
    };
    var check: Check = .{};
    try std.testing.expect(fabric.drain(&check, Check.use));
    try std.testing.expectEqual(5, check.next);
}
