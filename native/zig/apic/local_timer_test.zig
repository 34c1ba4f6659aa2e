//! The local APIC's timer in its three modes (SDM vol. 3A 11.5.4), by its registers' offsets in the
//! manual's table.

const std = @import("std");
const local = @import("local.zig");
const Effects = local.Effects;
const Local = local.Local;
const testing = std.testing;

const reg_eoi = 0x0b0;
const reg_lvt_timer = 0x320;
const reg_timer_initial = 0x380;
const reg_timer_current = 0x390;
const reg_timer_divide = 0x3e0;

fn ready() Local {
    var apic: Local = .init(1, false);
    apic.svr = 0x1ff;
    return apic;
}

test "the timer fires once or again and again, masked means silent" {
    var apic = ready();
    var effects: Effects = .{};
    apic.mmioWrite(reg_timer_divide, 0xb, 0, &effects);
    apic.mmioWrite(reg_lvt_timer, 0x55, 0, &effects);
    apic.mmioWrite(reg_timer_initial, 1000, 5000, &effects);
    try testing.expectEqual(6000, apic.deadline(true).?);
    try testing.expectEqual(400, apic.mmioRead(reg_timer_current, 5600));
    apic.tick(6000, true);
    try testing.expectEqual(0x55, apic.deliverable().?);
    try testing.expectEqual(null, apic.deadline(true));
    try testing.expect(apic.timerWaits());
    apic.acknowledge(0x55, 6000);
    try testing.expect(!apic.timerWaits());
    apic.mmioWrite(reg_lvt_timer, 0x2_0055, 0, &effects);
    apic.mmioWrite(reg_timer_initial, 1000, 10_000, &effects);
    apic.tick(13_500, false);
    try testing.expectEqual(14_000, apic.deadline(false).?);
    apic.mmioWrite(reg_lvt_timer, 0x3_0055, 0, &effects);
    apic.irr.unset(0x55);
    apic.tick(14_000, false);
    try testing.expect(!apic.irr.isSet(0x55));
}

test "a time stamp that is waited for fires once, and what was fired before stays" {
    var apic = ready();
    var effects: Effects = .{};
    // Where it is not shown its bit is reserved.
    apic.mmioWrite(reg_lvt_timer, 0x4_0055, 0, &effects);
    try testing.expectEqual(0x55, apic.mmioRead(reg_lvt_timer, 0));
    apic.has_deadline = true;
    apic.setTscDeadline(90_000, 900, 0);
    try testing.expectEqual(0, apic.tscDeadline());
    apic.mmioWrite(reg_lvt_timer, 0x4_0055, 0, &effects);
    try testing.expectEqual(0x4_0055, apic.mmioRead(reg_lvt_timer, 0));
    apic.setTscDeadline(90_000, 900, 0);
    try testing.expectEqual(90_000, apic.tscDeadline());
    try testing.expectEqual(900, apic.deadline(true).?);
    apic.tick(899, true);
    try testing.expect(!apic.timerWaits());
    apic.retime(1000);
    apic.tick(999, true);
    try testing.expect(!apic.timerWaits());
    apic.tick(1000, true);
    try testing.expect(apic.timerWaits());
    try testing.expectEqual(0, apic.tscDeadline());
    try testing.expectEqual(null, apic.deadline(true));
    // Armed anew by its handler, after 2 us: the next one is kept back for seven times that.
    apic.acknowledge(0x55, 1000);
    apic.mmioWrite(reg_eoi, 0, 1500, &effects);
    apic.setTscDeadline(100_000, 4000, 3000);
    try testing.expectEqual(3000 + 7 * 2000, apic.deadline(true).?);
    apic.tick(16_999, true);
    try testing.expect(!apic.timerWaits());
    // It has fired before the next one is asked for, or any is called off.
    apic.setTscDeadline(200_000, 30_000, 16_999);
    try testing.expect(apic.timerWaits());
    apic.irr.unset(0x55);
    apic.setTscDeadline(0, 0, 30_000);
    try testing.expect(apic.timerWaits());
    try testing.expectEqual(0, apic.tscDeadline());
    apic.irr.unset(0x55);
    // Masked it fires for nobody, a change of mode and INIT disarm it.
    apic.setTscDeadline(300_000, 40_000, 31_000);
    apic.mmioWrite(reg_lvt_timer, 0x5_0055, 31_000, &effects);
    try testing.expectEqual(null, apic.deadline(false));
    apic.mmioWrite(reg_lvt_timer, 0x4_0055, 41_000, &effects);
    apic.tick(50_000, false);
    try testing.expect(!apic.timerWaits());
    apic.setTscDeadline(400_000, 60_000, 51_000);
    apic.mmioWrite(reg_lvt_timer, 0x55, 51_000, &effects);
    try testing.expectEqual(null, apic.deadline(false));
    apic.mmioWrite(reg_lvt_timer, 0x4_0055, 51_000, &effects);
    try testing.expectEqual(null, apic.deadline(false));
    apic.setTscDeadline(400_000, 60_000, 51_000);
    apic.reset();
    apic.tick(70_000, false);
    try testing.expectEqual(0, apic.tscDeadline());
    try testing.expect(apic.has_deadline);
}

test "a time stamp that is due is to be asked for until it is known to have come" {
    var apic = ready();
    var effects: Effects = .{};
    apic.has_deadline = true;
    apic.mmioWrite(reg_lvt_timer, 0x4_0055, 0, &effects);
    apic.setTscDeadline(90_000, 900, 0);
    try testing.expectEqual(null, apic.tscDue(899));
    try testing.expectEqual(90_000, apic.tscDue(900).?);
    apic.tscReached();
    try testing.expectEqual(null, apic.tscDue(900));
    apic.setTscDeadline(90_000, 900, 0);
    try testing.expectEqual(90_000, apic.tscDue(900).?);
}

test "an APIC that is switched off hears nothing of its timer" {
    var apic = ready();
    var effects: Effects = .{};
    apic.mmioWrite(reg_lvt_timer, 0x55, 0, &effects);
    apic.mmioWrite(reg_timer_initial, 1000, 0, &effects);
    const on = apic.base;
    apic.setBase(0xfee0_0000, &effects);
    apic.tick(5000, false);
    apic.setBase(on, &effects);
    try testing.expect(!apic.timerWaits());
    try testing.expectEqual(null, apic.deadline(false));
}

test "a masked timer counts on and wakes nobody" {
    var apic = ready();
    var effects: Effects = .{};
    apic.mmioWrite(reg_timer_divide, 0xb, 0, &effects);
    for ([_]u32{ 0x3_0055, 0x2_000f }) |entry| {
        apic.mmioWrite(reg_lvt_timer, entry, 0, &effects);
        apic.mmioWrite(reg_timer_initial, 100, 0, &effects);
        try testing.expectEqual(null, apic.deadline(false));
        try testing.expectEqual(60, apic.mmioRead(reg_timer_current, 340));
    }
    // Whoever opens it gets what comes then, not what went by.
    apic.mmioWrite(reg_lvt_timer, 0x3_0055, 350, &effects);
    apic.mmioWrite(reg_lvt_timer, 0x2_0055, 350, &effects);
    try testing.expect(!apic.timerWaits());
    try testing.expectEqual(400, apic.deadline(false).?);
}

test "a busy processor gets the next interrupt of a slow handler's timer late, a halted one not" {
    var apic = ready();
    var effects: Effects = .{};
    apic.mmioWrite(reg_timer_divide, 0xb, 0, &effects);
    apic.mmioWrite(reg_lvt_timer, 0x55, 0, &effects);
    apic.mmioWrite(reg_timer_initial, 1000, 0, &effects);
    apic.tick(1000, true);
    apic.acknowledge(0x55, 1000);
    apic.mmioWrite(reg_eoi, 0, 1500, &effects);
    // One shot: the handler is done when it arms the timer anew, here after 2 us.
    apic.mmioWrite(reg_timer_initial, 4000, 3000, &effects);
    try testing.expectEqual(7000, apic.deadline(false).?);
    try testing.expectEqual(3000 + 7 * 2000, apic.deadline(true).?);
    apic.tick(16_999, true);
    try testing.expect(!apic.timerWaits());
    apic.tick(7000, false);
    try testing.expect(apic.timerWaits());
    // One that is kept back has fired under the entry there was then.
    apic.irr.unset(0x55);
    apic.mmioWrite(reg_timer_initial, 1000, 10_000, &effects);
    apic.tick(11_000, true);
    try testing.expect(!apic.timerWaits());
    apic.mmioWrite(reg_lvt_timer, 0x1_0056, 11_500, &effects);
    try testing.expect(apic.irr.isSet(0x55));
    apic.mmioWrite(reg_lvt_timer, 0x55, 12_000, &effects);
    apic.irr.unset(0x55);
    apic.mmioWrite(reg_timer_initial, 100, 12_000, &effects);
    apic.tick(12_100, true);
    apic.mmioWrite(reg_timer_initial, 0, 12_200, &effects);
    try testing.expect(apic.timerWaits());
    // Who has halted meanwhile is in no handler: what comes later is not its time.
    apic.acknowledge(0x55, 13_000);
    apic.tick(14_000, false);
    apic.mmioWrite(reg_timer_initial, 1000, 15_000, &effects);
    try testing.expectEqual(17_000, apic.deadline(true).?);
    apic.tick(17_000, true);
    // Periodic: done when it says so.
    apic.acknowledge(0x55, 20_000);
    apic.mmioWrite(reg_lvt_timer, 0x2_0055, 20_000, &effects);
    apic.mmioWrite(reg_eoi, 0, 21_000, &effects);
    apic.mmioWrite(reg_timer_initial, 1000, 22_000, &effects);
    try testing.expectEqual(28_000, apic.deadline(true).?);
    apic.tick(28_000, true);
    try testing.expectEqual(29_000, apic.deadline(true).?);
}
