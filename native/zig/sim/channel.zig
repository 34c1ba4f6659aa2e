//! The other network of the coherence simulator: what the transport promises and not a bit more.
//! Each message arrives once; messages of one page between one pair of nodes keep their order, all
//! others overtake each other freely. Without real links a run costs a hundredth, so rare orders of
//! events are found here; that the links keep the promise is shown by the other mode.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const Message = @import("../wire/message.zig").Message;
const nodes_max = @import("memory.zig").nodes_max;

pub const Options = struct {
    delay_min_ns: u64,
    delay_max_ns: u64,
    /// Chance in a thousand per message that its direction clogs: nothing arrives for a while.
    clog_per_mille: u16,
    clog_ns: u64,

    pub fn random(r: std.Random) Options {
        const slow = r.uintLessThan(u8, 4) == 0;
        return .{
            .delay_min_ns = r.intRangeAtMost(u64, 1_000, 20_000),
            .delay_max_ns = r.intRangeAtMost(u64, 20_000, if (slow) 5_000_000 else 200_000),
            .clog_per_mille = if (r.uintLessThan(u8, 4) == 0) 5 else 0,
            .clog_ns = 20_000_000,
        };
    }
};

pub const Letter = struct {
    at_ns: u64,
    sequence: u64,
    from: u8,
    to: u8,
    bytes: []u8,

    fn order(_: void, a: Letter, b: Letter) std.math.Order {
        const by_time = std.math.order(a.at_ns, b.at_ns);
        return if (by_time == .eq) std.math.order(a.sequence, b.sequence) else by_time;
    }
};

pub const Channel = struct {
    allocator: std.mem.Allocator,
    random: std.Random,
    options: Options,
    letters: std.PriorityQueue(Letter, void, Letter.order) = .empty,
    sequence: u64 = 0,
    healed: bool = false,
    clogged_until_ns: [nodes_max][nodes_max]u64 = @splat(@splat(0)),
    /// Arrival of the last message of a pair and page: [from][to][page].
    last_ns: []u64,
    pages: u32,

    pub fn init(a: std.mem.Allocator, random: std.Random, options: Options, pages: u32) !Channel {
        const last_ns = try a.alloc(u64, nodes_max * nodes_max * @as(usize, pages));
        @memset(last_ns, 0);
        return .{
            .allocator = a,
            .random = random,
            .options = options,
            .last_ns = last_ns,
            .pages = pages,
        };
    }

    pub fn deinit(self: *Channel) void {
        while (self.letters.pop()) |letter| self.allocator.free(letter.bytes);
        self.letters.deinit(self.allocator);
        self.allocator.free(self.last_ns);
    }

    /// The message travels encoded, as it would between two machines.
    pub fn send(self: *Channel, from: u8, to: u8, message: *const Message, now_ns: u64) void {
        var buffer: [codec.message_bytes_max]u8 = undefined;
        const encoded = codec.encode(message, &buffer);
        const o = self.options;
        var at = now_ns + self.random.intRangeAtMost(u64, o.delay_min_ns, o.delay_max_ns);
        const clogged = &self.clogged_until_ns[from][to];
        if (!self.healed) {
            if (self.random.uintLessThan(u16, 1000) < o.clog_per_mille) {
                clogged.* = now_ns + o.clog_ns;
            }
            if (clogged.* > now_ns) at += clogged.* - now_ns;
        }
        const page: u32 = @truncate(message.orderKey());
        const pair = @as(usize, from) * nodes_max + to;
        const last = &self.last_ns[pair * self.pages + page];
        at = @max(at, last.*);
        last.* = at;
        self.sequence += 1;
        const copy = self.allocator.dupe(u8, encoded) catch @panic("simulator out of memory");
        self.letters.push(self.allocator, .{
            .at_ns = at,
            .sequence = self.sequence,
            .from = from,
            .to = to,
            .bytes = copy,
        }) catch @panic("simulator out of memory");
    }

    pub fn nextTime(self: *Channel) ?u64 {
        return if (self.letters.peek()) |letter| letter.at_ns else null;
    }

    /// The caller frees the bytes with `allocator`.
    pub fn pop(self: *Channel) ?Letter {
        return self.letters.pop();
    }
};

test "messages of one page and pair keep their order, others do not" {
    const a = std.testing.allocator;
    var prng: std.Random.DefaultPrng = .init(5);
    const options: Options = .{
        .delay_min_ns = 1,
        .delay_max_ns = 1000,
        .clog_per_mille = 20,
        .clog_ns = 5000,
    };
    var channel: Channel = try .init(a, prng.random(), options, 4);
    defer channel.deinit();
    for (0..2000) |i| {
        channel.send(0, 1, &.{ .done = .{ .page = @intCast(i % 4), .tx = i } }, i);
    }
    var last: [4]u64 = @splat(0);
    var newest: u64 = 0;
    var overtaken: u32 = 0;
    while (channel.pop()) |letter| {
        defer a.free(letter.bytes);
        const done = (try codec.decode(letter.bytes)).done;
        try std.testing.expect(done.tx >= last[done.page]);
        last[done.page] = done.tx;
        if (done.tx < newest) overtaken += 1;
        newest = @max(newest, done.tx);
    }
    try std.testing.expect(overtaken > 100);
}
