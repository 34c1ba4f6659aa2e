//! What happens to the packets from one node to another: lost, cut off, refused by a full queue, or
//! carried at some moment, perhaps twice. All chance is a function of the seed, the direction and
//! the packet's number, so a run differs from its repetition only by what the nodes send and when.

const std = @import("std");
const words = @import("words.zig");
const Bucket = @import("bucket.zig").Bucket;
const assert = std.debug.assert;

/// What the network between the nodes is like, the same in every direction.
pub const Network = struct {
    nodes: u8 = 2,
    mtu: u16 = 1500,
    seed: u64 = 1,
    loss: words.Chance = .{},
    duplicate: words.Chance = .{},
    /// Chance that a packet comes `late` after its turn, behind later ones.
    reorder: words.Chance = .{},
    late: words.Time = .{ .ns = 4_000_000 },
    delay: words.Time = .{},
    /// Each packet is delayed by up to so much more.
    jitter: words.Time = .{},
    /// Bits a second; 0 = no limit.
    rate: words.Amount = .{},
    /// Bytes that may wait where there is a rate.
    queue: words.Amount = .{ .value = 100_000 },
    /// Nothing passes for so long, again and again, each direction at its own times.
    cut: words.Time = .{},
    /// Average time from the end of a cut to the next.
    every: words.Time = .{ .ns = 2 * std.time.ns_per_s },
};

pub const Fate = union(enum) {
    lost,
    cut,
    overflowed,
    carried: struct { at_ns: u64, late: bool, again_ns: ?u64 },
};

pub const Totals = struct {
    packets: u64 = 0,
    lost: u64 = 0,
    cut: u64 = 0,
    overflowed: u64 = 0,
    doubled: u64 = 0,
    reordered: u64 = 0,
    cuts: u64 = 0,
};

pub const Direction = struct {
    network: Network,
    key: u64,
    bucket: Bucket,
    /// By command, until another.
    closed: bool = false,
    cut_from_ns: u64 = 0,
    totals: Totals = .{},

    pub fn init(network: Network, from: u8, to: u8, now_ns: u64) Direction {
        assert(from < network.nodes and to < network.nodes);
        var self: Direction = .{
            .network = network,
            .key = mix(mix(network.seed) ^ (@as(u64, from) << 8 | to)),
            .bucket = .{ .bits_per_s = network.rate.value, .queue_bytes = network.queue.value },
        };
        self.cut_from_ns = now_ns + self.gap();
        return self;
    }

    /// The fate of the next packet.
    pub fn next(self: *Direction, bytes: u64, now_ns: u64) Fate {
        self.totals.packets += 1;
        var draws: std.Random.SplitMix64 = .init(self.key ^ mix(self.totals.packets));
        const lost = happens(&draws, self.network.loss);
        const late = happens(&draws, self.network.reorder);
        const doubled = happens(&draws, self.network.duplicate);
        const jitter_ns = share(draws.next(), self.network.jitter.ns);
        if (self.isCut(now_ns)) {
            self.totals.cut += 1;
            return .cut;
        }
        if (lost) {
            self.totals.lost += 1;
            return .lost;
        }
        const sent_ns = self.bucket.take(bytes, now_ns) orelse {
            self.totals.overflowed += 1;
            return .overflowed;
        };
        const at_ns = sent_ns + self.network.delay.ns + jitter_ns;
        const again_ns = if (doubled) self.bucket.take(bytes, now_ns) else null;
        if (again_ns != null) self.totals.doubled += 1;
        if (late) self.totals.reordered += 1;
        return .{ .carried = .{
            .at_ns = if (late) at_ns + self.network.late.ns else at_ns,
            .late = late,
            .again_ns = if (again_ns) |ns| ns + self.network.delay.ns + jitter_ns else null,
        } };
    }

    fn isCut(self: *Direction, now_ns: u64) bool {
        if (self.closed) return true;
        const length_ns = self.network.cut.ns;
        if (length_ns == 0) return false;
        while (now_ns >= self.cut_from_ns + length_ns) {
            self.totals.cuts += 1;
            self.cut_from_ns += length_ns + self.gap();
        }
        return now_ns >= self.cut_from_ns;
    }

    /// Half to one and a half of the average, a draw for each cut.
    fn gap(self: *const Direction) u64 {
        var draws: std.Random.SplitMix64 = .init(mix(self.key) ^ mix(self.totals.cuts));
        return self.network.every.ns / 2 + share(draws.next(), self.network.every.ns);
    }
};

fn mix(value: u64) u64 {
    var one: std.Random.SplitMix64 = .init(value);
    return one.next();
}

fn happens(draws: *std.Random.SplitMix64, chance: words.Chance) bool {
    return share(draws.next(), 1_000_000) < chance.per_million;
}

/// Evenly from 0 to `limit` - 1 (to 0 for 0).
fn share(draw: u64, limit: u64) u64 {
    return @intCast(@as(u128, draw) * limit >> 64);
}

fn per_cent(comptime value: u32) words.Chance {
    return .{ .per_million = value * 10_000 };
}

test "the same seed gives the same fates, another seed or direction others" {
    const network: Network = .{
        .loss = per_cent(10),
        .duplicate = per_cent(10),
        .reorder = per_cent(10),
        .jitter = .{ .ns = 1000 },
        .rate = .{ .value = 1_000_000_000 },
    };
    var other = network;
    other.seed = 2;
    var a: Direction = .init(network, 0, 1, 0);
    var same: Direction = .init(network, 0, 1, 0);
    var back: Direction = .init(network, 1, 0, 0);
    var foreign: Direction = .init(other, 0, 1, 0);
    var differ = [_]u32{ 0, 0 };
    for (0..1000) |i| {
        const now_ns = i * 100_000;
        const fate = a.next(1000, now_ns);
        try std.testing.expectEqual(fate, same.next(1000, now_ns));
        if (!std.meta.eql(fate, back.next(1000, now_ns))) differ[0] += 1;
        if (!std.meta.eql(fate, foreign.next(1000, now_ns))) differ[1] += 1;
    }
    for (differ) |count| try std.testing.expect(count > 900);
}

test "each fault comes as often as asked, and alone where the others are off" {
    const count = 100_000;
    const cases = .{
        .{ "loss", "lost" },
        .{ "duplicate", "doubled" },
        .{ "reorder", "reordered" },
    };
    inline for (cases) |case| {
        var network: Network = .{};
        @field(network, case[0]) = per_cent(5);
        var direction: Direction = .init(network, 1, 0, 0);
        for (0..count) |_| _ = direction.next(100, 0);
        inline for (cases) |counted| {
            const seen = @field(direction.totals, counted[1]);
            // 20 standard deviations around 5000.
            const wanted = comptime std.mem.eql(u8, case[1], counted[1]);
            try std.testing.expect(if (wanted) seen > 3600 and seen < 6400 else seen == 0);
        }
    }
}

test "a perfect network carries at once, a cut or closed one nothing" {
    var direction: Direction = .init(.{}, 0, 1, 0);
    const at_once: Fate = .{ .carried = .{ .at_ns = 5, .late = false, .again_ns = null } };
    try std.testing.expectEqual(at_once, direction.next(100, 5));
    direction.closed = true;
    try std.testing.expectEqual(.cut, direction.next(100, 6));
    direction.closed = false;
    try std.testing.expectEqual(7, direction.next(100, 7).carried.at_ns);
}

test "cuts have their length and keep their distance, whether packets come or not" {
    const ms = std.time.ns_per_ms;
    const network: Network = .{ .cut = .{ .ns = 200 * ms }, .every = .{ .ns = 1000 * ms } };
    var often: Direction = .init(network, 0, 1, 0);
    var seldom: Direction = .init(network, 0, 1, 0);
    var cut_ms: u64 = 0;
    for (0..100_000) |i| {
        const fate = often.next(100, i * ms);
        if (fate == .cut) cut_ms += 1;
        if (i % 97 != 0) continue;
        try std.testing.expectEqual(fate == .cut, seldom.next(100, i * ms) == .cut);
    }
    // 100 s in turns of 1.2 s on average.
    try std.testing.expect(often.totals.cuts > 60 and often.totals.cuts < 110);
    try std.testing.expect(cut_ms >= 200 * often.totals.cuts);
    try std.testing.expect(cut_ms <= 200 * (often.totals.cuts + 1));
}

test "a full queue refuses, a late copy comes behind" {
    var narrow: Direction = .init(
        .{ .rate = .{ .value = 8_000_000 }, .queue = .{ .value = 2000 } },
        0,
        1,
        0,
    );
    var overflowed: u32 = 0;
    for (0..20) |_| {
        if (narrow.next(1000, 1_000_000_000) == .overflowed) overflowed += 1;
    }
    try std.testing.expectEqual(12, overflowed);
    var late: Direction = .init(.{ .reorder = per_cent(100), .late = .{ .ns = 9 } }, 0, 1, 0);
    try std.testing.expectEqual(10, late.next(100, 1).carried.at_ns);
    var twice: Direction = .init(.{ .duplicate = per_cent(100) }, 0, 1, 0);
    try std.testing.expectEqual(1, twice.next(100, 1).carried.again_ns.?);
}
