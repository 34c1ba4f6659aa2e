//! Guest bytes on the real /dev/kvm: each test is a few instructions, disassembled beside them, and
//! the exact exits they must cause. Real mode, so that nothing has to be set up; every kind of KVM
//! runs it (PVM by its emulator).

const std = @import("std");
const Bare = @import("bare.zig").Bare;
const testing = std.testing;

test "port accesses of every size, both ways" {
    var bare = try Bare.init(&.{
        0xba, 0xf9, 0x03, //                     mov    dx,0x3f9
        0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, //   mov    eax,0x12345678
        0xee, //                                 out    dx,al
        0xef, //                                 out    dx,ax
        0x66, 0xef, //                           out    dx,eax
        0xe4, 0x60, //                           in     al,0x60
        0xe5, 0x61, //                           in     ax,0x61
        0x66, 0xe5, 0x62, //                     in     eax,0x62
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    try bare.expectOut(0x3f9, 1, "\x78");
    try bare.expectOut(0x3f9, 2, "\x78\x56");
    try bare.expectOut(0x3f9, 4, "\x78\x56\x34\x12");
    try bare.answerIn(0x60, 1, "\xab");
    try bare.answerIn(0x61, 2, "\xcd\xef");
    // The next entry finishes `in al` and `in ax`; what they left is read back after the last one.
    try bare.answerIn(0x62, 4, "\x01\x02\x03\x04");
    try bare.expect(.halt);
    try testing.expectEqual(0x04030201, (try bare.vcpu.getRegs()).rax);
}

test "a narrow input keeps the rest of the register" {
    var bare = try Bare.init(&.{
        0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, //   mov    eax,0x12345678
        0xe4, 0x60, //                           in     al,0x60
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    try bare.answerIn(0x60, 1, "\xab");
    try bare.expect(.halt);
    try testing.expectEqual(0x123456ab, (try bare.vcpu.getRegs()).rax);
}

test "string input comes with a count up to the page end, string output one by one" {
    var bare = try Bare.init(&.{
        0xfc, //                                 cld
        0xba, 0x60, 0x00, //                     mov    dx,0x60
        0xbf, 0xfd, 0x2f, //                     mov    di,0x2ffd
        0xb9, 0x05, 0x00, //                     mov    cx,5
        0xf3, 0x6c, //                           rep insb es:[di],dx
        0xbe, 0xfd, 0x2f, //                     mov    si,0x2ffd
        0xb9, 0x03, 0x00, //                     mov    cx,3
        0xf3, 0x6e, //                           rep outsb dx,ds:[si]
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    try bare.answerIn(0x60, 1, "abc");
    try bare.answerIn(0x60, 1, "de");
    try bare.expectOut(0x60, 1, "a");
    try testing.expectEqualStrings("abcde", bare.memory[0x2ffd..0x3002]);
    try bare.expectOut(0x60, 1, "b");
    try bare.expectOut(0x60, 1, "c");
    try bare.expect(.halt);
}

test "memory that is not there: stores, a load, a store across pages as two exits" {
    var bare = try Bare.init(&.{
        0xb8, 0x00, 0x20, //                     mov    ax,0x2000
        0x8e, 0xd8, //                           mov    ds,ax
        0xc6, 0x06, 0x10, 0x00, 0x5a, //         mov    byte [0x10],0x5a
        0x66, 0xc7, 0x06, 0x20, 0x00, //         mov    dword [0x20],0x11223344
        0x44, 0x33, 0x22, 0x11, //
        0xa1, 0x30, 0x00, //                     mov    ax,[0x30]
        0x66, 0xc7, 0x06, 0xfe, 0x0f, //         mov    dword [0xffe],0xaabbccdd
        0xdd, 0xcc, 0xbb, 0xaa, //
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    try bare.expectStore(0x20010, "\x5a");
    try bare.expectStore(0x20020, "\x44\x33\x22\x11");
    try bare.expect(.{ .mmio = .{ .write = false, .address = 0x20030, .length = 2 } });
    bare.vcpu.run.exit.mmio.data[0..2].* = .{ 0x34, 0x12 };
    try bare.expectStore(0x20ffe, "\xdd\xcc");
    try testing.expectEqual(0x1234, (try bare.vcpu.getRegs()).rax);
    try bare.expectStore(0x21000, "\xbb\xaa");
    try bare.expect(.halt);
}

test "the x2APIC's registers are exits once APIC_BASE says so" {
    var bare = try Bare.init(&.{
        0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, //   mov    ecx,0x1b
        0x0f, 0x32, //                           rdmsr
        0x80, 0xcc, 0x0c, //                     or     ah,0xc
        0x0f, 0x30, //                           wrmsr
        0x66, 0xb9, 0x02, 0x08, 0x00, 0x00, //   mov    ecx,0x802
        0x0f, 0x32, //                           rdmsr
        0x66, 0xb9, 0x30, 0x08, 0x00, 0x00, //   mov    ecx,0x830
        0x0f, 0x30, //                           wrmsr
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    try bare.expect(.{ .read_msr = 0x802 });
    try testing.expectEqual(0xfee0_0d00, bare.vcpu.run.apic_base);
    bare.vcpu.run.exit.msr.data = 0x0000_0007_0000_4500;
    try bare.expect(.{ .write_msr = .{ .index = 0x830, .value = 0x7_0000_4500 } });
    bare.vcpu.run.exit.msr.failed = 0;
    try bare.expect(.halt);
}

test "an MSR that was preset reads so, and what KVM does not know is left alone" {
    var bare = try Bare.init(&.{
        0x66, 0xb9, 0xa0, 0x01, 0x00, 0x00, //   mov    ecx,0x1a0
        0x0f, 0x32, //                           rdmsr
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    bare.vcpu.presetMsr(0xffff_ffff, 1);
    bare.vcpu.presetMsr(0x1a0, 0x1801);
    try bare.expect(.halt);
    try testing.expectEqual(0x1801, (try bare.vcpu.getRegs()).rax);
}

test "an MSR nobody knows ends in #GP when the answer says failed" {
    var bare = try Bare.init(&.{
        0x66, 0x31, 0xc9, //                     xor    ecx,ecx
        0x66, 0x49, //                           dec    ecx
        0x0f, 0x30, //                           wrmsr
        0xf4, //                                 hlt
        0x5b, //                         8:      pop    bx
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    bare.handler(13, 8);
    try bare.expect(.{ .write_msr = .{ .index = 0xffff_ffff, .value = 0x600 << 32 } });
    bare.vcpu.run.exit.msr.failed = 1;
    try bare.expect(.halt);
    const regs = try bare.vcpu.getRegs();
    // The faulting instruction's address is on the stack: #GP is a fault.
    try testing.expectEqual(5, regs.rbx);
    try testing.expectEqual(0xa, regs.rip);
}

test "an interrupt wakes HLT, and its handler returns behind it" {
    var bare = try Bare.init(&.{
        0xfb, //                                 sti
        0xf4, //                                 hlt
        0xfa, //                                 cli
        0xf4, //                                 hlt
        0xe6, 0x80, //                   4:      out    0x80,al
        0xcf, //                                 iret
    });
    defer bare.deinit();
    bare.handler(0x20, 4);
    try bare.expect(.halt);
    try testing.expectEqual(1, bare.vcpu.run.if_flag);
    try testing.expectEqual(1, bare.vcpu.run.ready_for_interrupt_injection);
    try bare.vcpu.interrupt(0x20);
    try bare.expectOut(0x80, 1, "\x00");
    try testing.expectEqual(0, bare.vcpu.run.if_flag);
    try bare.expect(.halt);
    try testing.expectEqual(4, (try bare.vcpu.getRegs()).rip);
}

test "the interrupt window opens when the guest allows interrupts, not before" {
    var bare = try Bare.init(&.{
        0xe6, 0x80, //                           out    0x80,al
        0xe6, 0x81, //                           out    0x81,al
        0xfb, //                                 sti
        0x90, //                                 nop
        0xeb, 0xfe, //                   6:      jmp    6
        0xe6, 0x82, //                   8:      out    0x82,al
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    bare.handler(0x21, 8);
    try bare.expectOut(0x80, 1, "\x00");
    try testing.expectEqual(0, bare.vcpu.run.ready_for_interrupt_injection);
    bare.vcpu.run.request_interrupt_window = 1;
    try bare.expectOut(0x81, 1, "\x00");
    try bare.expect(.window);
    try testing.expectEqual(1, bare.vcpu.run.ready_for_interrupt_injection);
    try bare.vcpu.interrupt(0x21);
    bare.vcpu.run.request_interrupt_window = 0;
    try bare.expectOut(0x82, 1, "\x00");
    try bare.expect(.halt);
}

test "an NMI comes through closed interrupts" {
    var bare = try Bare.init(&.{
        0xf4, //                                 hlt
        0xf4, //                                 hlt
        0xe6, 0x80, //                   2:      out    0x80,al
        0xcf, //                                 iret
    });
    defer bare.deinit();
    bare.handler(2, 2);
    try bare.expect(.halt);
    try bare.vcpu.nmi();
    try bare.expectOut(0x80, 1, "\x00");
    try bare.expect(.halt);
    try testing.expectEqual(2, (try bare.vcpu.getRegs()).rip);
}

test "a triple fault is a shutdown, and the registers of the exit before it are kept" {
    var bare = try Bare.init(&.{
        0xb8, 0xef, 0xbe, 0xad, 0xde, //         mov    eax,0xdeadbeef
        0xe6, 0x80, //                           out    0x80,al
        0x0f, 0x0b, //                           ud2
    });
    defer bare.deinit();
    try bare.longMode();
    try bare.expectOut(0x80, 1, "\xef");
    if (bare.vcpu.run.kvm_valid_regs != 0) {
        try testing.expectEqual(0xdeadbeef, bare.vcpu.run.sync_regs.rax);
        try testing.expectEqual(0x10, bare.vcpu.run.sync_sregs.cs.selector);
    }
    // The table of interrupt handlers is empty: #UD, #DF, the end.
    try bare.expect(.shutdown);
}

test "immediate_exit finishes the access and goes no further" {
    var bare = try Bare.init(&.{
        0xe4, 0x60, //                           in     al,0x60
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    try bare.answerIn(0x60, 1, "\x42");
    bare.vcpu.run.immediate_exit = 1;
    try testing.expectError(error.Interrupted, bare.step());
    const regs = try bare.vcpu.getRegs();
    try testing.expectEqual(0x42, regs.rax & 0xff);
    try testing.expectEqual(2, regs.rip);
    bare.vcpu.run.immediate_exit = 0;
    try bare.expect(.halt);
}

test "an NMI behind sti lets the halt happen and still waits" {
    var bare = try Bare.init(&.{
        0xf4, //                                 hlt
        0xf4, //                                 hlt
        0xe6, 0x80, //                   2:      out    0x80,al
    });
    defer bare.deinit();
    bare.handler(2, 2);
    try bare.vcpu.nmiBehindSti();
    try bare.expect(.halt);
    // A processor would leave the halt at once: whoever sees this exit must not let it sleep.
    try testing.expect(try bare.vcpu.nmiWaits());
    try bare.expectOut(0x80, 1, "\x00");
    try testing.expect(!try bare.vcpu.nmiWaits());
}

test "clearing events drops an NMI that waited" {
    var bare = try Bare.init(&.{
        0xf4, //                                 hlt
        0xf4, //                                 hlt
        0xe6, 0x80, //                   2:      out    0x80,al
    });
    defer bare.deinit();
    bare.handler(2, 2);
    try bare.expect(.halt);
    try bare.vcpu.nmi();
    try bare.vcpu.clearEvents();
    try bare.expect(.halt);
    try testing.expectEqual(2, (try bare.vcpu.getRegs()).rip);
}
