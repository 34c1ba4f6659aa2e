//! One node's coherence among peers that say anything: node 1 of 3, with its own threads faulting
//! and pages being evicted meanwhile, and tables so small that they fill. Whatever comes is obeyed,
//! ignored, or ends the VM by one sentence; after that sentence nothing is mapped or told any more.

const std = @import("std");
const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const Dsm = @import("../dsm/dsm.zig").Dsm;
const State = @import("../dsm/dsm.zig").State;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;
const Bytes = [limits.page_size]u8;
const node = 1;
const nodes = 3;
const share = 4;
const pages = nodes * share;
const threads = 2;
const recent_max = 16;

/// A transaction that was named lately: what comes may fit it.
const Recent = struct { tx: m.Tx, page: m.Page };

pub const Host = struct {
    node: m.NodeId = node,
    nodes: u8 = nodes,
    memory: [pages]Bytes = @splat(@splat(0)),
    mapped: [pages]State = @splat(.invalid),
    recent: [recent_max]Recent = @splat(.{ .tx = 0, .page = 0 }),
    hand: usize = 0,
    reason: ?[]const u8 = null,
    failure: ?anyerror = null,

    fn require(self: *Host, ok: bool, err: anyerror) void {
        if (!ok and self.failure == null) self.failure = err;
    }

    fn note(self: *Host, tx: m.Tx, page: m.Page) void {
        self.recent[self.hand] = .{ .tx = tx, .page = page };
        self.hand = (self.hand + 1) % recent_max;
    }

    pub fn send(self: *Host, to: m.NodeId, message: m.Message) void {
        self.require(self.reason == null, error.SentAfterTheEnd);
        self.require(to < self.nodes and to != self.node, error.SentToNobody);
        switch (message) {
            .ipi, .apic_state, .apic_ack, .eoi, .io_request, .io_reply => unreachable,
            inline else => |body| self.note(body.tx, body.page),
        }
    }

    pub fn bytes(self: *Host, page: m.Page) *const Bytes {
        return &self.memory[page];
    }

    pub fn install(self: *Host, page: m.Page, content: *const Bytes) void {
        self.require(self.mapped[page] == .invalid, error.InstalledUnderMapping);
        self.memory[page] = content.*;
    }

    pub fn zero(self: *Host, page: m.Page) void {
        self.require(self.mapped[page] == .invalid, error.InstalledUnderMapping);
        self.memory[page] = @splat(0);
    }

    pub fn arrived(_: *Host, _: m.Page, _: State) void {}

    pub fn map(self: *Host, page: m.Page, state: State) void {
        self.require(self.reason == null, error.MappedAfterTheEnd);
        self.require(state != .invalid, error.MappedAsNothing);
        self.mapped[page] = state;
    }

    pub fn mapRun(self: *Host, first: m.Page, count: u32) void {
        for (first..first + count) |page| self.map(@intCast(page), .modified);
    }

    pub fn protect(self: *Host, page: m.Page) void {
        // A page on trial is owned and not mapped, or mapped to be read.
        if (self.mapped[page] == .modified) self.mapped[page] = .shared;
    }

    pub fn drop(self: *Host, page: m.Page) void {
        self.mapped[page] = .invalid;
    }

    pub fn fatal(self: *Host, reason: []const u8) void {
        self.require(self.reason == null, error.EndedTwice);
        self.require(reason.len > 0, error.EndedWithoutReason);
        self.reason = reason;
    }
};

pub fn run(allocator: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    const host = try allocator.create(Host);
    defer allocator.destroy(host);
    host.* = .{};
    var dsm = try Dsm.init(allocator, .{
        .node = node,
        .shares = &(.{share} ** nodes),
        .requests = 4,
        .gang_requests = 2,
        .puts = 2,
        .inbox = 24,
        .parked = 8,
        .threads = threads,
    });
    defer dsm.deinit(allocator);
    var now_ns: u64 = 1_000_000;
    while (source.more() and host.reason == null) {
        now_ns += source.int(u16);
        step(&dsm, host, &source, now_ns);
        if (host.failure) |failure| return failure;
        for (host.mapped, 0..) |mapped, page| {
            try expect(dsm.failed or mapped == dsm.state(@intCast(page)));
        }
    }
    try expect(dsm.failed == (host.reason != null));
}

fn step(dsm: *Dsm, host: *Host, source: *Source, now_ns: u64) void {
    const page = source.below(pages);
    const thread = source.below(threads);
    switch (source.below(12)) {
        0, 1, 2 => dsm.fault(host, page, access(source), thread, now_ns),
        3 => dsm.tick(host, now_ns + source.int(u32)),
        4 => _ = dsm.evict(host, page, now_ns),
        5 => dsm.endGather(thread, now_ns),
        else => {
            const from: m.NodeId = if (source.boolean()) 0 else 2;
            dsm.receive(host, from, draw(host, source, from), now_ns);
        },
    }
}

fn access(source: *Source) m.Access {
    return if (source.boolean()) .write else .read;
}

const page_bytes: Bytes = @splat(0x5a);

const Drawn = struct {
    page: m.Page,
    tx: m.Tx,
    version: u64,
    age: u64,
    content: m.Content,
    bytes: []const u8,
    requester: m.NodeId,
    access: m.Access,
};

fn draw(host: *Host, source: *Source, from: m.NodeId) m.Message {
    const known = host.recent[source.below(recent_max)];
    const fits = source.below(4) != 0;
    const page: m.Page = if (fits) known.page else switch (source.below(8)) {
        0 => @truncate(source.wide()),
        else => source.below(pages),
    };
    const tx: m.Tx = if (fits) known.tx else switch (source.below(3)) {
        0 => source.wide(),
        else => @as(u64, from) << 56 | source.int(u8),
    };
    host.note(tx, page);
    const version = if (source.below(4) == 0) source.wide() else source.below(4);
    const age = if (source.below(4) == 0) source.wide() else @as(u64, source.int(u8)) << 16;
    const content: m.Content = @enumFromInt(source.below(3));
    const bytes: []const u8 = if (content == .bytes) &page_bytes else &.{};
    const odd = page_bytes[0 .. source.int(u16) % limits.page_size];
    const body = if (source.below(16) == 0) odd else bytes;
    const requester: m.NodeId = if (source.below(8) == 0) source.int(u8) else source.below(nodes);
    return messageOf(source, &.{
        .page = page,
        .tx = tx,
        .version = version,
        .age = age,
        .content = content,
        .bytes = body,
        .requester = requester,
        .access = access(source),
    });
}

fn messageOf(source: *Source, d: *const Drawn) m.Message {
    return switch (source.below(11)) {
        0 => .{ .get = .{
            .page = d.page,
            .tx = d.tx,
            .access = d.access,
            .version = d.version,
            .age = d.age,
        } },
        1 => .{ .fwd = .{
            .page = d.page,
            .tx = d.tx,
            .access = d.access,
            .requester = d.requester,
            .version = d.version,
            .next = d.version +| 1,
            .age = d.age,
        } },
        2 => .{ .data = .{
            .page = d.page,
            .tx = d.tx,
            .access = d.access,
            .version = d.version,
            .acks = if (source.below(4) == 0) source.wide() else 0,
            .content = d.content,
            .bytes = d.bytes,
        } },
        3 => .{ .write_back = .{
            .page = d.page,
            .tx = d.tx,
            .version = d.version,
            .content = d.content,
            .bytes = d.bytes,
        } },
        4 => .{ .inv = .{
            .page = d.page,
            .tx = d.tx,
            .requester = d.requester,
            .version = d.version,
            .age = d.age,
        } },
        5 => .{ .inv_ack = .{ .page = d.page, .tx = d.tx } },
        6 => .{ .hurry = .{ .page = d.page, .tx = d.tx, .age = d.age } },
        7 => .{ .done = .{ .page = d.page, .tx = d.tx } },
        8 => .{ .put = .{
            .page = d.page,
            .tx = d.tx,
            .version = d.version,
            .content = d.content,
            .bytes = d.bytes,
        } },
        9 => .{ .put_ack = .{ .page = d.page, .tx = d.tx } },
        else => .{ .eoi = .{ .vector = source.int(u8) } },
    };
}
