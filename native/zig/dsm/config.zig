//! What a node's Dsm is told at its start, and what it counts.

const limits = @import("../limits.zig");
const m = @import("../wire/message.zig");
const gather = @import("gather.zig");
const Guards = @import("guards.zig").Guards;

pub const Config = struct {
    node: m.NodeId,
    /// Pages of each node's share, in node order; their sum is the guest's RAM.
    shares: []const u32,
    guards: Guards = .{},
    gathers: gather.Options = .{},
    elide: Elide = .{},
    /// Requests and Puts one node may have outstanding: R and P, the same on all nodes. One request
    /// is kept for each thread.
    requests: u32 = limits.requests_max,
    /// Requests for other pages of gangs and for what is fetched ahead, beside these; 0 switches
    /// both off, and with them what is granted ahead.
    gang_requests: u32 = limits.gang_requests_max,
    puts: u32 = limits.puts_max,
    /// Messages to itself within one step; faults that wait for credit. Small worlds need fewer.
    inbox: u32 = limits.inbox_max,
    parked: u32 = limits.parked_max,
    threads: u16 = limits.threads_max,
};

/// Answers of a home that need no bytes; each can be off, to be measured.
pub const Elide = packed struct {
    /// A page nobody ever wrote is zero.
    zero: bool = true,
    /// The requester still has the bytes of this version.
    same: bool = true,
};

pub const Stats = struct {
    requests: u64 = 0,
    /// Of them: pages of a gang that nobody had faulted on yet.
    ganged: u64 = 0,
    /// And those behind a page that a thread walked to.
    ahead: u64 = 0,
    /// Of these: the right to write what may be read.
    ahead_upgrades: u64 = 0,
    /// Faults that were granted without a message.
    local: u64 = 0,
    /// Pages granted ahead of such faults.
    touched_ahead: u64 = 0,
    completed: u64 = 0,
    completed_ns: u64 = 0,
    /// Those of them that a thread waited for, and for how long, by what they were (abi.zig).
    stalls_fresh: u64 = 0,
    stalls_fresh_ns: u64 = 0,
    stalls_again: u64 = 0,
    stalls_again_ns: u64 = 0,
    stalls_ganged: u64 = 0,
    stalls_ganged_ns: u64 = 0,
    pages_received: u64 = 0,
    pages_sent: u64 = 0,
    invalidations: u64 = 0,
    /// Inv and Fwd that waited here for this node's own threads, and how long.
    deferred: u64 = 0,
    deferred_ns: u64 = 0,
    hurries: u64 = 0,
    evictions: u64 = 0,
    /// Answers that needed no bytes: the version was equal, or the page untouched.
    elided: u64 = 0,
};
