//! Questions of the control plane that only the engine thread can answer, because it alone may look
//! at the directory and bring pages. Any thread leaves a question here and is never kept waiting;
//! the answer is an event. A page that never comes is answered as late after a while.

const std = @import("std");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const Page = @import("../wire/message.zig").Page;
const assert = std.debug.assert;

pub const What = enum(u32) {
    /// abi.PageState of the page.
    page = 0,
    /// Bytes of guest memory, as a vCPU of this node would read them.
    memory = 1,
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
};

pub const Desk = struct {
    lock: linux.Lock = .{},
    incoming: [limits.questions_max]Question = undefined,
    /// Written under the lock; the engine looks at it in every turn.
    count: std.atomic.Value(u32) = .init(0),
    /// Engine thread: reads that wait for their page.
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

    /// Engine thread: the read waits for its page; false when too many do.
    pub fn wait(self: *Desk, question: Question) bool {
        assert(question.what == .memory);
        if (self.waiting_count == limits.questions_max) return false;
        self.waiting[self.waiting_count] = question;
        self.waiting_count += 1;
        return true;
    }

    /// Engine thread: takes out one read of this page, or one that is late.
    pub fn ready(self: *Desk, page: ?Page, now_ns: u64) ?Question {
        for (self.waiting[0..self.waiting_count], 0..) |question, i| {
            const due = if (page) |p| question.page == p else question.until_ns <= now_ns;
            if (!due) continue;
            self.waiting_count -= 1;
            self.waiting[i] = self.waiting[self.waiting_count];
            return question;
        }
        return null;
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
    while (desk.ready(1, 0)) |question| : (of_page += 1) {
        try std.testing.expectEqual(1, question.page);
    }
    try std.testing.expectEqual(limits.questions_max / 2, of_page);
    try std.testing.expectEqual(null, desk.ready(null, 99));
    try std.testing.expectEqual(0, desk.ready(null, 100).?.id);
    try std.testing.expectEqual(null, desk.ready(null, 100));
}
