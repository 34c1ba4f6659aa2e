//! Requests that wait at a home, as lists through one pool: behind a busy page, or for a place in
//! the table of busy pages; all of them together a bounded number. The lists are unordered, because
//! a Hurry may make a waiting request older; behind a page there is at most one per node.

const std = @import("std");
const m = @import("../wire/message.zig");
const assert = std.debug.assert;

/// The end of a list.
pub const none: u32 = std.math.maxInt(u32);

/// A request that waits or is being served.
pub const Request = struct {
    page: m.Page,
    tx: m.Tx,
    requester: m.NodeId,
    access: m.Access,
    version: u64,
    age: u64,
    next: u32 = none,
};

pub const Queue = struct {
    pool: []Request,
    free: u32,

    pub fn init(allocator: std.mem.Allocator, capacity: u32) !Queue {
        const pool = try allocator.alloc(Request, capacity);
        for (pool, 0..) |*r, i| r.next = if (i + 1 < capacity) @intCast(i + 1) else none;
        return .{ .pool = pool, .free = 0 };
    }

    pub fn deinit(self: *Queue, allocator: std.mem.Allocator) void {
        allocator.free(self.pool);
    }

    pub fn full(self: *const Queue) bool {
        return self.free == none;
    }

    pub fn push(self: *Queue, head: *u32, request: Request) void {
        // Each node has at most R requests and P Puts outstanding: the pool cannot run dry.
        assert(self.free != none);
        const index = self.free;
        self.free = self.pool[index].next;
        self.pool[index] = request;
        self.pool[index].next = head.*;
        head.* = index;
    }

    /// Takes the oldest request out.
    pub fn popOldest(self: *Queue, head: *u32) ?Request {
        if (head.* == none) return null;
        var best_link = head;
        var link = &self.pool[head.*].next;
        while (link.* != none) : (link = &self.pool[link.*].next) {
            if (self.pool[link.*].age < self.pool[best_link.*].age) best_link = link;
        }
        return self.take(best_link);
    }

    /// Takes out whatever came last; only for a mutant.
    pub fn popNewest(self: *Queue, head: *u32) ?Request {
        return if (head.* == none) null else self.take(head);
    }

    fn take(self: *Queue, link: *u32) Request {
        const index = link.*;
        const request = self.pool[index];
        link.* = request.next;
        self.pool[index].next = self.free;
        self.free = index;
        return request;
    }

    pub fn oldestAge(self: *const Queue, head: u32) u64 {
        var age: u64 = std.math.maxInt(u64);
        var index = head;
        while (index != none) : (index = self.pool[index].next) {
            age = @min(age, self.pool[index].age);
        }
        return age;
    }

    pub fn find(self: *Queue, head: u32, tx: m.Tx) ?*Request {
        var index = head;
        while (index != none) : (index = self.pool[index].next) {
            if (self.pool[index].tx == tx) return &self.pool[index];
        }
        return null;
    }
};

test "the oldest leaves first, also when it became so by a hurry" {
    const a = std.testing.allocator;
    var queue: Queue = try .init(a, 4);
    defer queue.deinit(a);
    var head = none;
    for ([_]u64{ 30, 10, 20, 40 }, 0..) |age, i| queue.push(&head, .{
        .page = 0,
        .tx = i,
        .requester = @intCast(i),
        .access = .read,
        .version = 0,
        .age = age,
    });
    try std.testing.expectEqual(10, queue.oldestAge(head));
    queue.find(head, 3).?.age = 5;
    for ([_]m.Tx{ 3, 1, 2, 0 }) |tx| {
        try std.testing.expectEqual(tx, queue.popOldest(&head).?.tx);
    }
    try std.testing.expectEqual(null, queue.popOldest(&head));
    try std.testing.expectEqual(null, queue.find(head, 0));
}
