//! What happened to pages on this node: the last events of all pages in one ring, so that a page
//! that never comes can be followed through the nodes. Always kept: an event is a store of 32 bytes
//! beside work that takes microseconds. Engine thread only.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const untouched = @import("../untouched.zig");

pub const What = enum(u8) {
    none = 0,
    read_fault = 1,
    write_fault = 2,
    /// The control plane asked for the page's bytes.
    looked_at = 3,
    shared = 4,
    modified = 5,
    protected = 6,
    dropped = 7,
    sent = 8,
    received = 9,
    /// The control plane wants to store bytes.
    wanted = 10,
};

pub const Record = extern struct {
    at_ns: u64 = 0,
    /// 0 where the event has none.
    tx: m.Tx = 0,
    version: u64 = 0,
    page: m.Page,
    what: What,
    /// Of a message: its kind (message.zig, Kind) and the other node; of a fault: 0 and its slot.
    kind: u8 = 0,
    peer: u8 = 0,
    padding: u8 = 0,

    comptime {
        if (@sizeOf(Record) != 32) @compileError("an event is 32 bytes");
    }
};

pub const History = struct {
    /// All zero = never used.
    ring: []Record,
    next: u64 = 0,

    pub fn init() std.mem.Allocator.Error!History {
        return .{ .ring = try untouched.alloc(Record, limits.page_events) };
    }

    pub fn deinit(self: *History) void {
        untouched.free(Record, self.ring);
    }

    pub fn add(self: *History, record: Record) void {
        std.debug.assert(record.what != .none);
        self.ring[self.next % limits.page_events] = record;
        self.next += 1;
    }

    /// A message of coherence; others are about no page.
    pub fn message(
        self: *History,
        at_ns: u64,
        sent: bool,
        peer: m.NodeId,
        told: *const m.Message,
    ) void {
        switch (told.*) {
            inline else => |*body, kind| {
                const Body = @TypeOf(body.*);
                if (@hasField(Body, "page")) self.add(.{
                    .at_ns = at_ns,
                    .tx = body.tx,
                    .version = if (@hasField(Body, "version")) body.version else 0,
                    .page = body.page,
                    .what = if (sent) .sent else .received,
                    .kind = @intFromEnum(kind),
                    .peer = peer,
                });
            },
        }
    }

    /// The latest events of one page, newest first.
    pub fn of(self: *const History, page: m.Page, out: []Record) []Record {
        const kept = @min(self.next, limits.page_events);
        var found: usize = 0;
        var back: u64 = 1;
        while (back <= kept and found < out.len) : (back += 1) {
            const record = &self.ring[(self.next - back) % limits.page_events];
            if (record.page != page) continue;
            out[found] = record.*;
            found += 1;
        }
        return out[0..found];
    }
};

test "events of a page come newest first, and the ring forgets the oldest" {
    var history: History = try .init();
    defer history.deinit();
    var out: [4]Record = undefined;
    try std.testing.expectEqual(0, history.of(0, &out).len);
    history.add(.{ .at_ns = 1, .page = 7, .what = .write_fault, .peer = 2 });
    history.message(2, true, 1, &.{
        .get = .{ .page = 7, .tx = 5, .access = .write, .version = 3, .age = 0 },
    });
    history.message(3, true, 1, &.{ .eoi = .{ .vector = 9 } });
    history.add(.{ .at_ns = 4, .page = 8, .what = .dropped });
    const events = history.of(7, &out);
    try std.testing.expectEqual(2, events.len);
    try std.testing.expectEqual(What.sent, events[0].what);
    try std.testing.expectEqual(@intFromEnum(m.Kind.get), events[0].kind);
    try std.testing.expectEqual(3, events[0].version);
    try std.testing.expectEqual(What.write_fault, events[1].what);
    for (0..limits.page_events - 1) |_| history.add(.{ .page = 9, .what = .shared });
    try std.testing.expectEqual(0, history.of(7, &out).len);
    try std.testing.expectEqual(1, history.of(8, &out).len);
    try std.testing.expectEqual(4, history.of(9, &out).len);
}
