//! Litmus shapes with native threads: `litmus NODES GUARD-OFF WORD...`, e.g. `litmus 2 "" litmus=SB
//! iterations=100000`. One process per node, each with the production engine (userfaultfd, UDP on
//! loopback) and an equal part of the shape's threads; the first process only watches over them.
//!
//! Only the instances lie in the memory that is tested: gate, results and counts lie in ordinary
//! shared memory of the host, so that a broken coherence cannot hide itself. Ends with the line
//! `faults N`, the page faults that another node answered, and exit code 1 for a forbidden outcome.

const std = @import("std");
const linux = @import("sys/linux.zig");
const litmus = @import("litmus/litmus.zig");
const udp = @import("sys/udp.zig");
const Counters = @import("engine/counters.zig").Counters;
const Engine = @import("engine/engine.zig").Engine;
const Events = @import("engine/events.zig").Events;
const Guards = @import("dsm/guards.zig").Guards;
const layout = litmus.layout;
const race = litmus.race;
const report = litmus.report;
const session = litmus.session;
const panics = @import("panic.zig");
const os = linux.os;

pub const std_options: std.Options = .{ .allow_stack_tracing = false, .signal_stack_size = null };
pub const panic = std.debug.FullPanic(panics.onPanic);

const nodes_max = 4;
const threads_max = 4;
const share_pages = layout.region_pages;
const patience_ns = 20 * std.time.ns_per_s;
/// Below what a page from another process takes (docs/litmus.md).
const slow_us = 30;
const lead_us = 100;
const spins_before_nap = 2000;
const nap_ns = 20_000;
const exit_forbidden = 3;
/// As waitpid tells it.
const forbidden_status = exit_forbidden << 8;

/// Ordinary shared memory of all processes.
const Shared = struct {
    control: session.Control,
    privates: [threads_max]race.Private,
    faults: [nodes_max]u64,
};

const Run = struct {
    request: litmus.request.Request,
    guards: Guards,
    nodes: u8,
    threads: u8,
    sockets: [nodes_max]i32,
    addresses: [nodes_max]udp.Address,
    shared: *Shared,
    ticks_per_us: u64,
};

/// Spins, then naps: with other work on the host, who only spins or yields is the last to run when
/// the gate opens.
const Patience = struct {
    deadline_ns: u64,
    spins: u32 = 0,

    pub fn more(self: *Patience) bool {
        std.atomic.spinLoopHint();
        self.spins += 1;
        if (self.spins < spins_before_nap) return true;
        const nap: os.timespec = .{ .sec = 0, .nsec = nap_ns };
        _ = os.nanosleep(&nap, null);
        return linux.nowNs() < self.deadline_ns;
    }
};

const Host = struct {
    text: *report.Text,

    pub fn patience(_: *Host) Patience {
        return .{ .deadline_ns = linux.nowNs() + patience_ns };
    }

    /// What was printed before leaves first.
    pub fn out(self: *Host) *report.Text {
        flush(self.text);
        return self.text;
    }
};

fn flush(text: *report.Text) void {
    var rest = text.slice();
    while (rest.len > 0) rest = rest[linux.check(os.write(1, rest.ptr, rest.len)) catch return ..];
    text.length = 0;
}

const Worker = struct {
    run: *const Run,
    engine: *Engine,
    setup: *const session.Setup,
    thread: usize,
    text: *report.Text,
    work: ?*session.Work,
    failed: bool = false,

    fn main(self: *Worker) void {
        linux.blockSignals(0);
        const each = self.run.threads / self.run.nodes;
        self.engine.registerThread(@intCast(self.thread % each));
        var one: session.Thread(Host) = .{
            .host = .{ .text = self.text },
            .setup = self.setup,
            .me = self.thread,
            .work = self.work,
            .random = .{ .state = (self.run.request.seed +% self.thread) *% 2 + 1 },
        };
        one.run() catch {
            _ = os.write(1, stuck.ptr, stuck.len);
            // Other threads may sleep in a fault that nobody will answer.
            os.exit_group(1);
        };
        if (one.forbidden > 0) self.failed = true;
        if (self.work != null) flush(self.text);
    }

    const stuck = "a thread never came\n";
};

/// One process. No page is asked for after the last gate, so all may end then.
fn runNode(run: *const Run, node: u8) !bool {
    const allocator = std.heap.c_allocator;
    var events: Events = try .init(allocator);
    var counters: Counters = .{};
    const shares: [nodes_max]u32 = @splat(share_pages);
    const engine = try Engine.init(allocator, .{
        .node = node,
        .shares = shares[0..run.nodes],
        .addresses = run.addresses[0..run.nodes],
        .vm_id = run.request.seed,
        .epoch = 1,
        .silence_ns = patience_ns,
        .spin_ns = 0,
        .guards = run.guards,
    }, run.sockets[node], &events, &counters);
    try engine.start(null);
    var regions: [nodes_max]u64 = undefined;
    for (regions[0..run.nodes], 0..) |*region, i| {
        region.* = @intFromPtr(engine.memory.guestPage(@intCast(i * share_pages)));
    }
    var privates: [threads_max]*race.Private = undefined;
    for (&privates, &run.shared.privates) |*pointer, *private| pointer.* = private;
    const setup: session.Setup = .{
        .request = &run.request,
        .regions = regions[0..run.nodes],
        .borders = regions[1..run.nodes],
        .control = &run.shared.control,
        .privates = privates[0..run.threads],
        .order = if (run.nodes == run.threads) .sc else .tso,
        .slow_ticks = slow_us * run.ticks_per_us,
        .lead_ticks = lead_us * run.ticks_per_us,
    };
    const each = run.threads / run.nodes;
    var workers: [threads_max]Worker = undefined;
    var handles: [threads_max]std.Thread = undefined;
    const text = try allocator.create(report.Text);
    text.length = 0;
    for (workers[0..each], handles[0..each], 0..) |*worker, *handle, i| {
        const first = node == 0 and i == 0;
        worker.* = .{
            .run = run,
            .engine = engine,
            .setup = &setup,
            .thread = @as(usize, node) * each + i,
            .text = text,
            .work = if (first) try allocator.create(session.Work) else null,
        };
        handle.* = try std.Thread.spawn(.{ .stack_size = 1 << 20 }, Worker.main, .{worker});
    }
    for (handles[0..each]) |handle| handle.join();
    engine.join();
    run.shared.faults[node] = engine.dsm.stats.completed;
    for (workers[0..each]) |worker| if (worker.failed) return false;
    return true;
}

/// Time stamp counter against the clock.
fn ticksPerUs() u64 {
    const ns = 5 * std.time.ns_per_ms;
    const from_ns = linux.nowNs();
    const from = race.ticks();
    while (linux.nowNs() - from_ns < ns) std.atomic.spinLoopHint();
    return (race.ticks() - from) * std.time.ns_per_us / (linux.nowNs() - from_ns);
}

fn mapShared() !*Shared {
    const rc = os.mmap(
        null,
        @sizeOf(Shared),
        .{ .READ = true, .WRITE = true },
        .{ .TYPE = .SHARED, .ANONYMOUS = true },
        -1,
        0,
    );
    return @ptrFromInt(try linux.check(rc));
}

fn readArguments(arguments: anytype, line: []u8) !Run {
    var run: Run = undefined;
    run.nodes = try std.fmt.parseInt(u8, arguments.next() orelse return error.Usage, 10);
    const guard = arguments.next() orelse return error.Usage;
    run.guards = Guards.without(guard) orelse return error.Usage;
    var length: usize = 0;
    while (arguments.next()) |word| {
        length += (try std.fmt.bufPrint(line[length..], "{s} ", .{word})).len;
    }
    run.request = try litmus.request.parse(line[0..length]) orelse return error.Usage;
    run.threads = @intCast(run.request.threads());
    if (run.nodes == 0 or run.nodes > nodes_max or run.threads % run.nodes != 0) {
        return error.Usage;
    }
    return run;
}

pub fn main(init: std.process.Init.Minimal) !u8 {
    var arguments = init.args.iterate();
    _ = arguments.next();
    var line: [256]u8 = undefined;
    var run = try readArguments(&arguments, &line);
    run.shared = try mapShared();
    run.ticks_per_us = ticksPerUs();
    const here = try udp.Address.parse("127.0.0.1", 0);
    for (run.sockets[0..run.nodes], run.addresses[0..run.nodes]) |*socket, *address| {
        socket.* = try udp.open(&here);
        address.* = try udp.Address.parse("127.0.0.1", try udp.boundPort(socket.*));
    }
    var children: [nodes_max]i32 = undefined;
    for (children[0..run.nodes], 0..) |*child, node| {
        child.* = @intCast(try linux.check(os.fork()));
        if (child.* != 0) continue;
        // Should the first process be killed, the others end, too.
        _ = os.prctl(@intFromEnum(os.PR.SET_PDEATHSIG), @intFromEnum(os.SIG.KILL), 0, 0, 0);
        return if (try runNode(&run, @intCast(node))) 0 else exit_forbidden;
    }
    const passed = try waitForAll(children[0..run.nodes]);
    var faults: u64 = 0;
    for (run.shared.faults[0..run.nodes]) |count| faults += count;
    var last: [32]u8 = undefined;
    const told = try std.fmt.bufPrint(&last, "faults {d}\n", .{faults});
    _ = try linux.check(os.write(1, told.ptr, told.len));
    return if (passed) 0 else 1;
}

/// Without one of them the others could wait for its pages for ever: they end with it.
fn waitForAll(children: []const i32) !bool {
    var passed = true;
    for (children) |_| {
        var status: u32 = 0;
        _ = try linux.check(os.waitpid(-1, &status, 0));
        if (status == 0) continue;
        passed = false;
        if (status != forbidden_status) for (children) |child| {
            _ = os.kill(child, .KILL);
        };
    }
    return passed;
}
