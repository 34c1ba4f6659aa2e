//! What the simulated memory must be: the last value stored to each page, and who may use it. Looked
//! at after everything a step touched, so a lost store or a second writer shows in the step it happens.

const std = @import("std");
const State = @import("../dsm/dsm.zig").State;

pub const Failure = error{
    SecondWriter,
    ReaderBesideWriter,
    StaleCopy,
    LostStore,
    InstalledUnderMapping,
    Fatal,
    Stalled,
};

pub const nodes_max = 8;

/// The truth, by an observer who sees all nodes at once.
pub const Truth = struct {
    values: []u64,
    mapped: [nodes_max][]State,
    nodes: usize,

    pub fn init(allocator: std.mem.Allocator, nodes: usize, pages: usize) !Truth {
        var self: Truth = .{
            .values = try allocator.alloc(u64, pages),
            .mapped = undefined,
            .nodes = nodes,
        };
        @memset(self.values, 0);
        for (self.mapped[0..nodes]) |*states| {
            states.* = try allocator.alloc(State, pages);
            @memset(states.*, .invalid);
        }
        return self;
    }

    pub fn deinit(self: *Truth, allocator: std.mem.Allocator) void {
        for (self.mapped[0..self.nodes]) |states| allocator.free(states);
        allocator.free(self.values);
    }

    /// A node's guest mapping of a page changes to `state`, with these bytes behind it.
    pub fn map(self: *Truth, node: usize, page: u32, state: State, value: u64) Failure!void {
        for (self.mapped[0..self.nodes], 0..) |states, other| {
            if (other == node) continue;
            if (states[page] == .modified) return error.ReaderBesideWriter;
            if (state == .modified and states[page] != .invalid) return error.SecondWriter;
        }
        if (value != self.values[page]) return error.StaleCopy;
        self.mapped[node][page] = state;
    }

    pub fn load(self: *const Truth, page: u32, value: u64) Failure!void {
        if (value != self.values[page]) return error.LostStore;
    }

    pub fn store(self: *Truth, page: u32, value: u64) void {
        self.values[page] = value;
    }
};
