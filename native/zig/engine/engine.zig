//! The engine thread: page faults, datagrams and messages of the vCPU threads in one loop, without
//! locks between them. It executes the effects of the pure rooms: dsm/ decides, transport/ numbers
//! and repeats, this file makes the system calls.
//!
//! Nothing here waits for TypeScript or for a vCPU, and no KVM call is made: a vCPU that sleeps in
//! a page fault holds KVM's locks until this thread resolves it.
//!
//! Long because one loop and the effects it executes are read together.

const std = @import("std");
const codec = @import("../wire/codec.zig");
const dsm_room = @import("../dsm/dsm.zig");
const inspect = @import("inspect.zig");
const kernel = @import("../sys/kernel.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const m = @import("../wire/message.zig");
const totals = @import("totals.zig");
const udp = @import("../sys/udp.zig");
const uffd = @import("../sys/uffd.zig");
const Counters = @import("counters.zig").Counters;
const Desk = @import("desk.zig").Desk;
const Events = @import("events.zig").Events;
const Fabric = @import("fabric.zig").Fabric;
const history_room = @import("history.zig");
const Gate = @import("gate.zig").Gate;
const Heat = @import("heat.zig").Heat;
const History = history_room.History;
const Item = @import("fabric.zig").Item;
const Link = @import("../transport/link.zig").Link;
const least_bytes = @import("../transport/path.zig").least_bytes;
const Memory = @import("memory.zig").Memory;
const Question = @import("desk.zig").Question;
const Reclaim = @import("reclaim.zig").Reclaim;
const Rests = @import("rests.zig").Rests;
const Spin = @import("spin.zig").Spin;
const Trace = @import("trace.zig").Trace;
const Waits = @import("waits.zig").Waits;
const Watch = @import("watch.zig").Watch;
const os = linux.os;
const assert = std.debug.assert;

pub const Config = struct {
    node: m.NodeId,
    /// Pages of each node's share.
    shares: []const u32,
    /// Data sockets of all nodes, in node order.
    addresses: []const udp.Address,
    vm_id: u64,
    epoch: u32,
    silence_ns: u64,
    spin_ns: u64,
    guards: dsm_room.Guards = .{},
    /// How many pages of this host's memory the guest may take; 0 = as many as it wants.
    taken_max_pages: u64 = 0,
};

/// Who takes what is not coherence; called on the engine thread, must not block.
pub const Handler = struct {
    context: *anyopaque,
    message: *const fn (context: *anyopaque, from: m.NodeId, message: *const m.Message) void,
};

pub const tag_uffd = 0;
pub const tag_udp = 1;
pub const tag_fabric = 2;
/// What is to be looked at with a system call. epoll names it to who slept, and again as long as
/// something is left (epoll(7), level-triggered); who has more to do and does not sleep asks by
/// itself, or messages of local threads that never end would keep it from all else.
const Sources = struct {
    faults: bool = false,
    datagrams: bool = false,

    const all: Sources = .{ .faults = true, .datagrams = true };
    const none: Sources = .{};
};
const datagrams_per_turn = 64;
const datagrams_per_answer = 4;

pub const Engine = struct {
    allocator: std.mem.Allocator,
    config: Config,
    memory: Memory,
    dsm: dsm_room.Dsm,
    links: []?Link,
    addresses: []udp.Address,
    gate: Gate,
    socket: i32,
    epoll: i32,
    fabric: Fabric,
    events: *Events,
    counters: *Counters,
    handler: ?Handler = null,
    trace: Trace = .{},
    history: History,
    heat: Heat,
    desk: Desk = .{},
    /// When each thread raised the fault that `waits` has of it.
    wait_since_ns: [limits.threads_max]std.atomic.Value(u64) = @splat(.init(0)),
    thread: ?std.Thread = null,
    stopping: std.atomic.Value(bool) = .init(false),
    tid: std.atomic.Value(u32) = .init(0),
    tids: [limits.threads_max]std.atomic.Value(u32) = @splat(.init(0)),
    rests: Rests = .{},
    waits: Waits = .{},
    /// Slots of registered vCPU threads are below this.
    vcpu_slots: std.atomic.Value(u32) = .init(0),
    now_ns: u64 = 0,
    /// Links that have something to send.
    dirty: u64 = 0,
    /// The reason was told: from here on nothing a peer says is obeyed.
    ended: bool = false,
    watch: Watch,
    reclaim: Reclaim,
    buffer: []u8,

    /// Takes over the socket, which stays the caller's to close. `self` must not move afterwards.
    pub fn init(
        allocator: std.mem.Allocator,
        config: Config,
        socket: i32,
        events: *Events,
        counters: *Counters,
    ) !*Engine {
        assert(config.shares.len == config.addresses.len);
        var pages: u64 = 0;
        for (config.shares) |share| pages += share;
        const self = try allocator.create(Engine);
        errdefer allocator.destroy(self);
        var memory: Memory = try .init(pages * limits.page_size);
        errdefer memory.deinit();
        var dsm: dsm_room.Dsm = try .init(allocator, .{
            .node = config.node,
            .shares = config.shares,
            .guards = config.guards,
        });
        errdefer dsm.deinit(allocator);
        const links = try allocator.alloc(?Link, config.shares.len);
        errdefer allocator.free(links);
        @memset(links, null);
        errdefer for (links) |*link| if (link.*) |*l| l.deinit(allocator);
        const addresses = try allocator.dupe(udp.Address, config.addresses);
        errdefer allocator.free(addresses);
        const buffer = try allocator.alloc(u8, limits.datagram_bytes_max);
        errdefer allocator.free(buffer);
        var history: History = try .init();
        errdefer history.deinit();
        var heat: Heat = try .init(pages);
        errdefer heat.deinit();
        var fabric: Fabric = try .init();
        errdefer fabric.deinit();
        const epoll = try linux.fdOf(kernel.call(.epoll_create1, .{os.EPOLL.CLOEXEC}));
        errdefer linux.close(epoll);
        const now_ns = linux.nowNs();
        self.* = .{
            .allocator = allocator,
            .config = config,
            .memory = memory,
            .dsm = dsm,
            .links = links,
            .addresses = addresses,
            .gate = undefined,
            .socket = socket,
            .epoll = epoll,
            .fabric = fabric,
            .events = events,
            .counters = counters,
            .history = history,
            .heat = heat,
            .now_ns = now_ns,
            .watch = .{ .silence_ns = config.silence_ns, .began_ns = now_ns },
            .reclaim = .{ .limit = config.taken_max_pages },
            .buffer = buffer,
        };
        try self.connect();
        return self;
    }

    /// What fails here is undone by init.
    fn connect(self: *Engine) !void {
        self.gate = .{ .node = self.config.node, .addresses = self.addresses };
        for (self.links, 0..) |*link, peer| if (peer != self.config.node) {
            link.* = try self.makeLink(@intCast(peer), self.now_ns);
        };
        try linux.epollAdd(self.epoll, self.memory.uffd, os.EPOLL.IN, tag_uffd);
        try linux.epollAdd(self.epoll, self.socket, os.EPOLL.IN, tag_udp);
        try linux.epollAdd(self.epoll, self.fabric.event, os.EPOLL.IN, tag_fabric);
    }

    fn makeLink(self: *Engine, peer: u8, now_ns: u64) !Link {
        const path = udp.pathPayload(&self.addresses[peer]) catch least_bytes;
        return Link.init(self.allocator, .{
            .vm_id = self.config.vm_id,
            .epoch = self.config.epoch,
            .self = self.config.node,
            .peer = peer,
            .mtu = std.math.clamp(path, least_bytes, limits.datagram_bytes_max),
            .heartbeat_ns = self.config.silence_ns / 8,
            .nodes = @intCast(self.links.len),
        }, now_ns);
    }

    pub fn start(self: *Engine, handler: ?Handler) !void {
        assert(self.thread == null);
        self.handler = handler;
        self.thread = try kernel.spawn(1 << 20, run, .{self});
    }

    /// Ends the thread; no thread may touch the guest mapping any more.
    pub fn join(self: *Engine) void {
        self.stopping.store(true, .release);
        self.fabric.awake.store(0, .seq_cst);
        self.fabric.wake();
        if (self.thread) |thread| thread.join();
        self.thread = null;
    }

    pub fn deinit(self: *Engine) void {
        assert(self.thread == null);
        linux.close(self.epoll);
        self.fabric.deinit();
        self.memory.deinit();
        self.dsm.deinit(self.allocator);
        self.history.deinit();
        self.heat.deinit();
        for (self.links) |*link| if (link.*) |*l| l.deinit(self.allocator);
        self.allocator.free(self.links);
        self.allocator.free(self.addresses);
        self.allocator.free(self.buffer);
        self.allocator.destroy(self);
    }

    /// The calling thread will fault under this slot (its gathers, dsm/gather.zig), and a kick of
    /// it is the engine's while it waits for a page.
    pub fn registerThread(self: *Engine, slot: u8) void {
        self.registerUnkicked(slot);
        _ = self.vcpu_slots.fetchMax(@as(u32, slot) + 1, .release);
    }

    /// The same for one that nobody kicks.
    pub fn registerUnkicked(self: *Engine, slot: u8) void {
        self.tids[slot].store(linux.threadId(), .release);
    }

    /// Whether the caller is the engine: it sends by send(), everyone else by fabric.send().
    pub fn onThisThread(self: *const Engine) bool {
        return self.tid.load(.monotonic) == linux.threadId();
    }

    fn slotOf(self: *const Engine, tid: u32) u8 {
        for (&self.tids, 0..) |*t, i| if (t.load(.monotonic) == tid) return @intCast(i);
        return limits.unknown_thread;
    }

    /// The engine thread, until join.
    pub fn run(self: *Engine) void {
        linux.blockSignals(0);
        linux.nameThread("gvm-engine");
        self.tid.store(linux.threadId(), .monotonic);
        // A vCPU that spins for a page shares its CPU with the engine that must fetch it: without
        // preference the engine waits for the end of the vCPU's time slice, milliseconds. An engine
        // that spins itself would in turn starve the vCPUs.
        if (self.config.spin_ns == 0) _ = linux.preferThread();
        // Whoever joins this thread reads what was counted, not what was last looked at.
        defer self.publish();
        var spin: Spin = .{ .most_ns = self.config.spin_ns };
        var idle_since = linux.nowNs();
        var sources: Sources = .all;
        while (!self.stopping.load(.acquire)) {
            self.now_ns = linux.nowNs();
            if (self.look(sources)) {
                spin.waited(self.now_ns -| idle_since);
                idle_since = linux.nowNs();
                const asked = sources.faults or sources.datagrams;
                sources = if (asked and spin.now_ns == 0) .none else .all;
                continue;
            }
            if (self.now_ns -| idle_since < spin.now_ns) {
                self.fabric.awake.store(1, .seq_cst);
                std.atomic.spinLoopHint();
                sources = .all;
                continue;
            }
            sources = self.sleep();
            const woken_ns = linux.nowNs();
            spin.waited(woken_ns - idle_since);
            idle_since = woken_ns;
        }
    }

    /// Everything that is ready, once; false when nothing was. Engine thread.
    pub fn turn(self: *Engine) bool {
        return self.look(.all);
    }

    fn look(self: *Engine, sources: Sources) bool {
        defer self.rests.deferring.store(self.dsm.deadline() != null, .seq_cst);
        self.rests.take(self, endGather);
        var busy = sources.faults and self.takeFaults();
        if (sources.datagrams and self.takeDatagrams()) busy = true;
        if (self.fabric.drain(self, takes, forward)) busy = true;
        if (inspect.turn(self)) busy = true;
        if (self.dsm.deadline()) |at| if (at <= self.now_ns) {
            self.dsm.tick(self, self.now_ns);
            busy = true;
        };
        if (self.reclaim.turn(self)) busy = true;
        self.pollLinks();
        if (self.now_ns >= self.watch.next_ns) self.watchPeers();
        return busy;
    }

    /// The thread under this slot sleeps until an event comes: it needs its pages no longer.
    pub fn threadRests(self: *Engine, slot: u8) void {
        if (self.rests.add(slot)) self.fabric.wake();
    }

    fn endGather(self: *Engine, slot: u8) void {
        self.dsm.endGather(slot, self.now_ns);
    }

    fn takeFaults(self: *Engine) bool {
        var messages: [16]uffd.Message = undefined;
        const got = uffd.read(self.memory.uffd, &messages) catch |err| {
            if (!self.dsm.failed) self.broken("tell of faults on", err);
            return false;
        };
        for (got) |*fault| {
            assert(fault.event == uffd.event_pagefault);
            self.now_ns = linux.nowNs();
            const write = fault.flags & (uffd.flag_write | uffd.flag_wp) != 0;
            self.counters.add(if (write) .faults_write else .faults_read, 1);
            const page = self.memory.pageAt(fault.address);
            const slot = self.slotOf(fault.thread);
            if (self.waits.pageOf(slot) != page) {
                self.wait_since_ns[slot].store(self.now_ns, .monotonic);
            }
            self.waits.began(slot, page);
            self.note(page, if (write) .write_fault else .read_fault, slot);
            self.dsm.fault(self, page, if (write) .write else .read, slot, self.now_ns);
            // The request leaves before the next event is looked at.
            self.pollDirty();
        }
        return got.len > 0;
    }

    fn takeDatagrams(self: *Engine) bool {
        var any = false;
        defer self.pollDirty();
        for (1..datagrams_per_turn + 1) |number| {
            const next = udp.receive(self.socket, self.buffer) catch {
                self.takeErrors();
                continue;
            };
            const got = next orelse break;
            any = true;
            // A turn may take longer than a round trip, and what is measured must not say so.
            self.now_ns = linux.nowNs();
            const peer = self.gate.admit(&got.from, got.bytes) orelse continue;
            const link = &self.links[peer].?;
            var receiver: Receiver = .{ .engine = self, .from = peer };
            link.receive(got.bytes, self.now_ns, &receiver);
            // An acknowledgement may have made room for what waits: else that would stay until the
            // next heartbeat.
            self.dirty |= @as(u64, 1) << @intCast(peer);
            // What answers several of them leaves together, but soon.
            if (number % datagrams_per_answer == 0) self.pollDirty();
        }
        return any;
    }

    fn pollDirty(self: *Engine) void {
        while (self.dirty != 0) {
            const peer: u6 = @intCast(@ctz(self.dirty));
            self.dirty &= self.dirty - 1;
            self.pollLink(peer);
        }
    }

    fn pollLink(self: *Engine, peer: u8) void {
        var sender: Sender = .{ .engine = self, .to = peer };
        self.links[peer].?.poll(self.now_ns, &sender);
    }

    fn pollLinks(self: *Engine) void {
        self.pollDirty();
        for (self.links, 0..) |*link, peer| if (link.*) |*l| {
            if (l.deadline().? <= self.now_ns) self.pollLink(@intCast(peer));
        };
    }

    /// Until something is to be done; returns where to look for it.
    fn sleep(self: *Engine) Sources {
        // From here on senders ring; what was queued before is seen by the last look.
        self.fabric.awake.store(0, .seq_cst);
        if (self.look(.none)) return .all;
        var at: u64 = self.watch.next_ns;
        if (self.dsm.deadline()) |t| at = @min(at, t);
        if (self.reclaim.deadline()) |t| at = @min(at, t);
        for (self.links) |*link| if (link.*) |*l| {
            at = @min(at, l.deadline().?);
        };
        var ready: [4]os.epoll_event = undefined;
        const count = linux.epollWait(self.epoll, &ready, self.now_ns, at);
        // A signal, a deadline, or a kernel that refuses.
        var sources: Sources = if (count == 0) .all else .none;
        for (ready[0..count]) |*event| switch (event.data.u64) {
            tag_uffd => sources.faults = true,
            tag_udp => sources.datagrams = true,
            else => {
                var value: u64 = 0;
                _ = kernel.call(.read, .{ self.fabric.event, &value, 8 });
            },
        };
        if (self.config.spin_ns > 0) self.fabric.awake.store(1, .seq_cst);
        return sources;
    }

    fn watchPeers(self: *Engine) void {
        inspect.expire(self);
        self.takeErrors();
        self.watch.look(self.links, self.now_ns, self.events);
        // Who is told of it may itself wait for room on the way to that peer.
        if (self.watch.reported != 0 or self.ended) self.fabric.end();
        self.publish();
    }

    fn takeErrors(self: *Engine) void {
        self.watch.takeErrors(self.socket, self.addresses, self.links, self.events);
    }

    fn publish(self: *Engine) void {
        totals.network(self.counters, &self.gate, self.links);
        totals.coherence(self.counters, &self.dsm);
        totals.memory(self.counters, &self.memory, &self.reclaim);
    }

    fn takes(self: *Engine, to: m.NodeId) bool {
        return self.links[to].?.room() > limits.link_messages - limits.fabric_messages;
    }

    /// What local threads have queued leaves before what the engine sends next, as far as there is
    /// room. Engine thread.
    pub fn forwardQueued(self: *Engine) void {
        _ = self.fabric.drain(self, takes, forward);
    }

    fn forward(self: *Engine, item: *const Item) void {
        assert(item.to != self.config.node);
        self.enqueue(item.to, item.class, item.key, item.slice());
    }

    fn enqueue(self: *Engine, to: m.NodeId, class: m.Class, key: u64, encoded: []const u8) void {
        const link = &self.links[to].?;
        link.send(class, key, encoded, self.now_ns) catch
            // The peer asked for more than it may, or never acknowledges.
            return self.fatal("a peer takes nothing of what it asks for");
        self.dirty |= @as(u64, 1) << @intCast(to);
    }

    // Effects of dsm/, in the order of its list.

    pub fn send(self: *Engine, to: m.NodeId, message: m.Message) void {
        var encoded: [codec.message_bytes_max]u8 = undefined;
        self.trace.add(self.now_ns, true, to, &message);
        self.history.message(self.now_ns, true, to, &message);
        self.enqueue(to, message.classOf(), message.orderKey(), codec.encode(&message, &encoded));
    }

    pub fn bytes(self: *Engine, page: m.Page) *const [limits.page_size]u8 {
        return self.memory.aliasPage(page);
    }

    pub fn install(self: *Engine, page: m.Page, content: *const [limits.page_size]u8) void {
        self.memory.aliasPage(page).* = content.*;
    }

    pub fn zero(self: *Engine, page: m.Page) void {
        @memset(self.memory.aliasPage(page), 0);
    }

    pub fn arrived(self: *Engine, page: m.Page, state: dsm_room.State) void {
        self.heat.add(page, state == .modified);
    }

    pub fn map(self: *Engine, page: m.Page, state: dsm_room.State) void {
        self.memory.map(page, state) catch |err| return self.broken("map", err);
        self.mapped(page, state);
    }

    pub fn mapRun(self: *Engine, first: m.Page, count: u32) void {
        self.memory.mapRun(first, count) catch |err| return self.broken("map", err);
        for (first..first + count) |page| self.mapped(@intCast(page), .modified);
    }

    fn mapped(self: *Engine, page: m.Page, state: dsm_room.State) void {
        self.waits.ended(self.vcpu_slots.load(.acquire), page, self, kickSlot);
        self.note(page, if (state == .modified) .modified else .shared, 0);
        inspect.mapped(self, page);
    }

    fn note(self: *Engine, page: m.Page, what: history_room.What, slot: u8) void {
        self.history.add(.{ .at_ns = self.now_ns, .page = page, .what = what, .peer = slot });
    }

    /// Any thread: the answer is an event with this id, or never comes from an engine that hangs.
    pub fn ask(self: *Engine, question: Question) error{Busy}!void {
        try self.desk.ask(question);
        self.fabric.wake();
    }

    fn kickSlot(self: *Engine, slot: usize) void {
        const tid = self.tids[slot].load(.acquire);
        if (tid != 0) linux.kickThread(tid);
    }

    pub fn protect(self: *Engine, page: m.Page) void {
        self.memory.protect(page) catch |err| self.broken("protect", err);
        self.note(page, .protected, 0);
    }

    pub fn drop(self: *Engine, page: m.Page) void {
        self.memory.drop(page) catch |err| self.broken("drop", err);
        self.note(page, .dropped, 0);
    }

    pub fn forget(self: *Engine, page: m.Page) void {
        self.memory.forget(page) catch |err| self.broken("forget", err);
    }

    fn broken(self: *Engine, what: []const u8, err: linux.Error) void {
        var text: [96]u8 = undefined;
        const format = "the kernel refused to {s} a page: {t}";
        self.fatal(std.fmt.bufPrint(&text, format, .{ what, err }) catch what);
    }

    /// Freezes: no waiter is woken on an unresolved page, so nothing is invented.
    pub fn fatal(self: *Engine, reason: []const u8) void {
        self.dsm.failed = true;
        if (self.ended) return;
        self.ended = true;
        // Before the trace, whose reader may be slow: the others shall hear why, not that this
        // engine is silent.
        self.events.text(.engine_error, 0, reason);
        self.trace.dump(self.config.node);
    }
};

const Receiver = struct {
    engine: *Engine,
    from: m.NodeId,

    pub fn deliver(self: *Receiver, encoded: []const u8) void {
        const engine = self.engine;
        if (engine.ended) return;
        const message = codec.decode(encoded) catch
            return engine.fatal("a peer sent a message that cannot be read");
        engine.trace.add(engine.now_ns, false, self.from, &message);
        engine.history.message(engine.now_ns, false, self.from, &message);
        if (message.isCoherence()) {
            engine.dsm.receive(engine, self.from, message, engine.now_ns);
        } else if (engine.handler) |handler| {
            handler.message(handler.context, self.from, &message);
        }
    }
};

const Sender = struct {
    engine: *Engine,
    to: m.NodeId,

    pub fn transmit(self: *Sender, datagram: []const u8) void {
        const engine = self.engine;
        const to = &engine.addresses[self.to];
        udp.send(engine.socket, to, datagram) catch |err| switch (err) {
            // Of an earlier datagram, maybe to another peer; this one was not sent. While the error
            // is not taken from its queue, the socket lets nobody sleep.
            error.Refused, error.Unexpected => {
                engine.takeErrors();
                udp.send(engine.socket, to, datagram) catch {};
            },
            // A full socket buffer is a lost datagram; the link sends it again.
            else => {},
        };
    }
};
