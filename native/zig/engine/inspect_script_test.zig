//! The engine's answers to the control plane on a scripted kernel: directory and bytes of pages,
//! and bytes that are stored in them, also of pages that come late or never.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const desk = @import("desk.zig");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const script_rig = @import("script_rig.zig");
const Status = desk.Status;
const Rig = script_rig.Rig;
const own_page = script_rig.own_page;
const remote_page = script_rig.remote_page;
const testing = std.testing;

const Answer = struct {
    status: Status,
    bytes: [limits.page_size]u8 = undefined,
    length: usize = 0,

    fn slice(self: *const Answer) []const u8 {
        return self.bytes[0..self.length];
    }
};

/// The answer with this id, which must be the only event.
fn answerOf(rig: *Rig, id: u64) !Answer {
    var records: [160]abi.Event = undefined;
    const count = rig.events.take(&records);
    try testing.expect(count > 0);
    try testing.expectEqual(@intFromEnum(abi.EventKind.answer), records[0].kind);
    try testing.expectEqual(id, records[0].a);
    var result: Answer = .{ .status = @enumFromInt(records[0].b) };
    for (records[0..count]) |*record| {
        @memcpy(result.bytes[result.length..][0..record.length], record.data[0..record.length]);
        result.length += record.length;
    }
    return result;
}

fn read(rig: *Rig, id: u64, page: u32) !void {
    const until_ns = rig.engine.now_ns + limits.question_patience_ns;
    try rig.engine.ask(.{
        .id = id,
        .what = .memory,
        .page = page,
        .offset = 8,
        .length = 16,
        .until_ns = until_ns,
    });
    rig.turn();
}

test "bytes of a page come through coherence, at once where this node may read it" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    @memset(rig.engine.memory.aliasPage(own_page), 0x5a);
    try read(&rig, 1, own_page);
    const first = try answerOf(&rig, 1);
    try testing.expectEqual(Status.answered, first.status);
    try testing.expectEqualSlices(u8, &@as([16]u8, @splat(0x5a)), first.slice());
    try testing.expectEqual(.shared, rig.engine.dsm.state(own_page));
    // Of another node: asked for, and answered when it has come.
    try read(&rig, 2, remote_page);
    try testing.expectEqual(0, rig.events.length);
    const page: [limits.page_size]u8 = @splat(0xa5);
    try rig.peer.say(.{ .data = .{
        .page = remote_page,
        .tx = rig.engine.dsm.pending.get(remote_page).?.tx,
        .access = .read,
        .version = 2,
        .acks = 0,
        .content = .bytes,
        .bytes = &page,
    } });
    rig.turn();
    const second = try answerOf(&rig, 2);
    try testing.expectEqualSlices(u8, page[8..24], second.slice());
    try testing.expectEqual(1, rig.engine.heat.pages[remote_page].transfers);
}

test "a page that never comes is late, and of a stopped engine nothing comes" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try read(&rig, 3, remote_page);
    rig.engine.now_ns += limits.question_patience_ns;
    rig.turn();
    try testing.expectEqual(Status.late, (try answerOf(&rig, 3)).status);
    rig.engine.trace.printed = false;
    rig.engine.fatal("a test ends it");
    var told: [1]abi.Event = undefined;
    try testing.expectEqual(1, rig.events.take(&told));
    try read(&rig, 4, remote_page);
    try testing.expectEqual(Status.stopped, (try answerOf(&rig, 4)).status);
}

const poked = [_]u8{ 0xde, 0xad, 0xbe, 0xef };
const poked_at = 8;

fn write(rig: *Rig, id: u64, page: u32) !void {
    var question: desk.Question = .{
        .id = id,
        .what = .write,
        .page = page,
        .offset = poked_at,
        .length = poked.len,
        .until_ns = rig.engine.now_ns + limits.question_patience_ns,
    };
    @memcpy(question.data[0..poked.len], &poked);
    try rig.engine.ask(question);
    rig.turn();
}

fn expectStored(rig: *Rig, id: u64, page: u32) !void {
    const told = try answerOf(rig, id);
    try testing.expectEqual(Status.answered, told.status);
    try testing.expectEqual(0, told.length);
    try testing.expectEqual(.modified, rig.engine.dsm.state(page));
    const bytes = rig.engine.memory.aliasPage(page);
    try testing.expectEqualSlices(u8, &poked, bytes[poked_at..][0..poked.len]);
}

/// The page comes from its home for the request that is out.
fn bring(rig: *Rig, access: m.Access, content: m.Content, bytes: []const u8) !void {
    const pending = rig.engine.dsm.pending.get(remote_page).?;
    try testing.expectEqual(access, pending.access);
    try rig.peer.say(.{ .data = .{
        .page = remote_page,
        .tx = pending.tx,
        .access = access,
        .version = 2,
        .acks = 0,
        .content = content,
        .bytes = bytes,
    } });
    rig.turn();
}

test "bytes are stored in a page of this node at once, and whoever wants it next gets them" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try write(&rig, 1, own_page);
    try expectStored(&rig, 1, own_page);
    const word = rig.word(own_page).*;
    try rig.peer.want(own_page, .read);
    rig.turn();
    try testing.expectEqual(word, rig.peer.word.?);
    // It may be read here only now, and is not stored into before it is back.
    try testing.expectEqual(.shared, rig.engine.dsm.state(own_page));
    const before = rig.engine.memory.aliasPage(own_page).*;
    try write(&rig, 2, own_page);
    try testing.expectEqual(0, rig.events.length);
    try testing.expectEqualSlices(u8, &before, rig.engine.memory.aliasPage(own_page));
}

test "bytes for a page of another node are stored when it has come to be written" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try write(&rig, 1, remote_page);
    try testing.expectEqual(0, rig.events.length);
    const page: [limits.page_size]u8 = @splat(0xa5);
    try bring(&rig, .write, .bytes, &page);
    try expectStored(&rig, 1, remote_page);
    const stored = rig.engine.memory.aliasPage(remote_page);
    try testing.expectEqualSlices(u8, page[0..poked_at], stored[0..poked_at]);
    const behind = poked_at + poked.len;
    try testing.expectEqualSlices(u8, page[behind..], stored[behind..]);
}

test "a page that comes only to be read is asked for again before bytes are stored" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    // A vCPU's read is on its way, and the write joins it.
    rig.fault(remote_page, 0);
    rig.turn();
    try write(&rig, 1, remote_page);
    const page: [limits.page_size]u8 = @splat(0xa5);
    try bring(&rig, .read, .bytes, &page);
    try testing.expectEqual(.shared, rig.engine.dsm.state(remote_page));
    try testing.expectEqual(0, rig.events.length);
    try testing.expectEqualSlices(u8, &page, rig.engine.memory.aliasPage(remote_page));
    try bring(&rig, .write, .same, &.{});
    try expectStored(&rig, 1, remote_page);
}

test "bytes for a page that never comes are stored never, and that is told" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try write(&rig, 1, remote_page);
    rig.engine.now_ns += limits.question_patience_ns;
    rig.turn();
    try testing.expectEqual(Status.late, (try answerOf(&rig, 1)).status);
    // It comes after all: nobody waits for it any more.
    const page: [limits.page_size]u8 = @splat(0xa5);
    try bring(&rig, .write, .bytes, &page);
    try testing.expectEqual(0, rig.events.length);
    try testing.expectEqualSlices(u8, &page, rig.engine.memory.aliasPage(remote_page));
    rig.engine.trace.printed = false;
    rig.engine.fatal("a test ends it");
    var told: [1]abi.Event = undefined;
    try testing.expectEqual(1, rig.events.take(&told));
    try write(&rig, 2, own_page);
    try testing.expectEqual(Status.stopped, (try answerOf(&rig, 2)).status);
}

test "what a node knows of a page: directory, request under way, history" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.fault(remote_page, 0);
    try rig.peer.want(own_page, .write);
    rig.turn();
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    try rig.engine.ask(.{ .id = 5, .what = .page, .page = remote_page });
    rig.turn();
    const remote = try answerOf(&rig, 5);
    const wanted = try codec.decodeStruct(abi.PageState, arena.allocator(), remote.slice());
    try testing.expectEqual(1, wanted.home);
    try testing.expectEqual(0, wanted.entry.len);
    try testing.expectEqualSlices(u8, &.{0}, wanted.pending[0].threads);
    try testing.expect(!wanted.pending[0].have_data);
    try testing.expectEqual(2, wanted.events.len);
    try rig.engine.ask(.{ .id = 6, .what = .page, .page = own_page });
    rig.turn();
    const own = try answerOf(&rig, 6);
    const given = try codec.decodeStruct(abi.PageState, arena.allocator(), own.slice());
    try testing.expectEqual(0, given.home);
    try testing.expectEqual(255, given.entry[0].owner);
    // The data has left; the Done has not come.
    try testing.expectEqual(1, given.busy[0].current.requester);
    try testing.expect(given.busy[0].current.write and given.busy[0].wait_done);
    try testing.expectEqual(2, given.events.len);
}
