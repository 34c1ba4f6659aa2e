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
const reg_lvt_error = 0x370;
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
