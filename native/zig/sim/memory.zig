//! What the simulated memory must be: the last value stored to each page, and who may use it.
//! Looked at after everything a step touched, so a lost store or a second writer shows in the step
//! it happens.

const std = @import("std");
const State = @import("../dsm/dsm.zig").State;

pub const Failure = error{
    SecondWriter,
    ReaderBesideWriter,
    StaleCopy,
    TornPage,
    StoreWithoutRight,
    InstalledUnderMapping,
    ForgottenUnderMapping,
    UsedInRun,
    ProtectedUnmapped,
    /// The mapping is not what the node's Dsm believes.
    StateDiffers,
    /// After everything ended, a home does not know who holds what.
    DirectoryWrong,
    Fatal,
    Stalled,
    /// A request was overtaken by more others than ages allow.
    Starved,
};

pub const nodes_max = 64;
pub const Bytes = [4096]u8;

/// The truth, by an observer who sees all nodes at once.
pub const Truth = struct {
    /// The last value stored to each page.
    values: []u64,
    /// How often each page was mapped for a node.
    grants: []u64,
    /// The guest mapping of each node, and the bytes behind it.
    mapped: [nodes_max][]State,
    bytes: [nodes_max][]Bytes,
    nodes: usize,

    pub fn init(allocator: std.mem.Allocator, nodes: usize, pages: usize) !Truth {
        var self: Truth = .{
            .values = try allocator.alloc(u64, pages),
            .grants = try allocator.alloc(u64, pages),
            .mapped = undefined,
            .bytes = undefined,
            .nodes = nodes,
        };
        @memset(self.values, 0);
        @memset(self.grants, 0);
        for (self.mapped[0..nodes], self.bytes[0..nodes]) |*states, *bytes| {
            states.* = try allocator.alloc(State, pages);
            @memset(states.*, .invalid);
            bytes.* = try allocator.alloc(Bytes, pages);
            @memset(std.mem.sliceAsBytes(bytes.*), 0);
        }
        return self;
    }

    pub fn deinit(self: *Truth, allocator: std.mem.Allocator) void {
        for (self.mapped[0..self.nodes], self.bytes[0..self.nodes]) |states, bytes| {
            allocator.free(states);
            allocator.free(bytes);
        }
        allocator.free(self.values);
        allocator.free(self.grants);
    }

    /// At most one writer, no reader beside it, every copy equal to the last store. `held` is what
    /// each node believes to have, all of it mapped or a part.
    pub fn check(self: *const Truth, page: u32, held: []const State) Failure!void {
        var writers: u32 = 0;
        var readers: u32 = 0;
        for (held, self.bytes[0..self.nodes]) |state, bytes| {
            switch (state) {
                .invalid => continue,
                .shared => readers += 1,
                .modified => writers += 1,
            }
            if (try valueOf(&bytes[page]) != self.values[page]) return error.StaleCopy;
        }
        if (writers > 1) return error.SecondWriter;
        if (writers == 1 and readers > 0) return error.ReaderBesideWriter;
    }

    /// A load by a node: the last completed store, whoever made it.
    pub fn load(self: *const Truth, node: usize, page: u32) Failure!void {
        std.debug.assert(self.mapped[node][page] != .invalid);
        if (try valueOf(&self.bytes[node][page]) != self.values[page]) return error.StaleCopy;
    }

    /// A store by a node, with what it read before as its ground.
    pub fn store(self: *Truth, node: usize, page: u32) Failure!void {
        if (self.mapped[node][page] != .modified) return error.StoreWithoutRight;
        self.values[page] += 1;
        setValue(&self.bytes[node][page], self.values[page]);
    }
};

/// A copy of what valueOf reads; nothing else of a simulated page is ever looked at.
pub fn copy(to: *Bytes, from: *const Bytes) void {
    to[0..8].* = from[0..8].*;
    to[4088..4096].* = from[4088..4096].*;
}

/// The value stands at both ends of the page, so a torn page shows.
pub fn valueOf(bytes: *const Bytes) Failure!u64 {
    const first = std.mem.readInt(u64, bytes[0..8], .little);
    const last = std.mem.readInt(u64, bytes[4088..4096], .little);
    return if (first == last) first else error.TornPage;
}

fn setValue(bytes: *Bytes, value: u64) void {
    std.mem.writeInt(u64, bytes[0..8], value, .little);
    std.mem.writeInt(u64, bytes[4088..4096], value, .little);
}
