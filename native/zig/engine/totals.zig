//! What the rooms below the engine count for themselves, put into the node's counters.

const dsm_room = @import("../dsm/dsm.zig");
const Counters = @import("counters.zig").Counters;
const Memory = @import("memory.zig").Memory;
const Reclaim = @import("reclaim.zig").Reclaim;
const Gate = @import("gate.zig").Gate;
const Link = @import("../transport/link.zig").Link;

/// Of the gate and all links together.
pub fn network(counters: *Counters, gate: *const Gate, links: []?Link) void {
    var sent: u64 = 0;
    var received: u64 = 0;
    var totals = gate.stats;
    for (links) |*link| if (link.*) |*l| {
        inline for (@typeInfo(@TypeOf(totals)).@"struct".fields) |field| {
            @field(totals, field.name) += @field(l.stats, field.name);
        }
        sent += l.stats.datagrams_sent;
        received += l.stats.datagrams_received;
    };
    counters.set(.datagrams_sent, sent);
    counters.set(.datagrams_received, received);
    counters.set(.bytes_sent, totals.bytes_sent);
    counters.set(.bytes_received, totals.bytes_received);
    counters.set(.messages_sent, totals.messages_sent);
    counters.set(.messages_received, totals.messages_received);
    counters.set(.retransmissions, totals.retransmitted);
    counters.set(.duplicates, totals.duplicates);
    counters.set(.dropped, totals.dropped);
    counters.set(.dropped_malformed, totals.malformed);
    counters.set(.dropped_foreign, totals.foreign);
    counters.set(.dropped_epoch, totals.other_epoch);
    counters.set(.dropped_refused, totals.refused);
}

pub fn memory(counters: *Counters, of: *const Memory, reclaim: *const Reclaim) void {
    counters.set(.pages_taken, of.takenPages());
    counters.set(.pages_evicted, reclaim.evicted);
    counters.set(.pages_forgotten, reclaim.forgotten);
}

pub fn coherence(counters: *Counters, dsm: *const dsm_room.Dsm) void {
    const s = &dsm.stats;
    counters.set(.faults_local, s.local);
    counters.set(.pages_received, s.pages_received);
    counters.set(.pages_sent, s.pages_sent);
    counters.set(.invalidations, s.invalidations);
    counters.set(.fault_remote_count, s.completed);
    counters.set(.fault_remote_ns, s.completed_ns);
    counters.set(.stalls_fresh, s.stalls_fresh);
    counters.set(.stalls_fresh_ns, s.stalls_fresh_ns);
    counters.set(.stalls_again, s.stalls_again);
    counters.set(.stalls_again_ns, s.stalls_again_ns);
    counters.set(.stalls_ganged, s.stalls_ganged);
    counters.set(.stalls_ganged_ns, s.stalls_ganged_ns);
    counters.set(.requests_ganged, s.ganged);
    counters.set(.requests_ahead, s.ahead);
    counters.set(.touched_ahead, s.touched_ahead);
    counters.set(.deferred_count, s.deferred);
    counters.set(.deferred_ns, s.deferred_ns);
}
