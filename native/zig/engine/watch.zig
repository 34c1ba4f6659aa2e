//! Peers that are gone: a refused port at once, silence after the limit, each told once. One that
//! never was heard has a longer limit, and is told as such: a filter between the hosts often lets
//! the control port pass and nothing else.

const limits = @import("../limits.zig");
const udp = @import("../sys/udp.zig");
const EventKind = @import("../abi.zig").EventKind;
const Events = @import("events.zig").Events;
const Link = @import("../transport/link.zig").Link;
const first_word_ns = limits.first_word_ns;

pub const Watch = struct {
    silence_ns: u64,
    next_ns: u64 = 0,
    /// A bit for each peer that was reported.
    reported: u64 = 0,

    /// Every link is looked at, and when to look again is set.
    pub fn look(self: *Watch, links: []?Link, now_ns: u64, events: *Events) void {
        self.next_ns = now_ns + @min(self.silence_ns / 8, limits.watch_ns);
        for (links, 0..) |*link, peer| if (link.*) |*l| {
            const heard = l.stats.datagrams_received > 0;
            const limit_ns = if (heard) self.silence_ns else @max(self.silence_ns, first_word_ns);
            if (now_ns -| l.lastHeard() > limit_ns) {
                self.report(events, .peer_silent, @intCast(peer), @intFromBool(heard));
            }
        };
    }

    /// Empties the socket's queue of errors.
    pub fn takeErrors(
        self: *Watch,
        socket: i32,
        addresses: []const udp.Address,
        events: *Events,
    ) void {
        while (udp.takeError(socket)) |address| {
            for (addresses, 0..) |*known, peer| {
                if (known.equal(&address)) self.report(events, .peer_refused, @intCast(peer), 0);
            }
        }
    }

    fn report(self: *Watch, events: *Events, kind: EventKind, peer: u8, a: u64) void {
        const bit = @as(u64, 1) << @intCast(peer);
        if (self.reported & bit != 0) return;
        self.reported |= bit;
        events.simple(kind, peer, a);
    }
};
