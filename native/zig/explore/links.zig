//! A small world of the production Link: two ends with a few messages for each other, and
//! datagrams that arrive in any order; some may be lost, some arrive twice. What may happen: an end
//! queues its next message, sends what it may, a datagram arrives or is lost, a timer runs out.
//!
//! Each end has its own clock, which goes on by one unit an event and jumps at a timer. A time-out
//! while anything is under way is counted, as each makes new datagrams; else it is free.
//!
//! Long because it is all that graph.zig asks of a world, and the state it is made of.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const Class = @import("../wire/message.zig").Class;
const Link = @import("../transport/link.zig").Link;
const graph = @import("graph.zig");
const key = @import("links_key.zig");
const assert = std.debug.assert;

pub const messages_max = 6;
pub const datagrams_max = 20;
/// Packet numbers and parts of one path: more than any shortest one needs.
const packets_max = 64;
const parts_max = 64;
const mtu = 1232;

pub const Failure = error{
    Twice,
    Reordered,
    Torn,
    /// Acknowledged, but the peer has it not.
    Lost,
    TooManyDatagrams,
    Stuck,
};

/// `key`: messages of one key keep their order. Above some 1,150 bytes it takes two datagrams.
pub const Message = struct { class: Class, key: u8, length: u16 = 24 };

pub const Options = struct {
    /// What each end sends, in this order.
    messages: [2][]const Message,
    losses: u8 = 1,
    doubles: u8 = 1,
    /// Time-outs while anything is under way.
    early: u8 = 1,
};

pub const Kind = enum(u3) { send, poll, arrive, lose, double, acknowledge, expire };

/// `end`: who acts; `index`: which datagram.
pub const Event = packed struct(u16) { kind: Kind, end: u1, index: u12 = 0 };

pub const Datagram = struct { to: u1, length: u16, bytes: [mtu]u8 };

pub const Shared = struct {
    losses: u8,
    doubles: u8,
    early: u8,
    now: [2]u64 = @splat(1000),
    sent: [2]u8 = @splat(0),
    /// Messages each end was given, as a set; and the last of each key.
    got: [2]u32 = @splat(0),
    count: u8 = 0,
};

pub const World = struct {
    pub const Failure = @import("links.zig").Failure;

    allocator: std.mem.Allocator,
    options: Options,
    links: *[2]Link,
    shared: Shared,
    datagrams: *[datagrams_max]Datagram,
    /// Entries of last_of_key that the messages of each end use.
    buckets: [2][messages_max]usize = undefined,
    failure: ?World.Failure = null,
    transmitted: u32 = 0,
    most: u8 = 0,
    trace: bool = false,

    pub fn init(allocator: std.mem.Allocator, options: Options) !*World {
        const self = try allocator.create(World);
        self.* = .{
            .allocator = allocator,
            .options = options,
            .links = try allocator.create([2]Link),
            .datagrams = try allocator.create([datagrams_max]Datagram),
            .shared = .{
                .losses = options.losses,
                .doubles = options.doubles,
                .early = options.early,
            },
        };
        for (self.links, 0..) |*link, i| {
            assert(options.messages[i].len <= messages_max);
            link.* = try open(allocator, @intCast(i));
            for (options.messages[i], 0..) |message, n| {
                self.buckets[i][n] = try bucketOf(allocator, message.key);
            }
            // Whole slots, so that no branch leaves something behind for another one.
            @memset(link.packets.slots, .{});
            for (&link.outgoing.queues) |*queue| {
                @memset(queue.items[0..parts_max], .{ .number = 0, .index = 0 });
            }
        }
        return self;
    }

    fn open(allocator: std.mem.Allocator, end: u8) !Link {
        return .init(allocator, .{
            .vm_id = 7,
            .epoch = 1,
            .self = end,
            .peer = 1 - end,
            .mtu = mtu,
            // Longer than any path: a heartbeat tells the peer nothing new.
            .heartbeat_ns = 1 << 50,
            .nodes = 2,
        }, 1000);
    }

    /// Where a link remembers the last message of a key, by asking one.
    fn bucketOf(allocator: std.mem.Allocator, message_key: u8) !usize {
        var link = try open(allocator, 0);
        defer link.deinit(allocator);
        link.send(.urgent, message_key, "x", 1000) catch unreachable;
        return std.mem.indexOfScalar(u64, link.outgoing.last_of_key, 1).?;
    }

    pub fn deinit(self: *World) void {
        const a = self.allocator;
        for (self.links) |*link| link.deinit(a);
        a.destroy(self.links);
        a.destroy(self.datagrams);
        a.destroy(self);
    }

    const regions_max = 8 + 3 * messages_max;

    /// All memory of one end that its few messages can reach.
    fn regions(self: *World, end: usize, list: *[regions_max][]u8) [][]u8 {
        const link = &self.links[end];
        const own = self.options.messages[end];
        const theirs = self.options.messages[1 - end];
        list[0] = std.mem.asBytes(link);
        list[1] = std.mem.sliceAsBytes(link.outgoing.slots[0 .. own.len + 1]);
        list[2] = std.mem.sliceAsBytes(link.incoming.slots[0 .. theirs.len + 1]);
        list[3] = std.mem.sliceAsBytes(link.packets.slots[0..packets_max]);
        var count: usize = 4;
        for (&link.outgoing.queues) |*queue| {
            list[count] = std.mem.sliceAsBytes(queue.items[0..parts_max]);
            count += 1;
        }
        for (own, 1..) |message, number| {
            const bucket = self.buckets[end][number - 1];
            list[count] = std.mem.asBytes(&link.outgoing.last_of_key[bucket]);
            const at = number * codec.message_bytes_max;
            list[count + 1] = link.outgoing.storage[at..][0..message.length];
            count += 2;
        }
        for (theirs, 1..) |message, number| {
            const at = number * codec.message_bytes_max;
            list[count] = link.incoming.storage[at..][0..message.length];
            count += 1;
        }
        return list[0..count];
    }

    pub fn imageBytes(self: *World) usize {
        var size: usize = @sizeOf(Shared) + @sizeOf(@TypeOf(self.datagrams.*));
        var list: [regions_max][]u8 = undefined;
        for (0..2) |end| for (self.regions(end, &list)) |region| {
            size += region.len;
        };
        return size;
    }

    pub fn save(self: *World, image: []u8) void {
        @memcpy(image[0..@sizeOf(Shared)], std.mem.asBytes(&self.shared));
        var at: usize = @sizeOf(Shared);
        var list: [regions_max][]u8 = undefined;
        for (0..2) |end| for (self.regions(end, &list)) |region| {
            @memcpy(image[at..][0..region.len], region);
            at += region.len;
        };
        const used = std.mem.sliceAsBytes(self.datagrams[0..self.shared.count]);
        @memcpy(image[at..][0..used.len], used);
    }

    pub fn restore(self: *World, image: []const u8) void {
        self.restoreSome(image, null);
    }

    pub fn restoreAfter(self: *World, image: []const u8, code: graph.Code) void {
        self.restoreSome(image, @as(Event, @bitCast(code)).end);
    }

    fn restoreSome(self: *World, image: []const u8, only: ?u1) void {
        @memcpy(std.mem.asBytes(&self.shared), image[0..@sizeOf(Shared)]);
        var at: usize = @sizeOf(Shared);
        var list: [regions_max][]u8 = undefined;
        for (0..2) |end| for (self.regions(end, &list)) |region| {
            if ((only orelse end) == end) @memcpy(region, image[at..][0..region.len]);
            at += region.len;
        };
        const used = std.mem.sliceAsBytes(self.datagrams[0..self.shared.count]);
        @memcpy(used, image[at..][0..used.len]);
        self.failure = null;
    }

    /// Losses and doublings are `start`: everything must be able to end without them.
    pub fn classOf(code: graph.Code) graph.Class {
        return switch (@as(Event, @bitCast(code)).kind) {
            .send, .lose, .double => .start,
            .poll, .arrive => .prompt,
            .acknowledge, .expire => .timed,
        };
    }

    pub fn events(self: *World, buffer: []graph.Code) []graph.Code {
        var list: std.ArrayList(graph.Code) = .initBuffer(buffer);
        for (0..self.shared.count) |i| {
            const to = self.datagrams[i].to;
            offer(&list, .{ .kind = .arrive, .end = to, .index = @intCast(i) });
            const lose: Event = .{ .kind = .lose, .end = to, .index = @intCast(i) };
            if (self.shared.losses > 0) offer(&list, lose);
            const double: Event = .{ .kind = .double, .end = to, .index = @intCast(i) };
            if (self.shared.doubles > 0) offer(&list, double);
        }
        for (self.links, 0..) |*link, i| {
            const end: u1 = @intCast(i);
            const sent = self.shared.sent[end];
            if (sent < self.options.messages[end].len) offer(&list, .{ .kind = .send, .end = end });
            offer(&list, .{ .kind = .poll, .end = end });
            if (link.ack_due_ns) |due| if (due > self.shared.now[end]) {
                offer(&list, .{ .kind = .acknowledge, .end = end });
            };
            if (self.shared.early == 0 and self.busy()) continue;
            if (link.probeDue() != null) offer(&list, .{ .kind = .expire, .end = end });
        }
        return list.items;
    }

    fn offer(list: *std.ArrayList(graph.Code), event: Event) void {
        list.appendAssumeCapacity(@bitCast(event));
    }

    /// Whether anything is under way: a datagram, a part to be sent, an acknowledgement owed.
    fn busy(self: *World) bool {
        if (self.shared.count > 0) return true;
        for (self.links) |*link| {
            if (link.ack_due_ns != null) return true;
            for (std.enums.values(Class)) |class| {
                if (link.outgoing.peek(class) != null) return true;
            }
        }
        return false;
    }

    /// From the link: a datagram leaves.
    const Sender = struct {
        world: *World,
        end: u1,

        pub fn transmit(self: *Sender, bytes: []const u8) void {
            const w = self.world;
            w.transmitted += 1;
            if (w.shared.count == datagrams_max) return w.fail(error.TooManyDatagrams);
            const datagram = &w.datagrams[w.shared.count];
            w.shared.count += 1;
            w.most = @max(w.most, w.shared.count);
            datagram.to = 1 - self.end;
            datagram.length = @intCast(bytes.len);
            @memcpy(datagram.bytes[0..bytes.len], bytes);
            if (!w.trace) return;
            std.debug.print("     {d}   datagram     {d} bytes\n", .{ self.end, bytes.len });
        }
    };

    /// From the link: a message of the peer, whose first byte is its number.
    const Receiver = struct {
        world: *World,
        end: u1,

        pub fn deliver(self: *Receiver, bytes: []const u8) void {
            const w = self.world;
            const sent = w.options.messages[1 - self.end];
            const number = bytes[0];
            if (w.trace) std.debug.print("     {d}   message      {d}\n", .{ self.end, number });
            if (number >= sent.len or bytes.len != sent[number].length) return w.fail(error.Torn);
            for (bytes[1..], 1..) |byte, i| {
                if (byte != filler(number, i)) return w.fail(error.Torn);
            }
            const bit = @as(u32, 1) << @intCast(number);
            if (w.shared.got[self.end] & bit != 0) return w.fail(error.Twice);
            for (sent[0..number], 0..) |earlier, i| {
                const missing = w.shared.got[self.end] >> @intCast(i) & 1 == 0;
                if (earlier.key == sent[number].key and missing) return w.fail(error.Reordered);
            }
            w.shared.got[self.end] |= bit;
        }
    };

    fn filler(number: u8, at: usize) u8 {
        return @truncate(at *% 31 +% number);
    }

    fn fail(self: *World, failure: World.Failure) void {
        if (self.failure == null) self.failure = failure;
    }

    pub fn apply(self: *World, code: graph.Code) World.Failure!bool {
        const event: Event = @bitCast(code);
        const end = event.end;
        const link = &self.links[end];
        self.shared.now[end] += 1;
        const before = self.transmitted;
        switch (event.kind) {
            .send => self.send(end),
            .poll => self.poll(end, 0),
            .arrive, .double => {
                var receiver: Receiver = .{ .world = self, .end = end };
                const datagram = &self.datagrams[event.index];
                assert(datagram.to == end);
                link.receive(datagram.bytes[0..datagram.length], self.shared.now[end], &receiver);
                if (event.kind == .double) self.shared.doubles -= 1 else self.remove(event.index);
            },
            .lose => {
                self.shared.losses -= 1;
                self.remove(event.index);
            },
            .acknowledge => self.poll(end, link.ack_due_ns.?),
            .expire => {
                if (self.busy()) self.shared.early -= 1;
                self.poll(end, link.probeDue().?);
            },
        }
        if (self.failure) |failure| return failure;
        assert(link.packets.next <= packets_max);
        for (&link.outgoing.queues) |*queue| assert(queue.head + queue.length <= parts_max);
        try self.check();
        return event.kind != .poll or self.transmitted != before;
    }

    fn send(self: *World, end: u1) void {
        const number = self.shared.sent[end];
        const message = self.options.messages[end][number];
        var bytes: [codec.message_bytes_max]u8 = undefined;
        bytes[0] = number;
        for (bytes[1..message.length], 1..) |*byte, i| byte.* = filler(number, i);
        const now = self.shared.now[end];
        self.links[end].send(message.class, message.key, bytes[0..message.length], now) catch
            unreachable;
        self.shared.sent[end] += 1;
    }

    fn poll(self: *World, end: u1, at: u64) void {
        self.shared.now[end] = @max(self.shared.now[end], at);
        var sender: Sender = .{ .world = self, .end = end };
        self.links[end].poll(self.shared.now[end], &sender);
    }

    fn remove(self: *World, index: usize) void {
        self.shared.count -= 1;
        self.datagrams[index] = self.datagrams[self.shared.count];
    }

    /// What is acknowledged has arrived: delivered, or held for an older one.
    fn check(self: *World) World.Failure!void {
        for (self.links, 0..) |*link, i| {
            const peer = &self.links[1 - i].incoming;
            for (1..link.outgoing.oldest) |number| {
                const slot = &peer.slots[number];
                const has = slot.number == number and
                    (slot.state == .held or slot.state == .delivered);
                if (number >= peer.base and !has) return error.Lost;
            }
        }
    }

    pub fn atRest(self: *World) World.Failure!bool {
        if (self.shared.count > 0) return false;
        for (self.links) |*link| if (!link.idle() or link.ack_due_ns != null) return false;
        for (self.links, 0..) |_, i| {
            const all = (@as(u32, 1) << @intCast(self.shared.sent[1 - i])) - 1;
            if (self.shared.got[i] != all) return error.Lost;
        }
        return true;
    }

    pub fn pointless(_: *World, _: graph.Code, _: u64) bool {
        return false;
    }

    pub fn fingerprint(self: *World) u64 {
        return key.fingerprint(self);
    }

    /// One line of a counterexample; its columns are in docs/exploration.md.
    pub fn show(_: *World, step: usize, code: graph.Code) void {
        const event: Event = @bitCast(code);
        std.debug.print("{d:>4} {d}   {s:<12} {d}\n", .{
            step, event.end, @tagName(event.kind), event.index,
        });
    }
};
