//! Page coherence of one node: a home-directory protocol after Ivy (Li and Hudak, 1989), one writer
//! or many readers per 4 KiB page, so the guest sees sequential consistency and with it x86-TSO.
//!
//! Pure: faults, messages and `now_ns` go in; a host executes the effects at once and in order:
//!     host.send(to, message)      to another node; bytes may alias host.bytes(page)
//!     host.bytes(page)            the page's bytes through the alias mapping
//!     host.install(page, bytes)   writes them there, host.zero(page) zeros; it is not mapped then
//!     host.arrived(page, state)   a request of this node has been fulfilled
//!     host.map(page, state)       maps for the guest and wakes whoever waits
//!     host.mapRun(page, count)    the same of pages that nobody has ever used, to be written
//!     host.protect(page)          write -> read; no store lands after it returns
//!     host.drop(page)             unmaps; no access lands after it returns
//!     host.forget(page)           its bytes are needed no more; it is not mapped
//!     host.fatal(reason)          an invariant is broken: the whole VM must stop
//!
//! Three roles, three files: requester.zig wants pages, home.zig keeps the directory, holder.zig
//! gives pages up. Progress: gather.zig; fewer waits: gang.zig, ahead.zig. Why: docs/coherence.md.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const admit = @import("admit.zig");
const ahead = @import("ahead.zig");
const config_room = @import("config.zig");
const Credit = @import("credit.zig").Credit;
const gang = @import("gang.zig");
const gather = @import("gather.zig");
const holder = @import("holder.zig");
const home = @import("home.zig");
const local_room = @import("local.zig");
const queue_room = @import("queue.zig");
const PageMap = @import("page_map.zig").PageMap;
const requester = @import("requester.zig");
const Shares = @import("shares.zig").Shares;
const assert = std.debug.assert;

pub const State = local_room.State;
pub const Guards = @import("guards.zig").Guards;
pub const Config = config_room.Config;
pub const Stats = config_room.Stats;

pub const Dsm = struct {
    node: m.NodeId,
    nodes: u8,
    guards: Guards,
    elide: config_room.Elide,
    shares: Shares,
    local: []local_room.Local,
    entries: []home.Entry,
    busy: PageMap(home.Busy),
    queue: queue_room.Queue,
    /// Requests for which the busy table has no place yet.
    unplaced: u32 = queue_room.none,
    pending: PageMap(requester.Pending),
    deferred: PageMap(holder.Deferred),
    evicting: PageMap(holder.Evicting),
    parked: PageMap(requester.Parked),
    credit: Credit,
    gathers: gather.Gathers,
    gangs: []gang.Gang,
    walks: []ahead.Thread,
    inbox: []m.Message,
    inbox_head: u32 = 0,
    inbox_length: u32 = 0,
    next_tx: u64 = 1,
    /// No deferral any more: the VM is stopping.
    quiet: bool = false,
    failed: bool = false,
    now_ns: u64 = 0,
    stats: Stats = .{},

    pub fn init(allocator: std.mem.Allocator, config: Config) !Dsm {
        const nodes = config.shares.len;
        assert(nodes >= 1 and nodes <= limits.nodes_max and config.node < nodes);
        const shares: Shares = .init(config.shares);
        const requests = config.requests + config.gang_requests;
        // Each node's R requests and P Puts may all be for pages of this home.
        const table: u32 = @intCast(nodes * (requests + config.puts));
        const local = try local_room.alloc(shares.pages());
        errdefer local_room.free(local);
        const entries = try std.heap.page_allocator.alloc(home.Entry, config.shares[config.node]);
        errdefer std.heap.page_allocator.free(entries);
        @memset(entries, .{});
        return .{
            .node = config.node,
            .nodes = @intCast(nodes),
            .guards = config.guards,
            .elide = config.elide,
            .shares = shares,
            .local = local,
            .entries = entries,
            .busy = try .init(allocator, table),
            .queue = try .init(allocator, table),
            .pending = try .init(allocator, requests),
            .deferred = try .init(allocator, table),
            .evicting = try .init(allocator, config.puts),
            .credit = .init(&config),
            .parked = try .init(allocator, config.parked),
            .gathers = try .init(allocator, config.node, config.threads, config.gathers),
            .gangs = try gang.alloc(allocator, config.threads),
            .walks = try ahead.alloc(allocator, config.threads),
            .inbox = try allocator.alloc(m.Message, config.inbox),
        };
    }

    pub fn deinit(self: *Dsm, allocator: std.mem.Allocator) void {
        self.busy.deinit(allocator);
        self.queue.deinit(allocator);
        self.pending.deinit(allocator);
        self.deferred.deinit(allocator);
        self.evicting.deinit(allocator);
        self.parked.deinit(allocator);
        self.gathers.deinit(allocator);
        allocator.free(self.gangs);
        allocator.free(self.walks);
        allocator.free(self.inbox);
        local_room.free(self.local);
        std.heap.page_allocator.free(self.entries);
    }

    pub fn state(self: *const Dsm, page: m.Page) State {
        return self.local[page].state;
    }

    /// The node whose memory holds the page.
    pub fn homeOf(self: *const Dsm, page: m.Page) m.NodeId {
        assert(page < self.local.len);
        return self.shares.homeOf(page);
    }

    /// Thread `thread` of this node faulted; repeated events are normal.
    pub fn fault(
        self: *Dsm,
        host: anytype,
        page: m.Page,
        access: m.Access,
        thread: u8,
        now_ns: u64,
    ) void {
        if (self.failed) return;
        self.now_ns = now_ns;
        requester.fault(self, host, page, access, thread, now_ns);
        self.drain(host);
    }

    /// A message of another node, exactly once, in the order of its page. It is not believed: what
    /// no correct node says (admit.zig, refuse) ends the VM.
    pub fn receive(
        self: *Dsm,
        host: anytype,
        from: m.NodeId,
        message: m.Message,
        now_ns: u64,
    ) void {
        if (self.failed) return;
        assert(from < self.nodes and from != self.node);
        self.now_ns = now_ns;
        if (admit.objection(self, from, &message)) |reason| return self.fail(host, reason);
        self.handle(host, from, &message);
        self.drain(host);
    }

    /// To be called at deadline().
    pub fn tick(self: *Dsm, host: anytype, now_ns: u64) void {
        if (self.failed) return;
        self.now_ns = now_ns;
        holder.tick(self, host, now_ns);
        self.drain(host);
    }

    /// Null after a failure, too, when nothing is given away any more.
    pub fn deadline(self: *const Dsm) ?u64 {
        return if (self.failed) null else self.gathers.deadline();
    }

    /// Gives a page of another home back; false when it may not leave now.
    pub fn evict(self: *Dsm, host: anytype, page: m.Page, now_ns: u64) bool {
        if (self.failed) return false;
        self.now_ns = now_ns;
        defer self.drain(host);
        return holder.evict(self, host, page, now_ns);
    }

    /// The thread needs its pages no longer (a device that has copied): no residency for them.
    /// What waits for them leaves with the next tick, which is due at once.
    pub fn endGather(self: *Dsm, thread: u8, now_ns: u64) void {
        self.gathers.end(thread, now_ns);
    }

    /// Ends all deferral: what others wait for leaves now.
    pub fn hush(self: *Dsm, host: anytype, now_ns: u64) void {
        self.quiet = true;
        self.tick(host, now_ns);
    }

    /// Nothing of this node is under way: no request, no busy page, no deferral.
    pub fn idle(self: *const Dsm) bool {
        return self.pending.length == 0 and self.busy.length == 0 and
            self.deferred.length == 0 and self.evicting.length == 0 and self.parked.length == 0;
    }

    // What follows serves the three roles.

    pub fn entryOf(self: *Dsm, page: m.Page) *home.Entry {
        assert(self.homeOf(page) == self.node);
        return &self.entries[page - self.shares.starts[self.node]];
    }

    pub fn newTx(self: *Dsm) m.Tx {
        defer self.next_tx += 1;
        return @as(u64, self.node) << 56 | self.next_tx;
    }

    /// To another node at once; to this one after the current step, so that no role is re-entered.
    pub fn dispatch(self: *Dsm, host: anytype, to: m.NodeId, message: m.Message) void {
        // The step that failed may be in the middle of several: nothing of it leaves any more.
        if (self.failed) return;
        switch (message) {
            .data => |d| if (to != self.node) {
                if (d.content == .bytes) self.stats.pages_sent += 1 else self.stats.elided += 1;
            },
            .inv => self.stats.invalidations += 1,
            .hurry => self.stats.hurries += 1,
            .put => self.stats.evictions += 1,
            else => {},
        }
        if (to != self.node) return host.send(to, message);
        assert(self.inbox_length < self.inbox.len);
        self.inbox[(self.inbox_head + self.inbox_length) % self.inbox.len] = message;
        self.inbox_length += 1;
    }

    /// Bytes of somebody else for a page that is not mapped here; failed afterwards if it is.
    pub fn takeContent(
        self: *Dsm,
        host: anytype,
        page: m.Page,
        content: m.Content,
        bytes: []const u8,
    ) void {
        if (content != .same and self.local[page].state != .invalid) {
            return self.fail(host, "bytes for a page that is mapped");
        }
        switch (content) {
            .zero => host.zero(page),
            .same => {},
            .bytes => host.install(page, bytes[0..limits.page_size]),
        }
    }

    pub fn fail(self: *Dsm, host: anytype, reason: []const u8) void {
        if (self.failed) return;
        self.failed = true;
        host.fatal(reason);
    }

    /// A message that no run of the whole protocol produces. With a rule switched off such messages
    /// are the point of the test: then the checkers must notice, not this line.
    pub fn refuse(self: *Dsm, host: anytype, reason: []const u8) void {
        if (self.guards.allOn()) self.fail(host, reason);
    }

    fn drain(self: *Dsm, host: anytype) void {
        while (self.inbox_length > 0 and !self.failed) {
            const message = self.inbox[self.inbox_head];
            self.inbox_head = @intCast((self.inbox_head + 1) % self.inbox.len);
            self.inbox_length -= 1;
            self.handle(host, self.node, &message);
        }
    }

    fn handle(self: *Dsm, host: anytype, from: m.NodeId, message: *const m.Message) void {
        switch (message.*) {
            .get => |get| {
                self.gathers.observe(get.age);
                home.onGet(self, host, from, get);
            },
            .fwd => |fwd| holder.onFwd(self, host, fwd, self.now_ns),
            .data => |data| requester.onData(self, host, data, self.now_ns),
            .write_back => |w| home.onWriteBack(self, host, from, w),
            .inv => |inv| holder.onInv(self, host, inv, self.now_ns),
            .inv_ack => |ack| requester.onInvAck(self, host, from, ack, self.now_ns),
            .hurry => |h| self.onHurry(host, from, h, self.now_ns),
            .done => |done| home.onDone(self, host, from, done),
            .put => |put| home.onPut(self, host, from, put),
            .put_ack => |ack| holder.onPutAck(self, host, ack, self.now_ns),
            .ipi, .apic_state, .apic_ack, .eoi, .io_request, .io_reply => unreachable,
        }
    }

    /// One kind for two ways: a requester tells the home, the home tells the holders. At the home
    /// the transaction's node tells which: a home that holds the page gets its own Hurry here too.
    fn onHurry(self: *Dsm, host: anytype, from: m.NodeId, h: m.Hurry, now_ns: u64) void {
        self.gathers.observe(h.age);
        const home_here = self.homeOf(h.page) == self.node;
        if (home_here and from == h.tx >> 56) home.onHurry(self, host, h);
        holder.onHurry(self, host, h, now_ns);
    }
};
