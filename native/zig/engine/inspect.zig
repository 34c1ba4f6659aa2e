//! Answers to the control plane's questions (desk.zig), by the engine thread in between its work.
//! Bytes of a page come, and are stored, as a vCPU would have it: by a fault of the protocol, on
//! behalf of a thread without a slot; only a page that this node owns now is stored into. Nothing
//! here waits: the answer leaves when the page is mapped.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const desk_room = @import("desk.zig");
const history_room = @import("history.zig");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const queue = @import("../dsm/queue.zig");
const Engine = @import("engine.zig").Engine;
const assert = std.debug.assert;

const Question = desk_room.Question;
const events_max = 64;
/// Requests that wait at a home for one page: at most one a node, and its Put.
const waiters_max = 2 * limits.nodes_max;

/// What was asked since the last turn; false when there was nothing to do.
pub fn turn(engine: *Engine) bool {
    var questions: [limits.questions_max]Question = undefined;
    const asked = engine.desk.take(&questions);
    for (asked) |question| switch (question.what) {
        .page => answerPage(engine, &question),
        .memory, .write => serve(engine, question),
    };
    var busy = asked.len > 0;
    // Not when the page came: the request before has not been declared done then.
    while (engine.desk.again()) |page| {
        busy = true;
        if (!engine.dsm.failed) fault(engine, page, .write);
    }
    return busy;
}

/// The page is usable: whoever wanted to read it, can, and to write it, if this node owns it.
pub fn mapped(engine: *Engine, page: m.Page) void {
    const writable = engine.dsm.state(page) == .modified;
    while (engine.desk.ready(page, writable)) |question| finish(engine, &question);
}

/// Ends what has waited for its page for too long.
pub fn expire(engine: *Engine) void {
    while (engine.desk.late(engine.now_ns)) |question| {
        answer(engine, question.id, if (engine.dsm.failed) .stopped else .late, &.{});
    }
}

fn serve(engine: *Engine, question: Question) void {
    assert(question.offset + question.length <= limits.page_size);
    const write = question.what == .write;
    const usable = switch (engine.dsm.state(question.page)) {
        .invalid => false,
        .shared => !write,
        .modified => true,
    };
    if (usable) return finish(engine, &question);
    if (engine.dsm.failed) return answer(engine, question.id, .stopped, &.{});
    if (!engine.desk.wait(question)) return answer(engine, question.id, .late, &.{});
    fault(engine, question.page, if (write) .write else .read);
}

fn fault(engine: *Engine, page: m.Page, access: m.Access) void {
    engine.history.add(.{
        .at_ns = engine.now_ns,
        .page = page,
        .what = if (access == .write) .wanted else .looked_at,
        .peer = limits.unknown_thread,
    });
    engine.dsm.fault(engine, page, access, limits.unknown_thread, engine.now_ns);
}

fn finish(engine: *Engine, question: *const Question) void {
    const bytes = engine.memory.aliasPage(question.page)[question.offset..][0..question.length];
    if (question.what == .write) {
        // Nobody else has the page: what the next one is sent has these bytes.
        assert(engine.dsm.state(question.page) == .modified);
        @memcpy(bytes, question.data[0..question.length]);
        answer(engine, question.id, .answered, &.{});
    } else answer(engine, question.id, .answered, bytes);
    // The page has served: it is kept from nobody.
    engine.threadRests(limits.unknown_thread);
}

fn answer(engine: *Engine, id: u64, status: desk_room.Status, data: []const u8) void {
    // One that does not fit is lost: whoever asked gives up after a while, as with a dead engine.
    _ = engine.events.push(.{
        .kind = @intFromEnum(abi.EventKind.answer),
        .length = 0,
        .node = engine.config.node,
        .a = id,
        .b = @intFromEnum(status),
    }, data);
}

/// Room for what one answer lists.
const Lists = struct {
    threads: [limits.threads_max]u8 = undefined,
    pending: [1]abi.PagePending = undefined,
    deferred: [1]abi.PageDeferred = undefined,
    entry: [1]abi.PageEntry = undefined,
    busy: [1]abi.PageBusy = undefined,
    waiters: [waiters_max]abi.PageWaiter = undefined,
    records: [events_max]history_room.Record = undefined,
    events: [events_max]abi.PageEvent = undefined,
};

fn answerPage(engine: *Engine, question: *const Question) void {
    const page = question.page;
    const dsm = &engine.dsm;
    const local = dsm.local[page];
    var lists: Lists = .{};
    const state: abi.PageState = .{
        .now_ns = engine.now_ns,
        .page = page,
        .home = dsm.homeOf(page),
        .state = @intFromEnum(local.state),
        .version = local.version,
        .lost = local.lost,
        .parked = dsm.parked.has(page),
        .evicting = dsm.evicting.has(page),
        .pending = pendingOf(engine, page, &lists),
        .deferred = deferredOf(engine, page, &lists),
        .entry = entryOf(engine, page, &lists),
        .busy = busyOf(engine, page, &lists),
        .events = eventsOf(engine, page, &lists),
    };
    var buffer: [16 << 10]u8 = undefined;
    const bytes = codec.encodeStruct(abi.PageState, &state, &buffer);
    answer(engine, question.id, .answered, bytes.?);
}

fn pendingOf(engine: *Engine, page: m.Page, lists: *Lists) []const abi.PagePending {
    const pending = engine.dsm.pending.get(page) orelse return &.{};
    var threads = pending.threads.iterator(.{});
    var count: usize = 0;
    while (threads.next()) |thread| : (count += 1) lists.threads[count] = @intCast(thread);
    lists.pending[0] = .{
        .tx = pending.tx,
        .write = pending.access == .write,
        .start_ns = pending.start_ns,
        .have_data = pending.have_data,
        .acks_wanted = pending.acks_wanted,
        .acks = pending.acks,
        .threads = lists.threads[0..count],
    };
    return &lists.pending;
}

fn deferredOf(engine: *Engine, page: m.Page, lists: *Lists) []const abi.PageDeferred {
    const item = engine.dsm.deferred.get(page) orelse return &.{};
    lists.deferred[0] = .{
        .thread = item.holder.thread,
        .requester = switch (item.order) {
            inline else => |order| order.requester,
        },
        .since_ns = item.since_ns,
    };
    return &lists.deferred;
}

fn entryOf(engine: *Engine, page: m.Page, lists: *Lists) []const abi.PageEntry {
    if (engine.dsm.homeOf(page) != engine.config.node) return &.{};
    const entry = engine.dsm.entryOf(page);
    lists.entry[0] = .{
        .owner = entry.owner,
        .sharers = entry.sharers,
        .version = entry.version,
    };
    return &lists.entry;
}

fn waiterOf(request: *const queue.Request) abi.PageWaiter {
    return .{
        .tx = request.tx,
        .requester = request.requester,
        .write = request.access == .write,
    };
}

fn busyOf(engine: *Engine, page: m.Page, lists: *Lists) []const abi.PageBusy {
    const busy = engine.dsm.busy.get(page) orelse return &.{};
    var count: usize = 0;
    var index = busy.queue;
    while (index != queue.none and count < waiters_max) : (count += 1) {
        const request = &engine.dsm.queue.pool[index];
        lists.waiters[count] = waiterOf(request);
        index = request.next;
    }
    lists.busy[0] = .{
        .current = waiterOf(&busy.current),
        .holders = busy.holders,
        .wait_done = busy.wait_done,
        .wait_write_back = busy.wait_write_back,
        .queue = lists.waiters[0..count],
    };
    return &lists.busy;
}

fn eventsOf(engine: *Engine, page: m.Page, lists: *Lists) []const abi.PageEvent {
    const found = engine.history.of(page, &lists.records);
    for (found, lists.events[0..found.len]) |*record, *event| event.* = .{
        .at_ns = record.at_ns,
        .what = @intFromEnum(record.what),
        .kind = record.kind,
        .peer = record.peer,
        .tx = record.tx,
        .version = record.version,
    };
    return lists.events[0..found.len];
}
