//! Peers that are gone: a refused port at once, silence after the limit, each told once.

const limits = @import("../limits.zig");
const udp = @import("../sys/udp.zig");
const EventKind = @import("../abi.zig").EventKind;
const Events = @import("events.zig").Events;
const Link = @import("../transport/link.zig").Link;

pub const Watch = struct {
    silence_ns: u64,
    next_ns: u64 = 0,
    /// A bit for each peer that was reported.
    reported: u64 = 0,

    /// Every link is looked at, and when to look again is set.
    pub fn look(self: *Watch, links: []?Link, now_ns: u64, events: *Events) void {
        self.next_ns = now_ns + @min(self.silence_ns / 8, limits.watch_ns);
        for (links, 0..) |*link, peer| if (link.*) |*l| {
            if (l.stats.datagrams_received == 0) continue;
            if (now_ns -| l.lastHeard() > self.silence_ns) {
                self.report(events, .peer_silent, @intCast(peer));
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
                if (known.equal(&address)) self.report(events, .peer_refused, @intCast(peer));
            }
        }
    }

    fn report(self: *Watch, events: *Events, kind: EventKind, peer: u8) void {
        const bit = @as(u64, 1) << @intCast(peer);
        if (self.reported & bit != 0) return;
        self.reported |= bit;
        events.simple(kind, peer, 0);
    }
};
