//! What happens to a node beside the plain faults of its threads: evictions, fault events that the
//! kernel raises again, threads that a signal takes out of a fault, devices that end their gather.

const std = @import("std");
const discard = @import("../dsm/discard.zig").discard;
const Host = @import("host.zig").Host;
const Sim = @import("coherence.zig").Sim;

/// What kernels and guests do beside plain faults.
pub fn maybe(self: *Sim) void {
    const r = self.prng.random();
    if (r.uintLessThan(u16, 1000) >= self.options.mischief_per_mille) return;
    const index = r.uintLessThan(u8, @intCast(self.nodes.len));
    const number = r.uintLessThan(u8, self.options.threads);
    if (self.crashed(index)) return;
    self.result.steps += 1;
    if (r.boolean()) return evict(self, r, index);
    const node = &self.nodes[index];
    const thread = &node.threads[number];
    const page = r.uintLessThan(u32, self.options.pages);
    if (thread.left == 0) return;
    const waits_for = thread.waits_for orelse {
        // An event raised again for a page that is held.
        if (self.truth.mapped[index][page] != .invalid) self.fault(index, number, page, false);
        return node.dsm.endGather(number, self.now_ns);
    };
    if (r.boolean()) return self.fault(index, number, waits_for, r.boolean());
    // A signal took the thread out of its fault, and it goes on elsewhere.
    thread.waits_for = null;
    thread.ready_ns = self.now_ns + r.uintLessThan(u64, 20_000);
    thread.draw(r, &self.options);
}

/// A node that is short of memory gives pages back: mostly one that it owns, whose bytes travel,
/// and often after its vCPUs have halted, so that no gather keeps it.
fn evict(self: *Sim, r: std.Random, index: u8) void {
    const node = &self.nodes[index];
    const pages = self.options.pages;
    var page = r.uintLessThan(u32, pages);
    if (r.uintLessThan(u8, 4) > 0) for (0..pages) |_| {
        if (node.dsm.state(page) == .modified and node.dsm.homeOf(page) != index) break;
        page = (page + 1) % pages;
    };
    if (r.boolean()) for (node.threads, 0..) |*thread, number| {
        if (thread.waits_for == null) node.dsm.endGather(@intCast(number), self.now_ns);
    };
    var host: Host = .{ .sim = self, .node = index };
    if (node.dsm.evict(&host, page, self.now_ns)) self.log(index, "evict", page, "", .{});
    // And the memory of some of those it has lost.
    const first = r.uintLessThan(u32, 4 * pages);
    if (first < pages) for (first..first + 4) |next| {
        _ = discard(&node.dsm, &host, @intCast(next % pages));
    };
    self.check(index);
}
