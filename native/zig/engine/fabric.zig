//! Messages from vCPU and device threads to other nodes, on their way to the engine thread: a
//! bounded queue and an eventfd. The order of one sending thread is kept. A full queue makes the
//! sender wait for the engine, which never waits for a vCPU: a guest that sends interrupts faster
//! than a peer acknowledges them is slowed down, and takes no place of what coherence must say.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const kernel = @import("../sys/kernel.zig");
const linux = @import("../sys/linux.zig");
const m = @import("../wire/message.zig");
const os = linux.os;
const assert = std.debug.assert;

const capacity = 1024;
/// Of these, for who must not wait: the control plane's thread, which has all else to do.
const reserved = 128;

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
    /// Senders that wait so.
    waiting: u32 = 0,
    /// The VM ends: nobody waits for room any more.
    ended: bool = false,
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
        self.add(to, message, capacity - reserved);
    }

    /// The control plane's thread: it waits only when it has sent a lot while others wait.
    pub fn sendPromptly(self: *Fabric, to: m.NodeId, message: m.Message) void {
        self.add(to, message, capacity);
    }

    fn add(self: *Fabric, to: m.NodeId, message: m.Message, most: usize) void {
        assert(!message.isCoherence());
        // Before the lock: the engine must not wait for a thread that has lost its CPU.
        var encoded: [codec.message_bytes_max]u8 = undefined;
        const bytes = codec.encode(&message, &encoded);
        self.lock.lock();
        while (self.length >= most) {
            if (self.ended) return self.lock.unlock();
            const seen = self.taken.load(.acquire);
            self.waiting += 1;
            self.lock.unlock();
            self.wake();
            linux.futexWait(&self.taken, seen, linux.nowNs() + 10_000_000);
            self.lock.lock();
            self.waiting -= 1;
        }
        const item = &self.items[(self.head + self.length) % capacity];
        item.to = to;
        item.class = message.classOf();
        item.key = message.orderKey();
        item.length = @intCast(bytes.len);
        @memcpy(item.bytes[0..bytes.len], bytes);
        self.length += 1;
        self.lock.unlock();
        self.wake();
    }

    pub fn wake(self: *Fabric) void {
        if (self.awake.load(.seq_cst) != 0) return;
        const one: u64 = 1;
        _ = kernel.call(.write, .{ self.event, &one, 8 });
    }

    /// The VM ends: what finds no room is dropped, as no guest is left to miss it.
    pub fn end(self: *Fabric) void {
        self.lock.lock();
        self.ended = true;
        self.lock.unlock();
        _ = self.taken.fetchAdd(1, .release);
        linux.futexWake(&self.taken);
    }

    /// Engine thread: hands what is queued to `use(context, item)`, in order, up to the first for
    /// a node that `takes(context, to)` nothing now. At most a queue full, so that the engine gets
    /// to its other work.
    pub fn drain(
        self: *Fabric,
        context: anytype,
        comptime takes: fn (@TypeOf(context), m.NodeId) bool,
        comptime use: fn (@TypeOf(context), *const Item) void,
    ) bool {
        for (0..capacity) |count| {
            self.lock.lock();
            const item: ?*const Item = if (self.length > 0) &self.items[self.head] else null;
            self.lock.unlock();
            // The slot stays ours until head moves.
            if (item == null or !takes(context, item.?.to)) return count > 0;
            use(context, item.?);
            self.lock.lock();
            self.head = (self.head + 1) % capacity;
            self.length -= 1;
            const waited = self.waiting > 0;
            self.lock.unlock();
            _ = self.taken.fetchAdd(1, .release);
            if (waited) linux.futexWake(&self.taken);
        }
        return true;
    }
};

test "messages keep the order of their sender" {
    var fabric = try Fabric.init();
    defer fabric.deinit();
    for (0..5) |i| fabric.send(1, .{ .eoi = .{ .vector = @intCast(i) } });
    const Check = struct {
        next: u8 = 0,
        room: u8 = 2,
        fn takes(self: *@This(), _: m.NodeId) bool {
            return self.next < self.room;
        }
        fn use(self: *@This(), item: *const Item) void {
            const message = codec.decode(item.slice()) catch unreachable;
            std.testing.expectEqual(self.next, message.eoi.vector) catch unreachable;
            self.next += 1;
        }
    };
    var check: Check = .{};
    try std.testing.expect(fabric.drain(&check, Check.takes, Check.use));
    try std.testing.expectEqual(2, check.next);
    try std.testing.expect(!fabric.drain(&check, Check.takes, Check.use));
    check.room = 9;
    try std.testing.expect(fabric.drain(&check, Check.takes, Check.use));
    try std.testing.expectEqual(5, check.next);
}

test "a sender waits for room, and for none when the guest is over" {
    var fabric = try Fabric.init();
    defer fabric.deinit();
    const most = capacity - reserved;
    const Sender = struct {
        fn run(to: *Fabric) void {
            for (0..most + 3) |i| to.send(1, .{ .eoi = .{ .vector = @truncate(i) } });
        }
        fn takes(left: *u32, _: m.NodeId) bool {
            return left.* > 0;
        }
        fn use(left: *u32, _: *const Item) void {
            left.* -= 1;
        }
        fn waits(of: *Fabric) bool {
            of.lock.lock();
            defer of.lock.unlock();
            return of.waiting > 0;
        }
    };
    const thread = try std.Thread.spawn(.{}, Sender.run, .{&fabric});
    while (!Sender.waits(&fabric)) std.Thread.yield() catch {};
    try std.testing.expectEqual(most, fabric.length);
    // Who must not wait finds room all the same.
    for (0..reserved) |_| fabric.sendPromptly(1, .{ .eoi = .{ .vector = 0 } });
    try std.testing.expectEqual(capacity, fabric.length);
    // Room for two of the three.
    var left: u32 = reserved + 2;
    while (left > 0) _ = fabric.drain(&left, Sender.takes, Sender.use);
    while (!Sender.waits(&fabric) or fabric.length < most) std.Thread.yield() catch {};
    fabric.end();
    thread.join();
    try std.testing.expectEqual(most, fabric.length);
}
