//! Architectural start states of a vCPU (Intel SDM vol. 3A 10.1.1 and 9.4), and of the boot
//! processor what the boot protocols ask for: Linux Documentation/arch/x86/boot.rst (64-bit), Xen
//! docs/misc/pvh.pandoc and Multiboot 0.6.96 section 3.2 (32-bit).

const std = @import("std");
const abi = @import("../abi.zig");
const kvm = @import("../sys/kvm.zig");

fn segment(selector: u16, base: u64, kind: u8, long: bool) kvm.Segment {
    return .{
        .base = base,
        .limit = 0xffff_ffff,
        .selector = selector,
        .type = kind,
        .present = 1,
        .dpl = 0,
        .db = @intFromBool(!long),
        .s = 1,
        .l = @intFromBool(long),
        .g = 1,
        .avl = 0,
        .unusable = 0,
    };
}

fn realSegment(selector: u16, kind: u8) kvm.Segment {
    var s = segment(selector, @as(u64, selector) << 4, kind, false);
    s.limit = 0xffff;
    s.db = 0;
    s.g = 0;
    return s;
}

const code_type = 0xb;
const data_type = 0x3;
const busy_tss = 0xb;

fn system(kind: u8) kvm.Segment {
    var s = realSegment(0, kind);
    s.s = 0;
    return s;
}

/// After RESET or INIT; `page` = the SIPI vector, the first page of code.
pub fn realMode(page: u8, apic_base: u64) kvm.Sregs {
    const data = realSegment(0, data_type);
    return .{
        .cs = realSegment(@as(u16, page) << 8, code_type),
        .ds = data,
        .es = data,
        .fs = data,
        .gs = data,
        .ss = data,
        .tr = system(busy_tss),
        .ldt = system(2),
        .gdt = .{ .base = 0, .limit = 0xffff },
        .idt = .{ .base = 0, .limit = 0xffff },
        // Extension type and the reset's cache-disable bits.
        .cr0 = 0x6000_0010,
        .cr2 = 0,
        .cr3 = 0,
        .cr4 = 0,
        .cr8 = 0,
        .efer = 0,
        .apic_base = apic_base,
        .interrupt_bitmap = @splat(0),
    };
}

pub fn realModeRegs() kvm.Regs {
    // Family, model, stepping in EDX after INIT: a family 6 processor.
    return .{ .rdx = 0x600 };
}

/// Selectors 0x10 (code) and 0x18 (data) over all of memory, no interrupt table.
fn flat(boot: *const abi.Boot, apic_base: u64, long: bool) kvm.Sregs {
    var s = realMode(0, apic_base);
    s.cs = segment(0x10, 0, code_type, long);
    const data = segment(0x18, 0, data_type, false);
    s.ds = data;
    s.es = data;
    s.fs = data;
    s.gs = data;
    s.ss = data;
    s.gdt = .{ .base = boot.gdt, .limit = 0x1f };
    s.idt = .{ .base = 0, .limit = 0 };
    return s;
}

/// 32-bit protected mode, paging off, interrupts off: of the control registers only CR0.PE is set
/// (and CR0.ET, which is always). The task segment is PVH's: base 0, limit 0x67.
pub fn protectedMode(boot: *const abi.Boot, apic_base: u64) kvm.Sregs {
    std.debug.assert(boot.rip <= std.math.maxInt(u32));
    var s = flat(boot, apic_base, false);
    s.tr.limit = 0x67;
    const pe_et = 0x11;
    s.cr0 = pe_et;
    return s;
}

/// 64-bit mode with the given page tables, interrupts off.
pub fn longMode(boot: *const abi.Boot, apic_base: u64) kvm.Sregs {
    var s = flat(boot, apic_base, true);
    const pe_mp_et_ne_wp_pg = 0x8005_0033 & ~@as(u64, 0x4_0000);
    s.cr0 = pe_mp_et_ne_wp_pg;
    s.cr3 = boot.cr3;
    const pae = 1 << 5;
    s.cr4 = pae;
    const long_mode_enabled_active = 1 << 8 | 1 << 10;
    s.efer = long_mode_enabled_active;
    return s;
}

/// For protected and long mode.
pub fn flatRegs(boot: *const abi.Boot) kvm.Regs {
    return .{
        .rip = boot.rip,
        .rax = boot.rax,
        .rbx = boot.rbx,
        .rsi = boot.rsi,
        .rsp = boot.rsp,
    };
}

/// One line per group, for crash reports and `registers`.
pub fn describe(regs: *const kvm.Regs, sregs: *const kvm.Sregs, out: []u8) []const u8 {
    return std.fmt.bufPrint(out,
        \\rip={x:0>16} rsp={x:0>16} rflags={x:0>8} cs={x:0>4} ss={x:0>4}
        \\rax={x:0>16} rbx={x:0>16} rcx={x:0>16} rdx={x:0>16}
        \\rsi={x:0>16} rdi={x:0>16} rbp={x:0>16} r8 ={x:0>16}
        \\r9 ={x:0>16} r10={x:0>16} r11={x:0>16} r12={x:0>16}
        \\r13={x:0>16} r14={x:0>16} r15={x:0>16}
        \\cr0={x:0>8} cr2={x:0>16} cr3={x:0>16} cr4={x:0>8} efer={x:0>4}
    , .{
        regs.rip,  regs.rsp,  regs.rflags, sregs.cs.selector, sregs.ss.selector,
        regs.rax,  regs.rbx,  regs.rcx,    regs.rdx,          regs.rsi,
        regs.rdi,  regs.rbp,  regs.r8,     regs.r9,           regs.r10,
        regs.r11,  regs.r12,  regs.r13,    regs.r14,          regs.r15,
        sregs.cr0, sregs.cr2, sregs.cr3,   sregs.cr4,         sregs.efer,
    }) catch out[0..0];
}
