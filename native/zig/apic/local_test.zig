//! The local APIC by its registers' offsets in the manual's table (SDM vol. 3A 11.4.1), not by the
//! names it has for them itself.

const std = @import("std");
const destination = @import("destination.zig");
const local = @import("local.zig");
const Effects = local.Effects;
const Local = local.Local;
const testing = std.testing;

const reg_id = 0x020;
const reg_version = 0x030;
const reg_eoi = 0x0b0;
const reg_svr = 0x0f0;
const reg_irr = 0x200;
const reg_esr = 0x280;
const reg_icr_low = 0x300;
const reg_icr_high = 0x310;
const reg_lvt_timer = 0x320;
const reg_lvt_error = 0x370;
const reg_timer_initial = 0x380;
const reg_timer_current = 0x390;
const reg_timer_divide = 0x3e0;
const base_x2apic = 1 << 10;
const version = 0x50014;

fn ready() Local {
    var apic: Local = .init(1, false);
    apic.svr = 0x1ff;
    return apic;
}

test "higher priority first, nested, and EOI of a level interrupt is told" {
    var apic = ready();
    apic.accept(0x41, false);
    apic.accept(0x61, true);
    try testing.expectEqual(0x61, apic.deliverable().?);
    apic.acknowledge(0x61, 0);
    try testing.expectEqual(null, apic.deliverable());
    apic.accept(0x71, false);
    try testing.expectEqual(0x71, apic.deliverable().?);
    apic.acknowledge(0x71, 0);
    var effects: Effects = .{};
    apic.mmioWrite(reg_eoi, 0, 0, &effects);
    try testing.expectEqual(null, effects.eoi);
    apic.mmioWrite(reg_eoi, 0, 0, &effects);
    try testing.expectEqual(0x61, effects.eoi.?);
    try testing.expectEqual(0x41, apic.deliverable().?);
    const summary = apic.summary();
    try testing.expect(summary.irr.isSet(0x41) and summary.irr.count() == 1);
    try testing.expectEqual(0, summary.isr.count());
    try testing.expectEqual(null, summary.timer_ns);
    apic.tpr = 0x40;
    try testing.expectEqual(null, apic.deliverable());
}

test "registers show the sets, reserved writes fault in x2APIC mode only" {
    var apic = ready();
    apic.accept(0x41, false);
    try testing.expectEqual(2, apic.mmioRead(reg_irr + 0x20, 0));
    try testing.expectEqual(version, apic.mmioRead(reg_version, 0));
    try testing.expectEqual(1 << 24, apic.mmioRead(reg_id, 0));
    try testing.expectEqual(null, apic.msrRead(0x802, 0));
    var effects: Effects = .{};
    apic.setBase(apic.base | base_x2apic, &effects);
    try testing.expect(effects.changed);
    try testing.expectEqual(1, apic.msrRead(0x802, 0).?);
    try testing.expect(!apic.msrWrite(0x802, 5, 0, &effects));
    try testing.expect(!apic.msrWrite(0x80b, 1, 0, &effects));
    try testing.expect(apic.msrWrite(0x80b, 0, 0, &effects));
    try testing.expect(!apic.msrWrite(0x80e, 0, 0, &effects));
}

test "interrupt commands of both modes" {
    var apic = ready();
    var effects: Effects = .{};
    apic.mmioWrite(reg_icr_high, 3 << 24, 0, &effects);
    try testing.expectEqual(null, effects.ipi);
    apic.mmioWrite(reg_icr_low, 0x4500, 0, &effects);
    try testing.expectEqual(destination.Mode.init, effects.ipi.?.mode);
    try testing.expectEqual(3, effects.ipi.?.destination);
    effects = .{};
    apic.mmioWrite(reg_icr_low, 0x8500, 0, &effects);
    try testing.expectEqual(null, effects.ipi);
    apic.base |= base_x2apic;
    try testing.expect(apic.msrWrite(0x830, 0x2_0000_0000 | 0x608, 0, &effects));
    try testing.expectEqual(destination.Mode.sipi, effects.ipi.?.mode);
    try testing.expectEqual(2, effects.ipi.?.destination);
    try testing.expect(apic.msrWrite(0x83f, 0x50, 0, &effects));
    try testing.expectEqual(destination.Shorthand.self, effects.ipi.?.shorthand);
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

test "vectors below 16 are errors of who sends and of who receives, with their interrupt" {
    var apic = ready();
    var effects: Effects = .{};
    apic.mmioWrite(reg_icr_low, 0x0f, 0, &effects);
    try testing.expectEqual(null, effects.ipi);
    apic.mmioWrite(reg_esr, 0, 0, &effects);
    try testing.expectEqual(1 << 5, apic.mmioRead(reg_esr, 0));
    try testing.expectEqual(null, apic.deliverable());
    apic.mmioWrite(reg_lvt_error, 0xfe, 0, &effects);
    apic.accept(0x0f, false);
    try testing.expectEqual(0xfe, apic.deliverable().?);
    apic.mmioWrite(reg_esr, 0, 0, &effects);
    try testing.expectEqual(1 << 6, apic.mmioRead(reg_esr, 0));
    // INIT has no vector, and delivery status is not the guest's to set.
    apic.mmioWrite(reg_icr_low, 0x5500, 0, &effects);
    try testing.expect(effects.ipi != null);
    try testing.expectEqual(0x4500, apic.mmioRead(reg_icr_low, 0));
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

test "INIT resets, keeps id and base, and drops an earlier SIPI" {
    var apic = ready();
    apic.accept(0x41, false);
    apic.requestSipi(8);
    apic.requestInit();
    try testing.expect(apic.takeInit());
    apic.reset();
    try testing.expectEqual(null, apic.takeSipi());
    // Switched off by bit 8 of SVR.
    try testing.expectEqual(0, apic.mmioRead(reg_svr, 0) & 0x100);
    try testing.expect(apic.enabled());
    apic.requestSipi(9);
    try testing.expectEqual(9, apic.takeSipi().?);
    // Both come while the vCPU, woken for something else, is past its look for an INIT.
    apic.requestInit();
    apic.requestSipi(10);
    try testing.expectEqual(null, apic.takeSipi());
    try testing.expect(apic.takeInit());
    try testing.expectEqual(10, apic.takeSipi().?);
}
