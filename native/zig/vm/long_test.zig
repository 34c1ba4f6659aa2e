//! Guest bytes in 64-bit mode on the whole machine: what real mode cannot reach, the APIC's page
//! and CR8, and the report of a triple fault.

const std = @import("std");
const rig_room = @import("rig.zig");
const Rig = rig_room.Rig;
const testing = std.testing;

test "CR8 and the APIC's task priority are one register, the id another" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0xbf, 0x00, 0x00, 0xe0, 0xfe, //                               mov  edi,0xfee00000
        0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // mov  [rdi+0xf0],0x1ff
        0xb8, 0x05, 0x00, 0x00, 0x00, //                               mov  eax,5
        0x44, 0x0f, 0x22, 0xc0, //                                     mov  cr8,rax
        0x8b, 0x87, 0x80, 0x00, 0x00, 0x00, //                         mov  eax,[rdi+0x80]
        0xc7, 0x87, 0x80, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00, 0x00, // mov  [rdi+0x80],0x30
        0x44, 0x0f, 0x20, 0xc3, //                                     mov  rbx,cr8
        0x00, 0xd8, //                                                 add  al,bl
        0x02, 0x47, 0x23, //                                           add  al,[rdi+0x23]
        0xe6, 0xf4, //                                                 out  0xf4,al
        0xf4, //                                                       hlt
    });
    try rig.goLong();
    try rig.expectExit(0x53);
    try rig.stop();
}

test "an interrupt below the task priority waits until CR8 lets it through" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0x0f, 0x01, 0x1c, 0x25, 0x00, 0x68, 0x00, 0x00, //             lidt [0x6800]
        0xbf, 0x00, 0x00, 0xe0, 0xfe, //                               mov  edi,0xfee00000
        0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // mov  [rdi+0xf0],0x1ff
        0xb8, 0x05, 0x00, 0x00, 0x00, //                               mov  eax,5
        0x44, 0x0f, 0x22, 0xc0, //                                     mov  cr8,rax
        0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x40, 0x00, 0x04, 0x00, // mov  [rdi+0x300],0x40040
        0xfb, //                                                       sti
        0x90, //                                                       nop
        0xe6, 0x80, //                                                 out  0x80,al
        0x90, //                                                       nop
        0xb3, 0x01, //                                                 mov  bl,1
        0x31, 0xc0, //                                                 xor  eax,eax
        0x44, 0x0f, 0x22, 0xc0, //                                     mov  cr8,rax
        0xe6, 0x80, //                                                 out  0x80,al
        0xeb, 0xfe, //                                         1:      jmp  1
    });
    rig.put(0x7000, &.{
        0x88, 0xd8, //                                                 mov  al,bl
        0xe6, 0xf4, //                                                 out  0xf4,al
        0xf4, //                                                       hlt
    });
    const vector = 0x40;
    const gate = [2]u64{ 0x7000 & 0xffff | 0x10 << 16 | 0x8e00 << 32, 0 };
    rig.put(0x6000 + vector * 16, std.mem.asBytes(&gate));
    // The table's limit and base for lidt.
    rig.put(0x6800, &.{ 0xff, 0x07, 0x00, 0x60, 0, 0, 0, 0, 0, 0 });
    try rig.goLong();
    try rig.expectExit(1);
    try rig.stop();
}

test "an instruction KVM does not emulate is told with its bytes" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0xc5, 0xf8, 0x77, //                                           vzeroupper
    });
    try rig.goLong();
    const crash = try rig.event(.crash);
    const text = crash.text[0..crash.length];
    // A processor runs it itself and finds it switched off: #UD, which nothing handles.
    const on_hardware = std.mem.startsWith(u8, text, "triple fault\n");
    const emulated = "KVM cannot emulate this instruction of the guest: c5f877";
    try testing.expect(on_hardware or std.mem.startsWith(u8, text, emulated));
    if (!on_hardware) {
        try testing.expect(std.mem.indexOf(u8, text, "rip=0000000000001000") != null);
    }
    try rig.stop();
}

test "a triple fault is told with the registers of the last exit" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0xb8, 0xef, 0xbe, 0xad, 0xde, //         mov    eax,0xdeadbeef
        0xe6, 0x80, //                           out    0x80,al
        0x0f, 0x0b, //                           ud2
    });
    try rig.goLong();
    const crash = try rig.event(.crash);
    const text = crash.text[0..crash.length];
    try testing.expectEqual(0, crash.event.a);
    try testing.expect(std.mem.startsWith(u8, text, "triple fault\n"));
    try testing.expect(std.mem.indexOf(u8, text, "rax=00000000deadbeef") != null);
    try testing.expect(std.mem.indexOf(u8, text, "cr3=0000000000002000") != null);
    try rig.stop();
}
