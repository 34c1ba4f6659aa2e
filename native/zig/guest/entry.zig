//! Everything that runs in ring 0, and how each vCPU gets from there to ring 3.
//!
//! Integer instructions only: some hosts emulate ring 0 and stop at anything else. The stubs keep
//! to a few instructions each; a vCPU finds its own page by rounding its stack pointer down.

const std = @import("std");
const cpu_mod = @import("cpu.zig");
const info_mod = @import("info.zig");
const crash = @import("crash.zig");
const stubs = @import("stubs.zig");
const Cpu = cpu_mod.Cpu;
const Info = info_mod.Info;
const print = std.fmt.comptimePrint;

/// Page below 1 MiB at which application processors start in real mode; SIPI vector = page number.
pub const trampoline_gpa = 0x8000;
pub const sipi_vector = trampoline_gpa >> 12;

const ring0_code = 0x08;
const task_selector = 0x40;
const user_data = 0x2b;
const user_code = 0x33;
const interrupt_flag = 0x202;
/// OSFXSR and OSXMMEXCPT (ring 3 may use SSE) and PAE.
const cr4_value = 0x620;
/// PG, AM (ring 3 may ask for alignment checks), WP, NE, ET, MP, PE.
const cr0_value = 0x80050033;

const invalid_opcode = 6;
const alignment_check = 17;
const spurious_vector = 0xff;

export var idt: [256][2]u64 align(4096) linksection(".data") = @splat(.{ 0, 0 });

extern const exception_stubs: [stubs.exceptions]u64;
extern const interrupt_stubs: [cpu_mod.Interrupt.all.len]u64;
extern const request_stub: u8;
extern const alignment_stub: u8;
extern const spurious_stub: u8;
extern const trampoline_start: u8;
extern const trampoline_end: u8;
extern const trampoline_cr3: u8;
extern const trampoline_entry: u8;

fn gate(vector: usize, handler: u64) void {
    const present_interrupt: u64 = 0x8e00;
    idt[vector] = .{
        (handler & 0xffff) | ring0_code << 16 | present_interrupt << 32 |
            (handler >> 16 & 0xffff) << 48,
        handler >> 32,
    };
}

/// Once, by the boot processor: interrupt table and trampoline, which all vCPUs then only read.
export fn bootSetup() callconv(.c) void {
    for (exception_stubs, 0..) |handler, vector| gate(vector, handler);
    for (interrupt_stubs, cpu_mod.Interrupt.all) |handler, interrupt| {
        gate(@intFromEnum(interrupt), handler);
    }
    gate(invalid_opcode, @intFromPtr(&request_stub));
    gate(alignment_check, @intFromPtr(&alignment_stub));
    gate(spurious_vector, @intFromPtr(&spurious_stub));
    const target: [*]u8 = @ptrFromInt(trampoline_gpa);
    const source: [*]const u8 = @ptrCast(&trampoline_start);
    const length = @intFromPtr(&trampoline_end) - @intFromPtr(&trampoline_start);
    for (0..length) |i| target[i] = source[i];
    const cr3 = asm volatile ("mov %%cr3, %[cr3]"
        : [cr3] "=r" (-> u64),
    );
    const slot: *align(1) u32 = @ptrFromInt(
        trampoline_gpa + @intFromPtr(&trampoline_cr3) - @intFromPtr(&trampoline_start),
    );
    slot.* = @truncate(cr3);
}

const TableRegister = extern struct { limit: u16 align(1), base: u64 align(1) };

/// Every vCPU, on its stack of ring 0: its own tables, its local APIC, then ring 3 for good.
export fn processorStart(cpu: *Cpu, info: *const Info, index: u64) callconv(.c) noreturn {
    const area = @intFromPtr(cpu);
    const task = area + @offsetOf(Cpu, "tss");
    cpu.gdt = .{
        0, // null
        0x00af9b000000ffff, // 0x08 ring 0 code
        0x00cf93000000ffff, // 0x10 ring 0 data
        0,
        0,
        0x00cff3000000ffff, // 0x28 ring 3 data
        0x00affb000000ffff, // 0x30 ring 3 code
        0,
        0x67 | (task & 0xffffff) << 16 | 0x89 << 40 | (task >> 24 & 0xff) << 56,
        task >> 32,
    };
    cpu.tss = @splat(0);
    std.mem.writeInt(u64, cpu.tss[4..12], area + info_mod.page, .little);
    // No I/O permission map: its offset is the limit of the segment.
    std.mem.writeInt(u16, cpu.tss[102..104], cpu.tss.len, .little);
    cpu.info = info;
    cpu.index = index;
    cpu.node = info.nodeOf(index);
    cpu.events = 0;
    cpu.counts = @splat(0);
    cpu.round = 0;
    cpu.meetings = 0;
    cpu.xapic = 0;
    cpu.watched = 0;
    cpu.recover = 0;
    cpu.refused = 0;
    cpu.random = (info.seed ^ (index + 1) *% 0x9e3779b97f4a7c15) | 1;
    const gdtr: TableRegister = .{ .limit = @sizeOf(@TypeOf(cpu.gdt)) - 1, .base = area };
    const idtr: TableRegister = .{ .limit = @sizeOf(@TypeOf(idt)) - 1, .base = @intFromPtr(&idt) };
    asm volatile ("lgdt (%[gdtr]); lidt (%[idtr]); ltr %[task]"
        :
        : [gdtr] "r" (&gdtr),
          [idtr] "r" (&idtr),
          [task] "r" (@as(u16, task_selector)),
        : .{ .memory = true });
    writeMsr(cpu_mod.msr.spurious, 0x100 | spurious_vector);
    writeMsr(cpu_mod.msr.timer_divide, cpu_mod.divide_by_1);
    writeMsr(cpu_mod.msr.timer_lvt, @intFromEnum(cpu_mod.Interrupt.nap));
    enterUser(cpu, area + info_mod.cpu_pages * info_mod.page - 8);
}

fn writeMsr(register: u32, value: u32) void {
    asm volatile ("wrmsr"
        :
        : [register] "{ecx}" (register),
          [low] "{eax}" (value),
          [high] "{edx}" (@as(u32, 0)),
    );
}

fn enterUser(cpu: *Cpu, stack: u64) noreturn {
    asm volatile (
        \\mov %[data], %%ds
        \\mov %[data], %%es
        \\push %[data64]
        \\push %[stack]
        \\push %[flags]
        \\push %[code]
        \\push %[main]
        \\iretq
        :
        : [data] "r" (@as(u32, user_data)),
          [data64] "r" (@as(u64, user_data)),
          [stack] "r" (stack),
          [flags] "r" (@as(u64, interrupt_flag)),
          [code] "r" (@as(u64, user_code)),
          [main] "r" (@intFromPtr(&@import("main.zig").userMain)),
          [cpu] "{rdi}" (cpu),
        : .{ .memory = true });
    unreachable;
}

/// First instruction of the image: 64-bit mode, identity page tables, rsi = information block.
const boot_code = print(
    \\.section .text.start,"ax"
    \\.code64
    \\.global _start
    \\_start:
    \\  cli
    \\  cld
    \\  mov {[areas]}(%rsi), %rsp
    \\  add $4096, %rsp
    \\  mov $info_gpa, %edi
    \\  mov %rsi, (%rdi)
    \\  mov %cr0, %rax
    \\  or ${[alignment]}, %eax
    \\  mov %rax, %cr0
    \\  call bootSetup
    \\processor:
    \\  mov ${[apic_base]}, %ecx
    \\  rdmsr
    \\  or $0xc00, %eax
    \\  wrmsr
    \\  mov ${[apic_id]}, %ecx
    \\  rdmsr
    \\  mov %eax, %edx
    \\  mov info_gpa, %rsi
    \\  mov {[areas]}(%rsi,%rdx,8), %rdi
    \\  lea 4096(%rdi), %rsp
    \\  call processorStart
    \\  ud2
    \\.section .data
    \\.balign 8
    \\info_gpa: .quad 0
    \\
, .{
    .areas = @offsetOf(Info, "cpu_area"),
    .alignment = cr0_value & 1 << 18,
    .apic_base = cpu_mod.msr.apic_base,
    .apic_id = cpu_mod.msr.apic_id,
});

/// Real mode at trampoline_gpa to 64-bit mode with the boot processor's page tables.
const trampoline_code = print(
    \\.section .rodata
    \\.code16
    \\.global trampoline_start, trampoline_end, trampoline_cr3
    \\trampoline_start:
    \\  cli
    \\  cld
    \\  movw %cs, %ax
    \\  movw %ax, %ds
    \\  lgdtl trampoline_gdtr - trampoline_start
    \\  movl ${[cr4]}, %eax
    \\  movl %eax, %cr4
    \\  movl trampoline_cr3 - trampoline_start, %eax
    \\  movl %eax, %cr3
    \\  movl $0xc0000080, %ecx
    \\  rdmsr
    \\  orl $0x100, %eax
    \\  wrmsr
    \\  movl ${[cr0]}, %eax
    \\  movl %eax, %cr0
    \\  .byte 0x66, 0xea
    \\  .long application_entry
    \\  .word 8
    \\.balign 8
    \\trampoline_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
    \\trampoline_gdtr: .word 23
    \\  .long {[gpa]} + trampoline_gdt - trampoline_start
    \\trampoline_cr3: .long 0
    \\trampoline_end:
    \\.section .text
    \\.code64
    \\application_entry:
    \\  mov $0x10, %eax
    \\  mov %eax, %ds
    \\  mov %eax, %es
    \\  mov %eax, %ss
    \\  jmp processor
    \\
, .{ .cr4 = cr4_value, .cr0 = cr0_value, .gpa = trampoline_gpa });

comptime {
    asm (boot_code ++ trampoline_code ++ stubs.text);
    @export(&crash.exceptionReport, .{ .name = "exceptionReport" });
}
