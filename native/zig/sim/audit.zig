//! The last check of a run of the coherence simulator, when nothing is under way any more.

const home = @import("../dsm/home.zig");
const memory = @import("memory.zig");
const Failure = memory.Failure;
const Sim = @import("coherence.zig").Sim;

/// At rest every home must know who holds what, and hold the last store unless an owner does.
pub fn audit(self: *Sim) Failure!void {
    for (0..self.options.pages) |p| {
        const page: u32 = @intCast(p);
        const keeper = self.nodes[0].dsm.homeOf(page);
        const entry = self.nodes[keeper].dsm.entryOf(page);
        for (self.nodes, 0..) |*node, i| {
            const state = node.dsm.state(page);
            if ((state == .modified) != (entry.owner == i)) return error.DirectoryWrong;
            const listed = entry.sharers >> @intCast(i) & 1 == 1;
            if (state == .shared and !listed) return error.DirectoryWrong;
        }
        try self.coherent(page);
        if (entry.owner != home.nobody) continue;
        const bytes = &self.truth.bytes[keeper][page];
        if (try memory.valueOf(bytes) != self.truth.values[page]) return error.DirectoryWrong;
    }
}
