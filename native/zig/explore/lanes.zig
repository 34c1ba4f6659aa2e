//! The channel: what the transport promises and not a bit more. Each message arrives once; those of
//! one page between one pair of nodes keep their order, all others overtake each other. The letters
//! under way stand sorted by lane, a lane being a pair and a page, so equal sets look equal.

const std = @import("std");
const Message = @import("../wire/message.zig").Message;

pub const Letter = struct { from: u8, to: u8, page: u8, message: Message };

pub const letters_max = 48;

pub const Lanes = struct {
    letters: [letters_max]Letter = undefined,
    count: u8 = 0,

    pub fn slice(self: *const Lanes) []const Letter {
        return self.letters[0..self.count];
    }

    /// False when more are under way than a bounded protocol may have.
    pub fn push(self: *Lanes, letter: Letter) bool {
        if (self.count == letters_max) return false;
        var at: usize = self.count;
        while (at > 0 and order(&self.letters[at - 1]) > order(&letter)) : (at -= 1) {
            self.letters[at] = self.letters[at - 1];
        }
        self.letters[at] = letter;
        self.count += 1;
        return true;
    }

    /// Takes the oldest letter of a lane.
    pub fn pop(self: *Lanes, from: u8, to: u8, page: u8) ?Letter {
        for (self.slice(), 0..) |letter, at| {
            if (letter.from != from or letter.to != to or letter.page != page) continue;
            self.count -= 1;
            for (at..self.count) |i| self.letters[i] = self.letters[i + 1];
            return letter;
        }
        return null;
    }

    /// Whether the letter is the next of its lane.
    pub fn leads(self: *const Lanes, index: usize) bool {
        return index == 0 or order(&self.letters[index - 1]) != order(&self.letters[index]);
    }

    fn order(letter: *const Letter) u32 {
        return (@as(u32, letter.from) << 8 | letter.to) << 8 | letter.page;
    }
};

test "a lane keeps its order and lanes do not wait for each other" {
    var lanes: Lanes = .{};
    for (0..6) |i| {
        const page: u8 = @intCast(i % 2);
        const done: Message = .{ .done = .{ .page = page, .tx = i } };
        try std.testing.expect(lanes.push(.{ .from = 1, .to = 0, .page = page, .message = done }));
    }
    try std.testing.expect(lanes.leads(0) and !lanes.leads(1) and lanes.leads(3));
    for ([_]u64{ 1, 3, 5 }) |tx| {
        try std.testing.expectEqual(tx, lanes.pop(1, 0, 1).?.message.done.tx);
    }
    try std.testing.expectEqual(null, lanes.pop(1, 0, 1));
    try std.testing.expectEqual(0, lanes.pop(1, 0, 0).?.message.done.tx);
    for (lanes.count..letters_max) |_| _ = lanes.push(lanes.letters[0]);
    try std.testing.expect(!lanes.push(lanes.letters[0]));
}
