//! Memory that the guest takes of the host, over its limit, on a scripted kernel.

const std = @import("std");
const kernel_room = @import("../sys/kernel.zig");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const memory_room = @import("memory.zig");
const script_rig = @import("script_rig.zig");
const uffd = @import("../sys/uffd.zig");
const Call = kernel_room.Call;
const Rig = script_rig.Rig;
const Scripted = @import("../sys/scripted.zig").Scripted;
const own_page = script_rig.own_page;
const remote_page = script_rig.remote_page;
const silent_page = script_rig.silent_page;
const os = std.os.linux;
const page_size = memory_room.page_size;
const testing = std.testing;

/// What the kernel says that guest memory takes.
const Taken = struct {
    var pages: u64 = 0;
    /// Whether holes make it less.
    var frees: bool = true;

    fn tell(_: *Scripted, made: Call) usize {
        made.at(os.Statx, 4).blocks = pages * (page_size / 512);
        return 0;
    }

    fn hole(kernel: *Scripted, made: Call) usize {
        if (frees) pages -= 1;
        return kernel.usual(made);
    }
};

/// Pages that only count.
const beyond = 1000;

fn init(rig: *Rig, limit: u64) !void {
    try rig.init();
    rig.engine.reclaim.limit = limit;
    Taken.pages = 0;
    Taken.frees = true;
    rig.kernel.next(.{ .call = .statx }, .{ .does = Taken.tell }, 1000);
    rig.kernel.next(.{ .call = .fallocate }, .{ .does = Taken.hole }, 1000);
}

/// A page of node 1 comes to be written.
fn bring(rig: *Rig, page: m.Page) !void {
    rig.fault(page, uffd.flag_write);
    rig.turn();
    const bytes: [page_size]u8 = @splat(7);
    try rig.peer.say(.{ .data = .{
        .page = page,
        .tx = rig.engine.dsm.pending.get(page).?.tx,
        .access = .write,
        .version = 2,
        .acks = 0,
        .content = .bytes,
        .bytes = &bytes,
    } });
    rig.turn();
    try testing.expectEqual(.modified, rig.engine.dsm.state(page));
    // Nothing keeps it.
    rig.engine.dsm.endGather(0, rig.engine.now_ns);
}

fn holes(rig: *const Rig) usize {
    return rig.kernel.count(.{ .call = .fallocate });
}

/// The next look at memory is due.
fn look(rig: *Rig) void {
    rig.engine.reclaim.next_ns = 0;
    rig.turn();
}

test "within the limit nothing is given up" {
    var rig: Rig = undefined;
    try init(&rig, 100);
    defer rig.deinit();
    try bring(&rig, remote_page);
    Taken.pages = 100;
    look(&rig);
    try testing.expectEqual(.modified, rig.engine.dsm.state(remote_page));
    try testing.expectEqual(null, rig.engine.reclaim.deadline());
    try testing.expectEqual(0, holes(&rig));
}

test "over it a page of another node goes home, and its memory is freed once it is there" {
    var rig: Rig = undefined;
    try init(&rig, 100);
    defer rig.deinit();
    rig.fault(own_page, uffd.flag_write);
    try bring(&rig, remote_page);
    Taken.pages = 101;
    look(&rig);
    try testing.expectEqual(.invalid, rig.engine.dsm.state(remote_page));
    try testing.expectEqual(1, rig.engine.dsm.stats.evictions);
    // Until node 1 has the bytes they are kept: somebody may be sent here for them.
    try testing.expectEqual(7, rig.engine.memory.aliasPage(remote_page)[9]);
    look(&rig);
    try testing.expectEqual(0, holes(&rig));
    try testing.expect(rig.engine.reclaim.deadline() != null);
    const tx = rig.engine.dsm.evicting.get(remote_page).?.tx;
    try rig.peer.say(.{ .put_ack = .{ .page = remote_page, .tx = tx } });
    look(&rig);
    look(&rig);
    try testing.expectEqual(1, holes(&rig));
    try testing.expectEqual(0, rig.engine.memory.aliasPage(remote_page)[9]);
    try testing.expectEqual(1, rig.engine.reclaim.evicted);
    // Its own page is its own, however little memory there is.
    try testing.expectEqual(.modified, rig.engine.dsm.state(own_page));
}

test "no more go home than memory is wanted" {
    var rig: Rig = undefined;
    try init(&rig, 10);
    defer rig.deinit();
    try bring(&rig, remote_page);
    try bring(&rig, remote_page + 1);
    Taken.pages = 11;
    for (0..3) |_| look(&rig);
    try testing.expectEqual(1, rig.engine.reclaim.evicted);
    Taken.pages = 12;
    look(&rig);
    try testing.expectEqual(2, rig.engine.reclaim.evicted);
}

test "memory of pages that were lost is freed without a word" {
    var rig: Rig = undefined;
    try init(&rig, 100);
    defer rig.deinit();
    rig.fault(own_page, uffd.flag_write);
    rig.turn();
    try rig.peer.want(own_page, .write);
    rig.turn();
    Taken.pages = 200;
    // The home does not know yet that node 1 has it.
    look(&rig);
    try testing.expectEqual(0, holes(&rig));
    try rig.peer.say(.{ .done = .{ .page = own_page, .tx = rig.peer.next_tx - 1 } });
    look(&rig);
    look(&rig);
    try testing.expectEqual(1, holes(&rig));
    try testing.expectEqual(0, rig.engine.dsm.stats.evictions);
}

test "where nothing may go the next look is later, and comes" {
    var rig: Rig = undefined;
    try init(&rig, 100);
    defer rig.deinit();
    Taken.pages = 200;
    look(&rig);
    const at = rig.engine.reclaim.deadline().?;
    try testing.expect(at > rig.engine.now_ns);
    try testing.expect(!rig.engine.reclaim.turn(rig.engine));
    // Memory is given back elsewhere.
    Taken.pages = 90;
    look(&rig);
    try testing.expectEqual(null, rig.engine.reclaim.deadline());
}

test "room on the way home is used when acknowledgements make it, not at the next look" {
    var rig: Rig = undefined;
    try init(&rig, 100);
    defer rig.deinit();
    try bring(&rig, remote_page);
    try bring(&rig, remote_page + 1);
    Taken.pages = 200;
    const reclaim = &rig.engine.reclaim;
    const evicting = &rig.engine.dsm.evicting;
    // As many as may be are on their way but one, which is one of these two.
    const others = limits.puts_max - 1;
    reclaim.leaving_count = others;
    @memset(reclaim.leaving[0..others], silent_page);
    _ = evicting.put(.{ .page = silent_page, .tx = 1 });
    for (1..others) |i| _ = evicting.put(.{ .page = beyond + @as(m.Page, @intCast(i)), .tx = 1 });
    look(&rig);
    try testing.expectEqual(1, reclaim.evicted);
    try testing.expect(!reclaim.turn(rig.engine));
    try testing.expectEqual(1, reclaim.evicted);
    // Half of them have arrived; the next look would be later.
    evicting.remove(silent_page);
    for (1..others / 2 + 1) |i| evicting.remove(beyond + @as(m.Page, @intCast(i)));
    try testing.expect(reclaim.next_ns > rig.engine.now_ns);
    _ = reclaim.turn(rig.engine);
    try testing.expectEqual(2, reclaim.evicted);
}

test "an engine that has failed gives nothing up, and is not woken for it" {
    var rig: Rig = undefined;
    try init(&rig, 100);
    defer rig.deinit();
    Taken.pages = 200;
    look(&rig);
    try testing.expect(rig.engine.reclaim.deadline() != null);
    rig.engine.dsm.failed = true;
    look(&rig);
    try testing.expectEqual(null, rig.engine.reclaim.deadline());
}

test "a host that does not give memory back is asked for each page once" {
    var rig: Rig = undefined;
    try init(&rig, 100);
    defer rig.deinit();
    Taken.frees = false;
    rig.fault(own_page, uffd.flag_write);
    rig.turn();
    try rig.peer.want(own_page, .write);
    rig.turn();
    try rig.peer.say(.{ .done = .{ .page = own_page, .tx = rig.peer.next_tx - 1 } });
    Taken.pages = 200;
    for (0..5) |_| look(&rig);
    try testing.expectEqual(1, holes(&rig));
}
