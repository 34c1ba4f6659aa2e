//! Questions of the control plane that only the engine thread can answer, because it alone may look
//! at the directory and bring pages. Any thread leaves a question here and is never kept waiting;
//! the answer is an event. A page that never comes is answered as late after a while.

const std = @import("std");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const memory = @import("memory.zig");
const Page = @import("../wire/message.zig").Page;
const assert = std.debug.assert;

pub const What = enum(u32) {
    /// abi.PageState of the page.
    page = 0,
    /// Bytes of guest memory, as a vCPU of this node would read them.
    memory = 1,
    /// Stores bytes in guest memory, as a vCPU of this node would.
    write = 2,
};

/// How a question ended, for the event's `b`.
pub const Status = enum(u64) { answered = 0, late = 1, stopped = 2 };

pub const Question = struct {
    id: u64,
    what: What,
    page: Page,
    /// Bytes within the page.
    offset: u16 = 0,
    length: u16 = 0,
    until_ns: u64 = 0,
    /// Engine thread: its page came, but only to read; it is to be asked for again.
    again: bool = false,
    /// What is to be stored.
    data: [limits.write_bytes_max]u8 = undefined,

    /// Of `length` bytes from `gpa` on, all in one page of a guest with so much RAM.
    pub fn about(
        ram_bytes: u64,
        id: u64,
        what: What,
        gpa: u64,
        length: u32,
    ) error{OutOfRange}!Question {
        const at = memory.offsetOf(gpa, ram_bytes) orelse return error.OutOfRange;
        const within = at % memory.page_size;
        if (length > memory.page_size - within) return error.OutOfRange;
        return .{
            .id = id,
            .what = what,
            .page = @intCast(at / memory.page_size),
            .offset = @intCast(within),
            .length = @intCast(length),
            .until_ns = linux.nowNs() + limits.question_patience_ns,
        };
    }
};

pub const Desk = struct {
    lock: linux.Lock = .{},
    incoming: [limits.questions_max]Question = undefined,
    /// Written under the lock; the engine looks at it in every turn.
    count: std.atomic.Value(u32) = .init(0),
    /// Engine thread: reads and writes that wait for their page.
    waiting: [limits.questions_max]Question = undefined,
    waiting_count: usize = 0,

    /// Any thread.
    pub fn ask(self: *Desk, question: Question) error{Busy}!void {
        self.lock.lock();
        defer self.lock.unlock();
        const count = self.count.load(.monotonic);
        if (count == limits.questions_max) return error.Busy;
        self.incoming[count] = question;
        self.count.store(count + 1, .seq_cst);
    }

    /// Engine thread: what was asked since the last call.
    pub fn take(self: *Desk, out: *[limits.questions_max]Question) []Question {
        if (self.count.load(.seq_cst) == 0) return out[0..0];
        self.lock.lock();
        defer self.lock.unlock();
        const count = self.count.load(.monotonic);
        @memcpy(out[0..count], self.incoming[0..count]);
        self.count.store(0, .monotonic);
        return out[0..count];
    }

    /// Engine thread: the question waits for its page; false when too many do.
    pub fn wait(self: *Desk, question: Question) bool {
        assert(question.what != .page);
        if (self.waiting_count == limits.questions_max) return false;
        self.waiting[self.waiting_count] = question;
        self.waiting_count += 1;
        return true;
    }

    /// Engine thread: takes out one that may use this page now; writes want a page to write.
    pub fn ready(self: *Desk, page: Page, writable: bool) ?Question {
        for (self.waiting[0..self.waiting_count], 0..) |*question, i| {
            if (question.page != page) continue;
            if (writable or question.what == .memory) return self.takeOut(i);
            question.again = true;
        }
        return null;
    }

    /// Engine thread: takes out one that has waited for too long.
    pub fn late(self: *Desk, now_ns: u64) ?Question {
        for (self.waiting[0..self.waiting_count], 0..) |*question, i| {
            if (question.until_ns <= now_ns) return self.takeOut(i);
        }
        return null;
    }

    /// Engine thread: a page that is to be asked for again, to write.
    pub fn again(self: *Desk) ?Page {
        for (self.waiting[0..self.waiting_count]) |*question| {
            if (!question.again) continue;
            question.again = false;
            return question.page;
        }
        return null;
    }

    fn takeOut(self: *Desk, index: usize) Question {
        const question = self.waiting[index];
        self.waiting_count -= 1;
        self.waiting[index] = self.waiting[self.waiting_count];
        return question;
    }
};

test "questions are bounded, taken once, and reads leave by their page or their time" {
    var desk: Desk = .{};
    var out: [limits.questions_max]Question = undefined;
    for (0..limits.questions_max) |id| {
        const page: Page = @intCast(id % 2);
        try desk.ask(.{ .id = id, .what = .memory, .page = page, .until_ns = 100 + id });
    }
    try std.testing.expectError(error.Busy, desk.ask(.{ .id = 99, .what = .page, .page = 0 }));
    const taken = desk.take(&out);
    try std.testing.expectEqual(limits.questions_max, taken.len);
    try std.testing.expectEqual(0, desk.take(&out).len);
    for (taken) |question| try std.testing.expect(desk.wait(question));
    try std.testing.expect(!desk.wait(taken[0]));
    var of_page: usize = 0;
    while (desk.ready(1, false)) |question| : (of_page += 1) {
        try std.testing.expectEqual(1, question.page);
    }
    try std.testing.expectEqual(limits.questions_max / 2, of_page);
    try std.testing.expectEqual(null, desk.late(99));
    try std.testing.expectEqual(0, desk.late(100).?.id);
    try std.testing.expectEqual(null, desk.late(100));
}

test "a write leaves with a page to write; one that came to read is asked for again, once" {
    var desk: Desk = .{};
    for ([_]What{ .write, .memory, .write }, 0..) |what, id| {
        const page: Page = @intCast(7 + id / 2);
        try std.testing.expect(desk.wait(.{ .id = id, .what = what, .page = page }));
    }
    try std.testing.expectEqual(null, desk.again());
    try std.testing.expectEqual(1, desk.ready(7, false).?.id);
    try std.testing.expectEqual(null, desk.ready(7, false));
    try std.testing.expectEqual(7, desk.again().?);
    try std.testing.expectEqual(null, desk.again());
    try std.testing.expectEqual(0, desk.ready(7, true).?.id);
    try std.testing.expectEqual(null, desk.ready(7, true));
    try std.testing.expectEqual(2, desk.ready(8, true).?.id);
}
