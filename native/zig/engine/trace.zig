//! The last protocol messages of this node, kept without cost worth naming and printed when an
//! invariant breaks. Two nodes' traces merge by time where they share a clock.

const std = @import("std");
const m = @import("../wire/message.zig");
const kernel = @import("../sys/kernel.zig");

const capacity = 512;

const Line = struct { at_ns: u64, sent: bool, peer: m.NodeId, message: m.Message };

pub const Trace = struct {
    lines: [capacity]Line = undefined,
    next: u64 = 0,

    pub fn add(
        self: *Trace,
        now_ns: u64,
        sent: bool,
        peer: m.NodeId,
        message: *const m.Message,
    ) void {
        self.lines[self.next % capacity] = .{
            .at_ns = now_ns,
            .sent = sent,
            .peer = peer,
            .message = message.*,
        };
        self.next += 1;
    }

    /// Oldest first, one line each: time in ns, direction, peer, message.
    pub fn dump(self: *const Trace, node: m.NodeId) void {
        var i = self.next -| capacity;
        while (i < self.next) : (i += 1) {
            const line = &self.lines[i % capacity];
            var buffer: [256]u8 = undefined;
            const text = std.fmt.bufPrint(&buffer, "{d} {d} {s} {d} {f}\n", .{
                line.at_ns, node, if (line.sent) "->" else "<-", line.peer, line.message,
            }) catch continue;
            _ = kernel.call(.write, .{ 2, text.ptr, text.len });
        }
    }
};
