//! Litmus shapes over the nodes of the machine, instead of the checks: asked for by the command
//! line (`litmus=SB iterations=100000`). Memory behind the vCPUs' own pages is used, on every node
//! alike: a region with instances, the threads' private results, then on node 0 what all share.

const litmus = @import("litmus");
const console_mod = @import("console.zig");
const context_mod = @import("context.zig");
const info_mod = @import("info.zig");
const Context = context_mod.Context;
const Info = info_mod.Info;
const page = info_mod.page;
const race = litmus.race;
const session = litmus.session;

pub const explain = litmus.request.explain;

const threads_max = 4;
/// No page comes from another node sooner (docs/litmus.md).
const slow_us = 30;
const lead_us = 200;

fn pagesOf(comptime T: type) u64 {
    return (@sizeOf(T) + page - 1) / page;
}

const privates_at = litmus.layout.region_pages;
const control_at = privates_at + threads_max * pagesOf(race.Private);
const work_at = control_at + pagesOf(session.Control);
const pages_needed = work_at + pagesOf(session.Work);

/// What the command line asks for; null when it does not ask for litmus shapes.
pub fn requested() litmus.request.Error!?litmus.request.Request {
    const text: [*:0]const u8 = @ptrFromInt(info_mod.command_line_gpa);
    var length: usize = 0;
    while (text[length] != 0) length += 1;
    return litmus.request.parse(text[0..length]);
}

/// A node's page for litmus shapes.
fn at(info: *const Info, node: u64, index: u64) u64 {
    const n = &info.node[node];
    const first = info_mod.test_pages + info_mod.cpu_pages * n.vcpus;
    return n.area_gpa + (first + index) * page;
}

const Place = struct { node: u64, vcpu: u64 };

/// Thread by thread over the nodes in turn: as many nodes as there are threads, or equally many
/// threads on each.
fn placeOf(info: *const Info, threads: usize, thread: usize) Place {
    const node = thread * info.nodes / threads;
    var index: u64 = 0;
    for (0..thread) |other| index += @intFromBool(other * info.nodes / threads == node);
    return .{ .node = node, .vcpu = info.node[node].first_vcpu + index };
}

const Host = struct {
    context: *Context,

    pub fn patience(host: *Host) context_mod.Patience {
        return host.context.patience();
    }

    pub fn out(host: *Host) console_mod.Console {
        return .{ .info = host.context.info };
    }
};

/// Every vCPU; returns on all of them when it is done, on vCPU 0 only after the power is off.
pub fn run(context: *Context, request: *const litmus.request.Request) void {
    const info = context.info;
    const threads = request.threads();
    if (misfit(info, threads)) |text| return end(context, text);
    const me = for (0..threads) |thread| {
        if (placeOf(info, threads, thread).vcpu == context.me()) break thread;
    } else return;
    var regions: [litmus.layout.nodes_max]u64 = undefined;
    for (regions[0..info.nodes], 0..) |*region, node| region.* = at(info, node, 0);
    // Not the regions' own: the pages on both sides are the checks', which do not run now.
    var borders: [litmus.layout.nodes_max]u64 = undefined;
    for (borders[0..info.nodes], info.node[0..info.nodes]) |*border, *node| border.* = node.ram_gpa;
    var privates: [threads_max]*race.Private = undefined;
    for (privates[0..threads], 0..) |*private, thread| {
        const index = privates_at + thread * pagesOf(race.Private);
        private.* = @ptrFromInt(at(info, placeOf(info, threads, thread).node, index));
    }
    const setup: session.Setup = .{
        .request = request,
        .regions = regions[0..info.nodes],
        .borders = borders[1..info.nodes],
        .control = @ptrFromInt(at(info, 0, control_at)),
        .privates = privates[0..threads],
        .order = if (info.nodes >= threads) .sc else .tso,
        .slow_ticks = slow_us * info.tsc_khz / 1000,
        .lead_ticks = lead_us * info.tsc_khz / 1000,
    };
    var thread: session.Thread(Host) = .{
        .host = .{ .context = context },
        .setup = &setup,
        .me = me,
        .work = if (me == 0) @ptrFromInt(at(info, 0, work_at)) else null,
        .random = .{ .state = context.cpu.nextRandom() | 1 },
    };
    thread.run() catch {
        // Others notice it, too. The first speaks, unless it is the one that never came.
        var patience = context.patience();
        while (me != 0 and patience.more()) {}
        return fail(context, "a vCPU never came");
    };
    if (me != 0) return;
    if (thread.forbidden > 0) return fail(context, "a forbidden outcome was seen");
    const out: console_mod.Console = .{ .info = info };
    out.text("verdict pass\n");
    console_mod.powerOff(info, 0);
}

/// Why the shapes do not fit this machine.
fn misfit(info: *const Info, threads: usize) ?[]const u8 {
    if (info.nodes > litmus.layout.nodes_max) return "too many nodes";
    for (0..threads) |thread| {
        const place = placeOf(info, threads, thread);
        const node = &info.node[place.node];
        if (place.vcpu >= node.first_vcpu + node.vcpus) return "a node has too few vCPUs";
    }
    for (info.node[0..info.nodes], 0..) |*node, index| {
        const memory_end = node.ram_gpa + node.ram_bytes;
        // The last page is at the border.
        if (at(info, index, pages_needed + 1) > memory_end) return "a node has too little memory";
        const next = index + 1;
        if (next < info.nodes and info.node[next].area_gpa != memory_end) {
            return "no free pages where two nodes' memories meet";
        }
    }
    return null;
}

/// What all vCPUs know is said by one.
pub fn end(context: *Context, text: []const u8) void {
    if (context.me() == 0) fail(context, text);
}

fn fail(context: *Context, text: []const u8) void {
    const out: console_mod.Console = .{ .info = context.info };
    out.text("litmus: ");
    out.text(text);
    out.text("\nverdict fail\n");
    console_mod.powerOff(context.info, 1);
}
