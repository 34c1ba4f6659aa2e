//! Message-signalled interrupts (Intel SDM vol. 3A 11.11): a device interrupts by storing `data` at
//! an address in the local APICs' page. Here that store is the same kind of request that an I/O
//! APIC pin makes.

const std = @import("std");
const destination = @import("destination.zig");
const Request = destination.Request;

const window: u64 = 0xfee0_0000;
const window_mask: u64 = 0xffff_ffff_fff0_0000;
const redirection_hint = 1 << 3;
const logical = 1 << 2;
const level_triggered = 1 << 15;

/// What a message of this address and data asks for; null when it addresses no local APIC or has
/// a delivery mode that is none.
pub fn decode(address: u64, data: u32) ?Request {
    if (address & window_mask != window) return null;
    const mode = std.enums.fromInt(destination.Mode, @as(u8, @truncate(data >> 8 & 7))) orelse
        return null;
    if (mode == .sipi) return null;
    // One of several, when the sender does not insist on all of them.
    const any = address & redirection_hint != 0 and address & logical != 0 and mode == .fixed;
    return .{
        .mode = if (any) .lowest else mode,
        .vector = @truncate(data),
        .level = data & level_triggered != 0,
        .logical = address & logical != 0,
        .destination = @truncate(address >> 12 & 0xff),
        .narrow = true,
    };
}

const testing = std.testing;

test "address and data as Linux writes them" {
    const physical = decode(0xfee0_3000, 0x4021).?;
    try testing.expectEqual(Request{
        .mode = .fixed,
        .vector = 0x21,
        .destination = 3,
        .narrow = true,
    }, physical);
    const flat = decode(0xfee0_5004, 0x0031).?;
    try testing.expectEqual(destination.Mode.fixed, flat.mode);
    try testing.expect(flat.logical);
    try testing.expectEqual(5, flat.destination);
    try testing.expectEqual(destination.Mode.lowest, decode(0xfee0_500c, 0x0031).?.mode);
    try testing.expectEqual(destination.Mode.nmi, decode(0xfee0_0000, 0x0400).?.mode);
    try testing.expect(decode(0xfee0_0000, 0x8031).?.level);
}

test "a store elsewhere and a reserved mode are no interrupt" {
    try testing.expectEqual(null, decode(0xfed0_0000, 0x31));
    try testing.expectEqual(null, decode(0x1_fee0_0000, 0x31));
    try testing.expectEqual(null, decode(0xfee0_0000, 0x0331));
    try testing.expectEqual(null, decode(0xfee0_0000, 0x0631));
}
