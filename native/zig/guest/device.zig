//! What vCPUs agree on without memory: two registers of the probe device. They hold even where
//! copies of pages are stale or stores get lost, so that a check can say so instead of hanging.

const cpu_mod = @import("cpu.zig");
const Info = @import("info.zig").Info;

/// Offsets in the probe device (native/zig/devices).
const sum_offset = 0x50;
const ticket_offset = 0x58;
/// The last of the registers that keep what is stored.
const word_offset = 0x38;

fn at(info: *const Info, offset: u64) *volatile u64 {
    return @ptrFromInt(info.probe_gpa + offset);
}

/// One more vCPU has arrived somewhere.
pub fn arrive(info: *const Info) void {
    at(info, sum_offset).* = 1;
}

pub fn arrived(info: *const Info) u64 {
    return at(info, sum_offset).*;
}

/// True for one caller in the life of the machine.
pub fn first(info: *const Info) bool {
    return at(info, ticket_offset).* == 0;
}

pub fn tell(info: *const Info, value: u64) void {
    at(info, word_offset).* = value;
}

pub fn told(info: *const Info) u64 {
    return at(info, word_offset).*;
}
