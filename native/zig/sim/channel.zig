//! The other network of the coherence simulator: what the transport promises and not a bit more.
//! Each message arrives once; messages of one page between one pair of nodes keep their order, all
//! others overtake each other freely. Directions clog, groups of nodes are not heard by the others
//! for a while, single nodes are slow. Without real links a run costs a hundredth, so rare orders
//! of events are found here; that the links keep the promise is shown by the other mode.

const std = @import("std");
const limits = @import("../limits.zig");
const Message = @import("../wire/message.zig").Message;
const Bytes = @import("memory.zig").Bytes;
const memory = @import("memory.zig");
const assert = std.debug.assert;

pub const Options = struct {
    delay_min_ns: u64,
    delay_max_ns: u64,
    /// Chance in a thousand per message that its direction clogs: nothing arrives for a while.
    clog_per_mille: u16 = 0,
    clog_ns: u64 = 20_000_000,
    /// Chance in ten thousand per message that some nodes are not heard by the others, one way.
    partition_per_myriad: u16 = 0,
    partition_ns: u64 = 50_000_000,
    /// Chance in a thousand of a tail, ten times the longest delay.
    tail_per_mille: u16 = 0,
    /// To and from this node everything takes eight times as long.
    slow_node: ?u8 = null,
    /// Only for a mutant: messages of one page may overtake each other.
    keep_order: bool = true,

    pub fn random(r: std.Random, nodes: u8) Options {
        const slow = r.uintLessThan(u8, 4) == 0;
        return .{
            .delay_min_ns = r.intRangeAtMost(u64, 1_000, 20_000),
            .delay_max_ns = r.intRangeAtMost(u64, 20_000, if (slow) 5_000_000 else 200_000),
            .clog_per_mille = if (r.uintLessThan(u8, 4) == 0) 5 else 0,
            .partition_per_myriad = if (r.uintLessThan(u8, 4) == 0) 5 else 0,
            .tail_per_mille = if (r.uintLessThan(u8, 3) == 0) 20 else 0,
            .slow_node = if (r.uintLessThan(u8, 4) == 0) r.uintLessThan(u8, nodes) else null,
        };
    }
};

pub const Letter = struct {
    at_ns: u64,
    sequence: u64,
    from: u8,
    to: u8,
    /// Where the message lies until it is given back with release().
    slot: u32,

    fn order(_: void, a: Letter, b: Letter) std.math.Order {
        const by_time = std.math.order(a.at_ns, b.at_ns);
        return if (by_time == .eq) std.math.order(a.sequence, b.sequence) else by_time;
    }
};

const Slot = struct { message: Message, bytes: Bytes };

pub const Channel = struct {
    allocator: std.mem.Allocator,
    random: std.Random,
    options: Options,
    letters: std.PriorityQueue(Letter, void, Letter.order) = .empty,
    slots: std.ArrayList(*Slot) = .empty,
    free: std.ArrayList(u32) = .empty,
    sequence: u64 = 0,
    healed: bool = false,
    nodes: usize,
    pages: u32,
    /// Per direction: until when it is clogged, and the messages under way.
    clogged_until_ns: []u64,
    under_way: []u32,
    /// Arrival of the last message of a direction and page.
    last_ns: []u64,
    /// Nodes that the others do not hear, and until when.
    unheard: u64 = 0,
    unheard_until_ns: u64 = 0,

    pub fn init(
        a: std.mem.Allocator,
        random: std.Random,
        options: Options,
        nodes: u8,
        pages: u32,
    ) !Channel {
        const pairs = @as(usize, nodes) * nodes;
        const self: Channel = .{
            .allocator = a,
            .random = random,
            .options = options,
            .nodes = nodes,
            .pages = pages,
            .clogged_until_ns = try a.alloc(u64, pairs),
            .under_way = try a.alloc(u32, pairs),
            .last_ns = try a.alloc(u64, pairs * pages),
        };
        @memset(self.clogged_until_ns, 0);
        @memset(self.under_way, 0);
        @memset(self.last_ns, 0);
        return self;
    }

    pub fn deinit(self: *Channel) void {
        const a = self.allocator;
        for (self.slots.items) |slot| a.destroy(slot);
        self.slots.deinit(a);
        self.free.deinit(a);
        self.letters.deinit(a);
        a.free(self.clogged_until_ns);
        a.free(self.under_way);
        a.free(self.last_ns);
    }

    pub fn send(self: *Channel, from: u8, to: u8, message: *const Message, now_ns: u64) void {
        const pair = @as(usize, from) * self.nodes + to;
        var at = now_ns + self.delay(from, to);
        if (!self.healed) at += self.trouble(from, to, pair, now_ns);
        const page: u32 = @truncate(message.orderKey());
        const last = &self.last_ns[pair * self.pages + page];
        if (self.options.keep_order) at = @max(at, last.*);
        last.* = at;
        self.sequence += 1;
        // So few that a quarter of a link's window stays free.
        self.under_way[pair] += 1;
        assert(self.under_way[pair] <= limits.link_messages * 3 / 4);
        self.letters.push(self.allocator, .{
            .at_ns = at,
            .sequence = self.sequence,
            .from = from,
            .to = to,
            .slot = self.keep(message),
        }) catch @panic("simulator out of memory");
    }

    fn delay(self: *Channel, from: u8, to: u8) u64 {
        const o = &self.options;
        var ns = self.random.intRangeAtMost(u64, o.delay_min_ns, o.delay_max_ns);
        if (o.slow_node) |slow| if (slow == from or slow == to) {
            ns *= 8;
        };
        if (o.tail_per_mille > 0 and self.random.uintLessThan(u16, 1000) < o.tail_per_mille) {
            ns += 10 * o.delay_max_ns;
        }
        return ns;
    }

    fn trouble(self: *Channel, from: u8, to: u8, pair: usize, now_ns: u64) u64 {
        const o = &self.options;
        const clogged = &self.clogged_until_ns[pair];
        if (o.clog_per_mille > 0 and self.random.uintLessThan(u16, 1000) < o.clog_per_mille) {
            clogged.* = now_ns + o.clog_ns;
        }
        if (o.partition_per_myriad > 0 and now_ns >= self.unheard_until_ns and
            self.random.uintLessThan(u16, 10_000) < o.partition_per_myriad)
        {
            self.unheard = self.random.int(u64);
            self.unheard_until_ns = now_ns + o.partition_ns;
        }
        var until = clogged.*;
        const cut = self.unheard >> @intCast(from) & 1 == 1 and
            self.unheard >> @intCast(to) & 1 == 0;
        if (cut) until = @max(until, self.unheard_until_ns);
        return until -| now_ns;
    }

    /// A copy of the message; of a page only what the simulator ever reads of it.
    fn keep(self: *Channel, message: *const Message) u32 {
        const a = self.allocator;
        const index = self.free.pop() orelse grown: {
            const slot = a.create(Slot) catch @panic("simulator out of memory");
            self.slots.append(a, slot) catch @panic("simulator out of memory");
            break :grown @as(u32, @intCast(self.slots.items.len - 1));
        };
        const slot = self.slots.items[index];
        slot.message = message.*;
        switch (slot.message) {
            inline .data, .write_back, .put => |*body| if (body.content == .bytes) {
                memory.copy(&slot.bytes, body.bytes[0..4096]);
                body.bytes = &slot.bytes;
            },
            else => {},
        }
        return index;
    }

    pub fn nextTime(self: *Channel) ?u64 {
        return if (self.letters.peek()) |letter| letter.at_ns else null;
    }

    /// The caller gives the letter back with release().
    pub fn pop(self: *Channel) ?Letter {
        const letter = self.letters.pop() orelse return null;
        self.under_way[letter.from * self.nodes + letter.to] -= 1;
        return letter;
    }

    pub fn messageOf(self: *const Channel, letter: *const Letter) *const Message {
        return &self.slots.items[letter.slot].message;
    }

    pub fn release(self: *Channel, letter: *const Letter) void {
        self.free.append(self.allocator, letter.slot) catch @panic("simulator out of memory");
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
        .partition_per_myriad = 50,
    };
    var channel: Channel = try .init(a, prng.random(), options, 2, 4);
    defer channel.deinit();
    for (0..2000) |i| {
        channel.send(0, 1, &.{ .done = .{ .page = @intCast(i % 4), .tx = i } }, i);
    }
    var last: [4]u64 = @splat(0);
    var newest: u64 = 0;
    var overtaken: u32 = 0;
    while (channel.pop()) |letter| {
        const done = channel.messageOf(&letter).done;
        channel.release(&letter);
        try std.testing.expect(done.tx >= last[done.page]);
        last[done.page] = done.tx;
        if (done.tx < newest) overtaken += 1;
        newest = @max(newest, done.tx);
    }
    try std.testing.expect(overtaken > 100);
}
