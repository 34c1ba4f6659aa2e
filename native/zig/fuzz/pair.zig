//! The two ends of every fuzzed link, nodes 0 and 1: what their configurations agree on, and the
//! head of an honest datagram between them.

const header = @import("../transport/header.zig");
const Config = @import("../transport/link.zig").Config;

pub const mtu = 1400;
const vm_id = 0x1122_3344_5566_7788;
const epoch = 3;

pub fn config(self: u8, heartbeat_ns: u64) Config {
    return .{
        .vm_id = vm_id,
        .epoch = epoch,
        .self = self,
        .peer = 1 - self,
        .mtu = mtu,
        .heartbeat_ns = heartbeat_ns,
        .nodes = 2,
    };
}

pub fn head(to: u8, packet: u64) header.Header {
    return .{
        .plane = .data,
        .vm_id = vm_id,
        .epoch = epoch,
        .source = 1 - to,
        .destination = to,
        .packet = packet,
    };
}
