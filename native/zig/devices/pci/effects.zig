//! What a PCI function asks of the world when it was accessed or has changed by itself.

const std = @import("std");
const limits = @import("../../limits.zig");
const Request = @import("../../apic/destination.zig").Request;

pub const Effects = struct {
    messages: [limits.msix_vectors_max]Request = undefined,
    count: usize = 0,
    /// Functions, by their device numbers, whose threads have something to do.
    wakes: u32 = 0,

    /// Two equal messages are one: the local APIC would not tell them apart either.
    pub fn send(self: *Effects, request: Request) void {
        for (self.requests()) |*sent| if (std.meta.eql(sent.*, request)) return;
        self.messages[self.count] = request;
        self.count += 1;
    }

    pub fn requests(self: *const Effects) []const Request {
        return self.messages[0..self.count];
    }
};
