//! PCI seen by guest bytes: the host bridge by ports and by memory, and a device whose own thread
//! stores to guest memory and interrupts by MSI-X.

const std = @import("std");
const devices = @import("devices.zig");
const rig_room = @import("rig.zig");
const Doorbell = @import("doorbell.zig").Doorbell;
const PciEffects = @import("../devices/pci/function.zig").Effects;
const Rig = rig_room.Rig;
const Sample = @import("../devices/pci/sample.zig").Sample;

test "the bridge's identity comes through 0xCF8 and through ECAM" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0x66, 0xba, 0xf8, 0x0c, //               mov  dx,0xcf8
        0xb8, 0x00, 0x00, 0x00, 0x80, //         mov  eax,0x80000000
        0xef, //                                 out  dx,eax
        0xed, //                                 in   eax,dx
        0xe7, 0xf4, //                           out  0xf4,eax
        0x66, 0xba, 0xfc, 0x0c, //               mov  dx,0xcfc
        0xed, //                                 in   eax,dx
        0xe7, 0xf4, //                           out  0xf4,eax
        0xbb, 0x00, 0x00, 0x00, 0xe0, //         mov  ebx,0xe0000000
        0x8b, 0x43, 0x08, //                     mov  eax,[rbx+8]
        0xe7, 0xf4, //                           out  0xf4,eax
        0x8b, 0x83, 0x00, 0x80, 0x00, 0x00, //   mov  eax,[rbx+0x8000]
        0xe7, 0xf4, //                           out  0xf4,eax
        0xf4, //                                 hlt
    });
    try rig.goLong();
    try rig.expectExit(0x8000_0000);
    try rig.expectExit(0x0d57_8086);
    try rig.expectExit(0x0600_0000);
    try rig.expectExit(0xffff_ffff);
    try rig.stop();
}

/// Lets device 1 send vector 0x42 to APIC 0, rings at its BAR 0 and waits.
const driver = [_]u8{
    0x0f, 0x01, 0x1c, 0x25, 0x00, 0x68, 0x00, 0x00, //             lidt [0x6800]
    0xbf, 0x00, 0x00, 0xe0, 0xfe, //                               mov  edi,0xfee00000
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // mov  [rdi+0xf0],0x1ff
    0xbb, 0x00, 0x80, 0x00, 0xe0, //                               mov  ebx,0xe0008000
    0x66, 0xc7, 0x43, 0x04, 0x06, 0x00, //                         mov  word [rbx+4],6
    0x8b, 0x73, 0x18, //                                           mov  esi,[rbx+0x18]
    0x83, 0xe6, 0xf0, //                                           and  esi,-16
    0xc7, 0x46, 0x10, 0x00, 0x00, 0xe0, 0xfe, //                   mov  [rsi+0x10],0xfee00000
    0xc7, 0x46, 0x18, 0x42, 0x00, 0x00, 0x00, //                   mov  [rsi+0x18],0x42
    0xc7, 0x46, 0x1c, 0x00, 0x00, 0x00, 0x00, //                   mov  [rsi+0x1c],0
    0x66, 0xc7, 0x43, 0x42, 0x00, 0x80, //                         mov  word [rbx+0x42],0x8000
    0x8b, 0x43, 0x10, //                                           mov  eax,[rbx+0x10]
    0xc7, 0x00, 0x07, 0x00, 0x00, 0x00, //                         mov  [rax],7
    0xfb, //                                                 0:    sti
    0xf4, //                                                       hlt
    0xeb, 0xfc, //                                                 jmp  0
};

/// The device's own thread: takes the value that was rung with, stores it, and interrupts.
const Service = struct {
    rig: *Rig,
    device: Sample = .{},
    bell: Doorbell = .{},
    stopping: std.atomic.Value(bool) = .init(false),
    value: u32 = 0,

    fn run(self: *Service) void {
        while (true) {
            const rings = self.bell.seen();
            if (self.stopping.load(.acquire)) return;
            devices.change(self.rig.machine(), self, take);
            if (self.value != 0) {
                self.rig.put(0x9000, std.mem.asBytes(&(self.value + 1)));
                devices.change(self.rig.machine(), self, raise);
            } else self.bell.wait(rings);
        }
    }

    fn take(self: *Service, _: *PciEffects) void {
        self.value = self.device.register;
        self.device.register = 0;
    }

    fn raise(self: *Service, effects: *PciEffects) void {
        self.device.function.raise(1, effects);
    }

    fn end(self: *Service, thread: std.Thread) void {
        self.stopping.store(true, .release);
        self.bell.ring();
        thread.join();
    }
};

test "a device's thread is rung for, and its interrupt finds what it has stored" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    var service: Service = .{ .rig = &rig };
    rig.machine().board.pci.attach(1, &service.device.function);
    rig.machine().doorbells[1] = &service.bell;
    const thread = try std.Thread.spawn(.{}, Service.run, .{&service});
    defer service.end(thread);
    rig.put(rig_room.start, &driver);
    rig.put(0x7000, &.{
        0x8b, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00, // mov  eax,[0x9000]
        0xe7, 0xf4, //                               out  0xf4,eax
        0xf4, //                                     hlt
    });
    const gate = [2]u64{ 0x7000 | 0x10 << 16 | 0x8e00 << 32, 0 };
    rig.put(0x6000 + 0x42 * 16, std.mem.asBytes(&gate));
    rig.put(0x6800, &.{ 0xff, 0x07, 0x00, 0x60, 0, 0, 0, 0, 0, 0 });
    try rig.goLong();
    try rig.expectExit(8);
    try rig.stop();
}
