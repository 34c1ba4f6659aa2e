//! Peers that are gone: a port that has answered and refuses at once, silence after the limit, each
//! told once. One that never was heard has a longer limit, and is told as such: a filter between
//! the hosts often lets the control port pass and nothing else. So is one that never answered and
//! refuses: a filter that rejects says what a closed port says. Of a process that is gone the
//! control plane tells before.

const std = @import("std");
const limits = @import("../limits.zig");
const udp = @import("../sys/udp.zig");
const EventKind = @import("../abi.zig").EventKind;
const Events = @import("events.zig").Events;
const Link = @import("../transport/link.zig").Link;

pub const Watch = struct {
    silence_ns: u64,
    /// No guest runs here, not yet or no more: nobody waits for a peer, which may take its time.
    calm: std.atomic.Value(bool) = .init(false),
    /// When the links were made, but for time in which this node was held up.
    began_ns: u64,
    next_ns: u64 = 0,
    /// A bit for each peer that was reported.
    reported: u64 = 0,
    /// A bit for each peer whose port has refused before it answered.
    refused: u64 = 0,
    /// And for each whose way takes only small datagrams.
    narrow: u64 = 0,

    /// Every link is looked at, and when to look again is set.
    pub fn look(self: *Watch, links: []?Link, now_ns: u64, events: *Events) void {
        const late_ns = if (self.next_ns == 0) 0 else now_ns -| self.next_ns;
        self.next_ns = now_ns + @min(self.silence_ns / 8, limits.watch_ns);
        const held_up_ns = if (late_ns >= limits.stall_ns) late_ns else 0;
        self.began_ns = @min(self.began_ns + held_up_ns, now_ns);
        const unanswered = now_ns -| self.began_ns > self.limit(false);
        for (links, 0..) |*link, peer| if (link.*) |*l| {
            // What came meanwhile may not be read yet, and nobody was silent for this node's sake.
            l.heard_ns = @min(l.heard_ns + held_up_ns, now_ns);
            // Also one that is heard: a filter may reject one way alone.
            const shut = self.refused & bitOf(peer) != 0 and !l.answered;
            if (shut and unanswered) self.report(events, .peer_refused, peer, 1);
            if (l.narrowed_from > 0) {
                once(&self.narrow, events, .narrowed, peer, l.narrowed_from);
            }
            const heard = l.stats.datagrams_received > 0;
            const limit_ns = self.limit(heard);
            if (now_ns -| l.lastHeard() <= limit_ns) continue;
            const limit_ms = if (heard) limit_ns / limits.ns_per_ms else 0;
            self.report(events, .peer_silent, peer, limit_ms);
        };
    }

    fn limit(self: *const Watch, heard: bool) u64 {
        if (!heard) return @max(self.silence_ns, limits.first_word_ns);
        const calm = self.calm.load(.monotonic);
        return if (calm) @max(self.silence_ns, limits.calm_silence_ns) else self.silence_ns;
    }

    /// Empties the socket's queue of errors.
    pub fn takeErrors(
        self: *Watch,
        socket: i32,
        addresses: []const udp.Address,
        links: []const ?Link,
        events: *Events,
    ) void {
        while (udp.takeError(socket)) |address| {
            for (addresses, links, 0..) |*known, *link, peer| {
                if (!known.equal(&address)) continue;
                self.refused |= bitOf(peer);
                const l = if (link.*) |*l| l else continue;
                if (l.answered) self.report(events, .peer_refused, peer, 0);
            }
        }
    }

    fn report(self: *Watch, events: *Events, kind: EventKind, peer: usize, a: u64) void {
        once(&self.reported, events, kind, peer, a);
    }
};

fn bitOf(peer: usize) u64 {
    return @as(u64, 1) << @intCast(peer);
}

fn once(told: *u64, events: *Events, kind: EventKind, peer: usize, a: u64) void {
    const bit = bitOf(peer);
    if (told.* & bit != 0) return;
    told.* |= bit;
    events.simple(kind, @intCast(peer), a);
}
