//! Breadth-first search over all states of a world that runs production code. Of a state only the
//! fingerprint, the event it was first reached by and its successors are kept; the state itself is
//! made again by repeating events. States are expanded in the order they were found, so the next
//! one shares nearly all of its path with the last one and only few events are repeated.
//!
//! A world gives:
//!     imageBytes, save, restore        the whole state as bytes
//!     restoreAfter(image, event)       the same, where only `event` happened since save
//!     events(buffer)                   what may happen now
//!     classOf(event)
//!     apply(event)                     false: this was no event at all
//!     pointless(event)                 the event need not be looked at (pages.zig)
//!     fingerprint()                    equal for states that behave alike
//!     atRest()                         nothing is under way; checks what must hold then

const std = @import("std");
const Chunks = @import("chunks.zig").Chunks;
const assert = std.debug.assert;

/// One event, as a world packs it.
pub const Code = u16;

/// `start`: a node begins something new. `timed`: a clock went on for it. `prompt`: all others.
pub const Class = enum(u2) { prompt = 0, start = 1, timed = 2 };

/// How many edges of each class leave a state, and what the state is.
pub const Fan = packed struct(u32) {
    prompt: u10 = 0,
    start: u10 = 0,
    timed: u10 = 0,
    rest: bool = false,
    _: u1 = 0,

    pub fn total(self: Fan) usize {
        return @as(usize, self.prompt) + self.start + self.timed;
    }
};

/// Events of one state.
const fan_max = 512;

pub const Bound = struct {
    states: usize = std.math.maxInt(u32) - 1,
    bytes: usize = 4 << 30,
    /// Asked now and then whether time is up.
    late: ?*const fn () bool = null,
    /// Told each level that was looked at completely.
    level: ?*const fn (depth: u32, states: usize) void = null,

    fn reached(self: *const Bound, index: usize, states: usize, bytes: usize) bool {
        if (states >= self.states or bytes >= self.bytes) return true;
        const late = self.late orelse return false;
        return index & 0xfff == 0 and late();
    }
};

pub fn Graph(comptime World: type) type {
    return struct {
        allocator: std.mem.Allocator,
        world: *World,
        fingerprints: Chunks(u64) = .{},
        parents: Chunks(u32) = .{},
        causes: Chunks(Code) = .{},
        fans: Chunks(Fan) = .{},
        edges: Chunks(u32) = .{},
        table: []u32,
        /// Images along the path to the state looked at, and the indices of its states.
        images: std.ArrayList([]u8) = .empty,
        path: std.ArrayList(u32) = .empty,
        /// Where the path to an index is collected.
        climb: std.ArrayList(u32) = .empty,
        depth: u32 = 0,
        /// Events of the state looked at, and where they lead by class: fresh memory for each
        /// state would be filled first.
        buffer: [fan_max]Code = undefined,
        next: [3][fan_max]u32 = undefined,
        /// What is being tried, for whoever must say where an assertion failed.
        trying: struct { state: u32 = 0, event: ?Code = null } = .{},

        const Self = @This();
        const none: u32 = std.math.maxInt(u32);

        pub const Found = struct { failure: World.Failure, state: u32, event: ?Code };
        pub const Outcome = union(enum) { complete, bounded, found: Found };

        pub fn init(allocator: std.mem.Allocator, world: *World) !Self {
            const table = try allocator.alloc(u32, 1 << 12);
            @memset(table, none);
            return .{ .allocator = allocator, .world = world, .table = table };
        }

        pub fn deinit(self: *Self) void {
            const a = self.allocator;
            self.fingerprints.deinit(a);
            self.parents.deinit(a);
            self.causes.deinit(a);
            self.fans.deinit(a);
            self.edges.deinit(a);
            for (self.images.items) |image| a.free(image);
            self.images.deinit(a);
            self.path.deinit(a);
            self.climb.deinit(a);
            a.free(self.table);
        }

        /// Looks at every state reachable from the world's present one, or stops at the bound: then
        /// `depth` is the last one looked at completely.
        pub fn explore(self: *Self, bound: Bound) !Outcome {
            assert(self.fans.length == 0);
            try self.keep(0);
            _ = try self.intern(self.world.fingerprint(), none, 0);
            try self.path.append(self.allocator, 0);
            var level_end: usize = 1;
            for (0..std.math.maxInt(u32)) |index| {
                const states = self.fingerprints.length;
                if (index == states) return .complete;
                if (index == level_end) {
                    if (bound.level) |tell| tell(self.depth, states);
                    self.depth += 1;
                    level_end = states;
                }
                if (bound.reached(index, states, self.bytes())) {
                    self.depth -|= 1;
                    return .bounded;
                }
                try self.descend(@intCast(index), self.depth);
                if (try self.expand(@intCast(index))) |found| return .{ .found = found };
            }
            unreachable;
        }

        /// Everything that can happen in the state the world is in.
        fn expand(self: *Self, index: u32) !?Found {
            var counts: [3]u10 = @splat(0);
            const here = self.images.items[self.path.items.len - 1];
            self.trying = .{ .state = index };
            var fan: Fan = .{};
            fan.rest = self.world.atRest() catch |err|
                return .{ .failure = err, .state = index, .event = null };
            for (self.world.events(&self.buffer)) |event| {
                self.trying.event = event;
                const took = self.world.apply(event) catch |err|
                    return .{ .failure = err, .state = index, .event = event };
                if (took) {
                    const print = self.world.fingerprint();
                    if (!self.world.pointless(event, print)) {
                        const class = @intFromEnum(World.classOf(event));
                        self.next[class][counts[class]] = try self.intern(print, index, event);
                        counts[class] += 1;
                    }
                }
                self.world.restoreAfter(here, event);
            }
            for (&self.next, counts) |list, count| {
                for (list[0..count]) |to| try self.edges.append(self.allocator, to);
            }
            fan.prompt, fan.start, fan.timed = counts;
            try self.fans.append(self.allocator, fan);
            return null;
        }

        /// Brings the world into a state.
        pub fn go(self: *Self, index: u32) !void {
            return self.descend(index, self.depthOf(index));
        }

        /// Back to where the paths to the last state and to this one part, then forward.
        fn descend(self: *Self, index: u32, deep: usize) !void {
            self.climb.clearRetainingCapacity();
            var at = index;
            while (deep - self.climb.items.len >= self.path.items.len or
                self.path.items[deep - self.climb.items.len] != at)
            {
                try self.climb.append(self.allocator, at);
                at = self.parents.at(at).*;
            }
            const common = deep - self.climb.items.len;
            self.path.shrinkRetainingCapacity(common + 1);
            self.world.restore(self.images.items[common]);
            var left = self.climb.items.len;
            while (left > 0) : (left -= 1) {
                const next = self.climb.items[left - 1];
                const took = self.world.apply(self.causes.at(next).*) catch unreachable;
                assert(took);
                try self.path.append(self.allocator, next);
                try self.keep(self.path.items.len - 1);
            }
        }

        fn depthOf(self: *const Self, index: u32) usize {
            var depth: usize = 0;
            var at = self.parents.at(index).*;
            while (at != none) : (at = self.parents.at(at).*) depth += 1;
            return depth;
        }

        fn keep(self: *Self, depth: usize) !void {
            if (depth == self.images.items.len) {
                const fresh = try self.allocator.alloc(u8, self.world.imageBytes());
                errdefer self.allocator.free(fresh);
                try self.images.append(self.allocator, fresh);
            }
            self.world.save(self.images.items[depth]);
        }

        /// The events from the start to a state, oldest first.
        pub fn trail(self: *const Self, allocator: std.mem.Allocator, index: u32) ![]Code {
            const codes = try allocator.alloc(Code, self.depthOf(index));
            var at = index;
            var left = codes.len;
            while (left > 0) : (left -= 1) {
                codes[left - 1] = self.causes.at(at).*;
                at = self.parents.at(at).*;
            }
            return codes;
        }

        fn intern(self: *Self, print: u64, parent: u32, cause: Code) !u32 {
            if (self.fingerprints.length * 4 >= self.table.len * 3) try self.grow();
            const slot = self.find(print);
            if (slot.* != none) return slot.*;
            slot.* = @intCast(self.fingerprints.length);
            try self.fingerprints.append(self.allocator, print);
            try self.parents.append(self.allocator, parent);
            try self.causes.append(self.allocator, cause);
            return slot.*;
        }

        fn find(self: *Self, print: u64) *u32 {
            var at = print & (self.table.len - 1);
            while (true) : (at = (at + 1) & (self.table.len - 1)) {
                const slot = &self.table[at];
                if (slot.* == none or self.fingerprints.at(slot.*).* == print) return slot;
            }
        }

        fn grow(self: *Self) !void {
            const larger = try self.allocator.alloc(u32, self.table.len * 2);
            self.allocator.free(self.table);
            self.table = larger;
            @memset(larger, none);
            for (0..self.fingerprints.length) |index| {
                self.find(self.fingerprints.at(index).*).* = @intCast(index);
            }
        }

        pub fn bytes(self: *const Self) usize {
            return self.fingerprints.bytes() + self.parents.bytes() + self.causes.bytes() +
                self.fans.bytes() + self.edges.bytes() + self.table.len * @sizeOf(u32);
        }
    };
}
