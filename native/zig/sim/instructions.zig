//! The simulated threads: each retires instructions that need up to k pages in one moment, some of
//! them for writing. It faults on the first page it lacks, sleeps until that is mapped and a wake
//! delay has passed, and starts the instruction again, as a processor does: every revocation in
//! between is a restart.

const std = @import("std");
const Options = @import("options.zig").Options;
const State = @import("../dsm/dsm.zig").State;

pub const Need = struct {
    page: u32,
    write: bool,

    pub fn met(self: Need, state: State) bool {
        return state == .modified or (state == .shared and !self.write);
    }
};

pub const Thread = struct {
    needs: []Need,
    count: u32 = 0,
    /// Instructions to retire.
    left: u32,
    /// The page it sleeps on in a fault, since when.
    waits_for: ?u32 = null,
    since_ns: u64 = 0,
    /// Grants of that page to anyone until then.
    since_grants: u64 = 0,
    /// When it looks at its instruction again.
    ready_ns: u64 = 0,

    /// A new instruction: from k_min to needs.len distinct pages, one behind the other for
    /// `walks`.
    pub fn draw(self: *Thread, random: std.Random, options: *const Options) void {
        const pages = options.pages;
        const most: u32 = @min(@as(u32, @intCast(self.needs.len)), pages);
        const wanted = random.intRangeAtMost(u32, @min(options.k_min, most), most);
        self.count = 0;
        // A walk with a random stride that shares no factor with the count: distinct pages, no
        // search.
        const start = random.uintLessThan(u32, pages);
        var stride = 1 + random.uintLessThan(u32, pages);
        while (std.math.gcd(stride, pages) != 1) stride += 1;
        if (options.walks) stride = 1;
        // Half of them as copies and sweeps are: all reads, or all writes.
        const same = options.walks and random.boolean();
        var write = random.uintLessThan(u8, 100) < options.write_percent;
        while (self.count < wanted) : (self.count += 1) {
            self.needs[self.count] = .{
                .page = @intCast((start + @as(u64, stride) * self.count) % pages),
                .write = write,
            };
            if (!same) write = random.uintLessThan(u8, 100) < options.write_percent;
        }
    }

    /// Stores to pages from the first one on, as a kernel does to memory that nobody has used yet.
    pub fn sweep(self: *Thread, first: u32, pages: u32) void {
        self.count = @min(@as(u32, @intCast(self.needs.len)), pages);
        for (self.needs[0..self.count], first..) |*need, page| {
            need.* = .{ .page = @intCast(page), .write = true };
        }
    }

    /// The first page the instruction lacks; null when it can retire.
    pub fn lacks(self: *const Thread, states: []const State) ?Need {
        for (self.needs[0..self.count]) |need| {
            if (!need.met(states[need.page])) return need;
        }
        return null;
    }

    /// The page was mapped: it wakes, mostly soon, sometimes late as real schedulers have it.
    pub fn wake(self: *Thread, random: std.Random, now_ns: u64, late_ns: u64) void {
        self.waits_for = null;
        const late = late_ns > 0 and random.uintLessThan(u8, 25) == 0;
        self.ready_ns = now_ns + random.uintLessThan(u64, if (late) late_ns else 15_000);
    }
};

test "an instruction's pages are distinct and within memory" {
    var prng: std.Random.DefaultPrng = .init(1);
    var needs: [40]Need = undefined;
    var thread: Thread = .{ .needs = &needs, .left = 1 };
    for (0..300) |i| {
        const walks = i % 2 == 0;
        const options: Options = .{ .seed = 0, .pages = 37, .write_percent = 50, .walks = walks };
        thread.draw(prng.random(), &options);
        var seen: std.StaticBitSet(37) = .initEmpty();
        for (needs[0..thread.count]) |need| {
            try std.testing.expect(!seen.isSet(need.page));
            seen.set(need.page);
        }
        if (!walks) continue;
        for (needs[0 .. thread.count - 1], needs[1..thread.count]) |need, next| {
            try std.testing.expectEqual((need.page + 1) % 37, next.page);
        }
    }
}
