//! Which page every check uses, and on which node's memory it lies. No two uses share a page unless
//! sharing is what is tested.

const info_mod = @import("info.zig");
const cpu_mod = @import("cpu.zig");
const Info = info_mod.Info;

pub const Use = enum(u64) {
    /// First page of a node's memory: stores across the border to the node before it.
    border,
    border_next,
    arrivals,
    generation,
    counter,
    counter_sum,
    lock,
    lock_left,
    lock_right,
    message_flag,
    message_left,
    message_right,
    message_ack,
    ping_pong,
    false_sharing,
    read_mostly,
    atomic_exchange,
    atomic_pair,
    atomic_bits,
    code,
    code_flag,
    broadcast,
    strings,
    strings_2,
    strings_3,
    copy,
    copy_2,
    copy_3,
    split,
    split_2,
    copies,
    held,
    tsc_bound,
};

comptime {
    if (@typeInfo(Use).@"enum".fields.len > first_fresh) @compileError("no page left");
}

const first_fresh = info_mod.test_pages - info_mod.fresh_pages;

/// Page `index` of those that no check touches twice, in the memory of the node.
pub fn fresh(info: *const Info, node: u64, index: u64) u64 {
    return info.testPage(node, first_fresh + index);
}

/// The use's page in the memory of the node.
pub fn on(info: *const Info, node: u64, use: Use) u64 {
    return info.testPage(node, @intFromEnum(use));
}

/// Word of a page that exists once; such pages are spread over all nodes' memories.
pub fn word(info: *const Info, use: Use, index: u64) *u64 {
    return cpu_mod.word(on(info, @intFromEnum(use), use) + 8 * index);
}
