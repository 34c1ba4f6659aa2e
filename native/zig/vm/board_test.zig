//! Devices of the board as guest bytes reach them by the bus: the interval timer, the clock, the
//! power button, the cursor, the keyboard controller's reset.

const std = @import("std");
const abi = @import("../abi.zig");
const rig_room = @import("rig.zig");
const Rig = rig_room.Rig;
const testing = std.testing;

/// The table's limit and base for lidt at 0x6800, gates from 0x6000 on.
fn gate(rig: *Rig, vector: usize, address: u64) void {
    const bytes = [2]u64{ address & 0xffff | 0x10 << 16 | 0x8e00 << 32, 0 };
    rig.put(0x6000 + vector * 16, std.mem.asBytes(&bytes));
    rig.put(0x6800, &.{ 0xff, 0x07, 0x00, 0x60, 0, 0, 0, 0, 0, 0 });
}

/// APIC on, and the I/O APIC's register `select` = `low`, its upper half 0: APIC id 0.
fn prologue(comptime pin: u8, comptime entry: u32) [41]u8 {
    return [_]u8{
        0x0f, 0x01, 0x1c, 0x25, 0x00, 0x68, 0x00, 0x00, //             lidt [0x6800]
        0xbf, 0x00, 0x00, 0xe0, 0xfe, //                               mov  edi,0xfee00000
        0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // mov  [rdi+0xf0],0x1ff
        0xbe, 0x00, 0x00, 0xc0, 0xfe, //                               mov  esi,0xfec00000
        0xc7, 0x06, 0x10 + 2 * pin, 0x00, 0x00, 0x00, //               mov  [rsi],select
        0xc7, 0x46, 0x10, //                                           mov  [rsi+0x10],entry
    } ++ std.mem.toBytes(entry);
}

test "the interval timer wakes HLT three times through pin 2" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(prologue(2, 0x40) ++ [_]u8{
        0xb0, 0x34, 0xe6, 0x43, //               mode 2, both bytes
        0xb0, 0x9c, 0xe6, 0x40, //               11932: 10 ms
        0xb0, 0x2e, 0xe6, 0x40,
        0xfb, //                         0:      sti
        0xf4, //                                 hlt
        0xeb, 0xfc, //                           jmp    0
    }));
    rig.put(0x7000, &.{
        0xc7, 0x87, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // EOI
        0xfe, 0x0c, 0x25, 0x00, 0x90, 0x00, 0x00, //             dec  byte [0x9000]
        0x75, 0x04, //                                           jne  1
        0xb0, 0x33, //                                           mov  al,0x33
        0xe6, 0xf4, //                                           out  0xf4,al
        0x48, 0xcf, //                                   1:      iretq
    });
    gate(&rig, 0x40, 0x7000);
    rig.put(0x9000, &.{3});
    try rig.goLong();
    try rig.expectExit(0x33);
    try rig.stop();
}

test "the clock's periodic interrupt wakes HLT three times through pin 8" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(prologue(8, 0x42) ++ [_]u8{
        0xb0, 0x0a, 0xe6, 0x70, //               register A: 8,192 Hz
        0xb0, 0x23, 0xe6, 0x71,
        0xb0, 0x0b, 0xe6, 0x70, //               register B: 24 hours, periodic
        0xb0, 0x42, 0xe6, 0x71,
        0xfb, //                         0:      sti
        0xf4, //                                 hlt
        0xeb, 0xfc, //                           jmp    0
    }));
    rig.put(0x7000, &.{
        0xb0, 0x0c, 0xe6, 0x70, //                               register C
        0xe4, 0x71, //                                           in   al,0x71
        0xc7, 0x87, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // EOI
        0xfe, 0x0c, 0x25, 0x00, 0x90, 0x00, 0x00, //             dec  byte [0x9000]
        0x75, 0x04, //                                           jne  1
        0x24, 0xc0, //                                           and  al,0xc0
        0xe6, 0xf4, //                                           out  0xf4,al
        0x48, 0xcf, //                                   1:      iretq
    });
    gate(&rig, 0x42, 0x7000);
    rig.put(0x9000, &.{3});
    try rig.goLong();
    try rig.expectExit(0xc0);
    try rig.stop();
}

test "the power button arrives as the system control interrupt" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(prologue(9, 0x8041) ++ [_]u8{
        0x66, 0xba, 0x02, 0x06, //               mov  dx,0x602
        0x66, 0xb8, 0x00, 0x01, //               mov  ax,0x100
        0x66, 0xef, //                           out  dx,ax: enable the button
        0xb0, 0x01, 0xe6, 0xf4, //               ready
        0xfb, //                         0:      sti
        0xf4, //                                 hlt
        0xeb, 0xfc, //                           jmp    0
    }));
    rig.put(0x7000, &.{
        0x66, 0xba, 0x01, 0x06, //               mov  dx,0x601
        0xec, //                                 in   al,dx: status, upper half
        0x04, 0x20, //                           add  al,0x20
        0xe6, 0xf4, //                           out  0xf4,al
        0xf4, //                                 hlt
    });
    gate(&rig, 0x41, 0x7000);
    try rig.goLong();
    try rig.expectExit(1);
    try rig.node.powerButton();
    try rig.expectExit(0x21);
    try rig.stop();
}

test "the cursor's registers and text memory read back" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0xb8, 0x00, 0xb8, //                     mov  ax,0xb800
        0x8e, 0xd8, //                           mov  ds,ax
        0xc7, 0x06, 0x9e, 0x0f, 0x41, 0x07, //   mov  word [0xf9e],0x741
        0xba, 0xd4, 0x03, //                     mov  dx,0x3d4
        0xb0, 0x0f, 0xee, //                     mov  al,15; out dx,al
        0x42, //                                 inc  dx
        0xb0, 0x02, 0xee, //                     mov  al,2; out dx,al
        0xec, //                                 in   al,dx
        0x02, 0x06, 0x9e, 0x0f, //               add  al,[0xf9e]
        0xe6, 0xf4, //                           out  0xf4,al
        0xf4, //                                 hlt
    });
    try rig.go();
    try rig.expectExit(0x43);
    try rig.stop();
}

test "the interval timer's status is read back" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0xb0, 0x34, 0xe6, 0x43, //               mode 2, both bytes
        0xb0, 0x9c, 0xe6, 0x40, //               11932
        0xb0, 0x2e, 0xe6, 0x40,
        0xb0, 0xe2, 0xe6, 0x43, //               read back the status of channel 0
        0xe4, 0x40, //                           in   al,0x40
        0x24, 0x7f, //                           and  al,0x7f: all but the output
        0xe6, 0xf4, //                           out  0xf4,al
        0xf4, //                                 hlt
    });
    try rig.go();
    try rig.expectExit(0x34);
    try rig.stop();
}

test "whoever resets the machine or switches it off does nothing more" {
    for ([_][]const u8{
        &.{ 0xb0, 0xfe, 0xe6, 0x64 }, //         mov  al,0xfe; out 0x64,al
        &.{ 0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee }, // mov al,6; mov dx,0xcf9; out dx,al
        &.{ 0xb8, 0x00, 0x34, 0xba, 0x04, 0x06, 0xef }, // mov ax,0x3400; mov dx,0x604; out dx,ax
    }, [_]abi.EventKind{ .reset, .reset, .poweroff }) |code, kind| {
        var rig = try Rig.init(1);
        defer rig.deinit();
        rig.put(rig_room.start, code);
        rig.put(@intCast(rig_room.start + code.len), &.{
            0xe6, 0xf4, //                       out  0xf4,al
            0xf4, //                             hlt
        });
        try rig.go();
        _ = try rig.event(kind);
        try rig.stop();
    }
}
