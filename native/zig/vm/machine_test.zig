//! A few guest bytes on the whole machine: user-space APICs, timers, INIT and SIPI, stop and pause,
//! devices behind ports. What is awaited is an event or a word in guest memory.
//!
//! Long because each case is a few bytes of code with its listing.

const std = @import("std");
const abi = @import("../abi.zig");
const rig_room = @import("rig.zig");
const Rig = rig_room.Rig;
const Vcpu = @import("vcpu.zig").Vcpu;
const testing = std.testing;

const flag = 0x5000;
const counter = 0x5002;

/// wrmsr with ECX, EAX and EDX set: 20 bytes.
pub fn wrmsr(comptime msr: u32, comptime low: u32, comptime high: u32) [20]u8 {
    return .{ 0x66, 0xb9 } ++ std.mem.toBytes(msr) ++ // mov ecx,msr
        .{ 0x66, 0xb8 } ++ std.mem.toBytes(low) ++ //    mov eax,low
        .{ 0x66, 0xba } ++ std.mem.toBytes(high) ++ //   mov edx,high
        .{ 0x0f, 0x30 }; //                              wrmsr
}

/// Enables the x2APIC, by APIC_BASE and by the spurious vector register: 33 bytes.
pub const x2apic_on = [_]u8{
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, //   mov    ecx,0x1b
    0x0f, 0x32, //                           rdmsr
    0x80, 0xcc, 0x0c, //                     or     ah,0xc
    0x0f, 0x30, //                           wrmsr
} ++ wrmsr(0x80f, 0x1ff, 0);

const eoi = wrmsr(0x80b, 0, 0);

test "the APIC's periodic timer wakes HLT three times" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(x2apic_on ++
        wrmsr(0x83e, 0xb, 0) ++ //               divide by 1
        wrmsr(0x832, 0x2_0020, 0) ++ //          periodic, vector 0x20
        wrmsr(0x838, 1_000_000, 0) ++ //         every millisecond
        [_]u8{
            0xfb, //                         0:      sti
            0xf4, //                                 hlt
            0xeb, 0xfc, //                           jmp    0
        }));
    rig.put(0x2000, &(eoi ++ [_]u8{
        0xfe, 0x0e, 0x00, 0x50, //               dec    byte [0x5000]
        0x75, 0x04, //                           jne    1
        0xb0, 0x77, //                           mov    al,0x77
        0xe6, 0xf4, //                           out    0xf4,al
        0xcf, //                         1:      iret
    }));
    rig.handler(0x20, 0x2000);
    rig.put(flag, &.{3});
    try rig.go();
    try rig.expectExit(0x77);
    try rig.stop();
}

test "a one-shot timer interrupts a vCPU that never exits by itself" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(x2apic_on ++ wrmsr(0x83e, 0xb, 0) ++ wrmsr(0x832, 0x20, 0) ++
        wrmsr(0x838, 1_000_000, 0) ++ [_]u8{
        0xfb, //                                 sti
        0xeb, 0xfe, //                   1:      jmp    1
    }));
    rig.put(0x2000, &.{
        0xb0, 0x78, //                           mov    al,0x78
        0xe6, 0xf4, //                           out    0xf4,al
        0xcf, //                                 iret
    });
    rig.handler(0x20, 0x2000);
    try rig.go();
    try rig.expectExit(0x78);
    try rig.stop();
}

test "INIT and SIPI start a second vCPU, and start it again while it runs" {
    var rig = try Rig.init(2);
    defer rig.deinit();
    rig.put(rig_room.start, &(x2apic_on ++
        wrmsr(0x830, 0x4500, 1) ++ //            INIT to 1
        wrmsr(0x830, 0x4602, 1) ++ //            SIPI, page 2
        [_]u8{
            0x80, 0x3e, 0x00, 0x50, 0x01, // 1:      cmp    byte [0x5000],1
            0x75, 0xf9, //                           jne    1
        } ++
        wrmsr(0x830, 0x4603, 1) ++ //            SIPI to a running vCPU: ignored
        wrmsr(0x830, 0x4500, 1) ++ wrmsr(0x830, 0x4604, 1) ++ [_]u8{0xf4}));
    rig.put(0x2000, &.{
        0xbb, 0x07, 0x00, //                     mov    bx,7
        0xc6, 0x06, 0x00, 0x50, 0x01, //         mov    byte [0x5000],1
        0xeb, 0xfe, //                   1:      jmp    1
    });
    rig.put(0x3000, &.{
        0xb0, 0xff, //                           mov    al,0xff
        0xe6, 0xf4, //                           out    0xf4,al
    });
    rig.put(0x4000, &.{
        0x8c, 0xc8, //                           mov    ax,cs
        0x88, 0xe0, //                           mov    al,ah
        0x00, 0xd8, //                           add    al,bl
        0xe6, 0xf4, //                           out    0xf4,al
        0xf4, //                                 hlt
    });
    try rig.go();
    // CS is the SIPI's page, and BX is zero again.
    try rig.expectExit(4);
    try rig.stop();
}

test "five hundred interrupts between two halted vCPUs, none lost" {
    var rig = try Rig.init(2);
    defer rig.deinit();
    rig.put(rig_room.start, &(x2apic_on ++ wrmsr(0x830, 0x4500, 1) ++ wrmsr(0x830, 0x4602, 1) ++
        [_]u8{
            0x80, 0x3e, 0x00, 0x50, 0x01, // 1:      cmp    byte [0x5000],1
            0x75, 0xf9, //                           jne    1
        } ++
        wrmsr(0x830, 0x30, 1) ++ //      2:      vector 0x30 to 1
        [_]u8{
            0xfb, //                                 sti
            0xf4, //                                 hlt
            0xfa, //                                 cli
            0x81, 0x3e, 0x02, 0x50, 0xf4, 0x01, //   cmp    word [0x5002],500
            0x72, 0xe1, //                           jb     2
            0xb0, 0x42, //                           mov    al,0x42
            0xe6, 0xf4, //                           out    0xf4,al
            0xf4, //                                 hlt
        }));
    rig.put(0x2000, &(x2apic_on ++ [_]u8{
        0xbc, 0x00, 0x80, //                     mov    sp,0x8000: its own stack
        0xc6, 0x06, 0x00, 0x50, 0x01, //         mov    byte [0x5000],1
        0xfb, //                         1:      sti
        0xf4, //                                 hlt
        0xeb, 0xfc, //                           jmp    1
    }));
    rig.put(0x3000, &(eoi ++ wrmsr(0x830, 0x31, 0) ++ [_]u8{
        0xcf, //                                 iret
    }));
    rig.put(0x4000, &(eoi ++ [_]u8{
        0xff, 0x06, 0x02, 0x50, //               inc    word [0x5002]
        0xcf, //                                 iret
    }));
    rig.handler(0x30, 0x3000);
    rig.handler(0x31, 0x4000);
    try rig.go();
    try rig.expectExit(0x42);
    try testing.expectEqual(500, rig.word(counter).*);
    try rig.stop();
}

test "string output reaches the console, a port nobody has reads all ones" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0xfc, //                                 cld
        0xba, 0xf8, 0x03, //                     mov    dx,0x3f8
        0xbe, 0x00, 0x50, //                     mov    si,0x5000
        0xb9, 0x05, 0x00, //                     mov    cx,5
        0xf3, 0x6e, //                           rep outsb dx,[si]
        0xba, 0x00, 0x20, //                     mov    dx,0x2000
        0xed, //                                 in     ax,dx
        0xe7, 0xf4, //                           out    0xf4,ax
        0xf4, //                                 hlt
    });
    rig.put(0x5000, "hello");
    try rig.go();
    var printed: [5]u8 = undefined;
    try rig.printed(&printed);
    try testing.expectEqualStrings("hello", &printed);
    try rig.expectExit(0xffff);
    try rig.stop();
}

const slow_read = [_]u8{
    0xba, 0x00, 0x10, //                         mov    dx,0x1000
    0xec, //                                     in     al,dx
    0xe6, 0xf4, //                               out    0xf4,al
    0xf4, //                                     hlt
};

test "a slow port is handed up and waits for its answer" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &slow_read);
    try rig.go();
    const asked = (try rig.event(.io)).event;
    try testing.expectEqual(rig_room.slow_port, asked.b);
    const one_byte_read = 1 | 1 << 8;
    try testing.expectEqual(one_byte_read, asked.c);
    try rig.node.ioReply(asked.a, "\x5a");
    try testing.expectError(error.NotFound, rig.node.ioReply(asked.a, "\x5b"));
    try rig.expectExit(0x5a);
    try rig.stop();
}

test "a device that never answers is told, the vCPU waits on and still stops" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.machine().bus.patience_ns = 1_000_000;
    rig.put(rig_room.start, &slow_read);
    try rig.go();
    _ = try rig.event(.io);
    const told = try rig.event(.engine_error);
    const text = told.text[0..told.length];
    try testing.expectEqualStrings(
        "node 0 has not answered vCPU 0's access to port 1000 for 0 s",
        text,
    );
    try rig.stop();
}

test "stopping reaches a vCPU that waits for an answer" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &slow_read);
    try rig.go();
    _ = try rig.event(.io);
    try rig.stop();
}

test "stopping reaches vCPUs that spin, halt for good, and wait for SIPI" {
    var rig = try Rig.init(3);
    defer rig.deinit();
    rig.put(rig_room.start, &(x2apic_on ++ wrmsr(0x830, 0x4500, 1) ++ wrmsr(0x830, 0x4602, 1) ++
        [_]u8{
            0xc6, 0x06, 0x00, 0x50, 0x01, //         mov    byte [0x5000],1
            0xeb, 0xfe, //                   1:      jmp    1
        }));
    rig.put(0x2000, &.{
        0xfa, //                                 cli
        0xf4, //                                 hlt
    });
    try rig.go();
    try rig_room.await(&rig, struct {
        fn spinsAndHalts(r: *Rig) bool {
            return r.word(flag).* == 1 and activityOf(r, 1) == .halted;
        }
    }.spinsAndHalts);
    try rig.stop();
}

fn activityOf(rig: *Rig, index: usize) @FieldType(Vcpu, "activity") {
    const vcpu = rig.vcpu(index);
    vcpu.lock.lock();
    defer vcpu.lock.unlock();
    return vcpu.activity;
}

test "two hundred pauses of a vCPU that never exits, each obeyed and each ended" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0xff, 0x06, 0x02, 0x50, //       1:      inc    word [0x5002]
        0xeb, 0xfa, //                           jmp    1
    });
    try rig.go();
    for (0..200) |_| {
        rig.machine().pause(true);
        try rig_room.await(rig.vcpu(0), isHeld);
        const seen = rig.word(counter).*;
        for (0..1000) |_| try testing.expectEqual(seen, rig.word(counter).*);
        rig.machine().pause(false);
        const Moved = struct { rig: *Rig, seen: u16 };
        try rig_room.await(Moved{ .rig = &rig, .seen = seen }, struct {
            fn moved(m: Moved) bool {
                return m.rig.word(counter).* != m.seen;
            }
        }.moved);
    }
    var text: [1024]u8 = undefined;
    const shown = text[0..try rig.node.registers(0, &text)];
    try testing.expect(std.mem.indexOf(u8, shown, "vCPU 0 running") != null);
    try testing.expect(std.mem.indexOf(u8, shown, "cs=0100") != null);
    try rig.stop();
}

fn isHeld(vcpu: *Vcpu) bool {
    return vcpu.mailbox.held.load(.acquire);
}

test "a paused vCPU stops" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{ 0xeb, 0xfe }); // jmp 0
    try rig.go();
    rig.machine().pause(true);
    try rig_room.await(rig.vcpu(0), isHeld);
    try rig.stop();
}

test "an unknown MSR is #GP" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(wrmsr(0x1234_5678, 0, 0) ++ [_]u8{0xf4}));
    rig.put(0x2000, &.{
        0xb0, 0x0d, //                           mov    al,13
        0xe6, 0xf4, //                           out    0xf4,al
        0xf4, //                                 hlt
    });
    rig.handler(13, 0x2000);
    try rig.go();
    try rig.expectExit(13);
    try rig.stop();
}
