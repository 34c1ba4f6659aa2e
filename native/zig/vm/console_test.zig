//! A guest that prints more than anybody takes: it is slowed, and every byte arrives, in order.
//! What is awaited is the guest that waits, an event or bytes.

const std = @import("std");
const abi = @import("../abi.zig");
const limits = @import("../limits.zig");
const map = @import("../devices/map.zig");
const rig_room = @import("rig.zig");
const x2apic_on = @import("machine_test.zig").x2apic_on;
const Rig = rig_room.Rig;
const testing = std.testing;

const piece = 16;
/// More than there is room for.
const pieces = limits.console_bytes / piece * 5 / 4;

/// Prints the 16 bytes at 0x5000 `pieces` times by one instruction each, when THRE says so, and
/// counts in the word they begin with.
const print_pieces = [_]u8{
    0xfc, //                                     cld
    0xba, 0xfd, 0x03, //                 1:      mov    dx,0x3fd
    0xec, //                             2:      in     al,dx
    0xa8, 0x20, //                               test   al,0x20
    0x74, 0xfb, //                               jz     2
    0xba, 0xf8, 0x03, //                         mov    dx,0x3f8
    0xbe, 0x00, 0x50, //                         mov    si,0x5000
    0xb9, piece, 0x00, //                        mov    cx,16
    0xf3, 0x6e, //                               rep outsb dx,[si]
    0xff, 0x06, 0x00, 0x50, //                   inc    word [0x5000]
    0x81, 0x3e, 0x00, 0x50, //                   cmp    word [0x5000],pieces
} ++ std.mem.toBytes(@as(u16, pieces)) ++ [_]u8{
    0x75, 0xe1, //                               jne    1
};

/// Whether a byte is held in the transmitter.
fn waits(rig: *Rig) bool {
    rig.machine().board_lock.lock();
    defer rig.machine().board_lock.unlock();
    return !rig.machine().board.uart.empty;
}

fn count(rig: *Rig, counter: abi.Counter) u64 {
    return rig.node.count.values[@intFromEnum(counter)].load(.monotonic);
}

test "a guest that prints more than there is room for waits, and every byte arrives" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(print_pieces ++ [_]u8{
        0xe6, 0xf4, //                           out    0xf4,al
        0xf4, //                                 hlt
    }));
    rig.put(0x5000, "\x00\x00: how it goes.");
    try rig.go();
    // Nobody takes anything until the guest has looked at THRE in vain so often that it would have
    // printed more than there is room for.
    try rig_room.await(&rig, waits);
    const Looked = struct { rig: *Rig, before: u64 };
    const before = count(&rig, .io_local);
    try rig_room.await(Looked{ .rig = &rig, .before = before }, struct {
        fn enough(looked: Looked) bool {
            return count(looked.rig, .io_local) > looked.before + limits.console_bytes / 2;
        }
    }.enough);
    for (0..pieces) |number| {
        var got: [piece]u8 = undefined;
        try rig.printed(&got);
        try testing.expectEqual(number, std.mem.readInt(u16, got[0..2], .little));
        try testing.expectEqualStrings(": how it goes.", got[2..]);
    }
    _ = try rig.event(.debug_exit);
    try testing.expectEqual(0, count(&rig, .console_lost));
    try rig.stop();
}

test "a guest that sleeps until it may print on is woken when its output is taken" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &(x2apic_on ++ [_]u8{
        0xfc, //                                 cld
        0xba, 0xfd, 0x03, //             1:      mov    dx,0x3fd
        0xec, //                                 in     al,dx
        0xa8, 0x20, //                           test   al,0x20
        0x74, 0x0d, //                           jz     2
        0xba, 0xf8, 0x03, //                     mov    dx,0x3f8
        0xbe, 0x00, 0x50, //                     mov    si,0x5000
        0xb9, piece, 0x00, //                    mov    cx,16
        0xf3, 0x6e, //                           rep outsb dx,[si]
        0xeb, 0xeb, //                           jmp    1
        0xba, 0xfc, 0x03, //             2:      mov    dx,0x3fc
        0xb0, 0x08, //                           mov    al,8
        0xee, //                                 out    dx,al: OUT2
        0xba, 0xf9, 0x03, //                     mov    dx,0x3f9
        0xb0, 0x02, //                           mov    al,2
        0xee, //                                 out    dx,al: transmit interrupt
        0xfb, //                                 sti
        0xf4, //                                 hlt
    }));
    rig.put(0x2000, &.{
        0xba, 0xfa, 0x03, //                     mov    dx,0x3fa
        0xec, //                                 in     al,dx
        0xe6, 0xf4, //                           out    0xf4,al
        0xfa, //                                 cli
        0xf4, //                                 hlt
    });
    rig.handler(0x34, 0x2000);
    rig.machine().board.io_apic.entries[map.uart_irq] = 0x34;
    try rig.go();
    try rig_room.await(&rig, struct {
        fn sleeps(r: *Rig) bool {
            const vcpu = r.vcpu(0);
            vcpu.lock.lock();
            defer vcpu.lock.unlock();
            return vcpu.activity == .halted;
        }
    }.sleeps);
    try testing.expect(waits(&rig));
    var none: [1]abi.Event = undefined;
    try testing.expectEqual(0, try rig.node.takeEvents(&none));
    var got: [limits.console_bytes / 2]u8 = undefined;
    try rig.printed(&got);
    const transmit = 2;
    try rig.expectExit(transmit);
    try rig.stop();
}

const hello = [_]u8{
    0xfc, //                                     cld
    0xba, 0xf8, 0x03, //                         mov    dx,0x3f8
    0xbe, 0x00, 0x50, //                         mov    si,0x5000
    0xb9, 0x05, 0x00, //                         mov    cx,5
    0xf3, 0x6e, //                               rep outsb dx,[si]
    0xe6, 0xf4, //                               out    0xf4,al
    0xf4, //                                     hlt
};

test "what was printed before an event is there when the event is" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &hello);
    rig.put(0x5000, "hello");
    try rig.go();
    _ = try rig.event(.debug_exit);
    try rig.stop();
    var got: [6]u8 = undefined;
    try testing.expectEqualStrings("hello", got[0..try rig.node.takeConsole(&got)]);
}

test "what a guest prints in spite of all warnings is counted as lost" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &hello);
    rig.machine().board.output.length = limits.console_bytes - 2;
    try rig.go();
    _ = try rig.event(.debug_exit);
    try testing.expectEqual(3, count(&rig, .console_lost));
    try rig.stop();
}
