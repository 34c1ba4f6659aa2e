//! Everything that runs in ring 0, and how each vCPU gets from there to ring 3.
//!
//! Integer instructions only: some hosts emulate ring 0 and stop at anything else. The stubs keep
//! to a few instructions each; a vCPU finds its own page by rounding its stack pointer down.

const std = @import("std");
const cpu_mod = @import("cpu.zig");
const info_mod = @import("info.zig");
const crash = @import("crash.zig");
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
/// PG, WP, NE, ET, MP, PE.
const cr0_value = 0x80010033;

const exceptions = 32;
const invalid_opcode = 6;
const spurious_vector = 0xff;

export var idt: [256][2]u64 align(4096) linksection(".data") = @splat(.{ 0, 0 });

extern const exception_stubs: [exceptions]u64;
extern const interrupt_stubs: [cpu_mod.Interrupt.all.len]u64;
extern const request_stub: u8;
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

/// An interrupt counts itself, tells the local APIC and returns.
fn interruptStub(comptime slot: u64) []const u8 {
    return print(
        \\interrupt_{[slot]}:
        \\  push %rax
        \\  push %rcx
        \\  push %rdx
        \\  mov %rsp, %rax
        \\  and $-4096, %rax
        \\  incq {[count]}(%rax)
        \\  incq {[events]}(%rax)
        \\  mov ${[eoi]}, %ecx
        \\  xor %eax, %eax
        \\  xor %edx, %edx
        \\  wrmsr
        \\  pop %rdx
        \\  pop %rcx
        \\  pop %rax
        \\  iretq
        \\
    , .{
        .slot = slot,
        .count = @offsetOf(Cpu, "counts") + 8 * slot,
        .events = @offsetOf(Cpu, "events"),
        .eoi = cpu_mod.msr.eoi,
    });
}

/// Requests of ring 3, numbered as in cpu.zig. The halt looks at `events` with interrupts off and
/// `sti` takes effect after `hlt` has begun, so that no wake-up is lost.
const request_code = print(
    \\.global request_stub
    \\request_stub:
    \\  cmp ${[magic]}, %r9d
    \\  jne exception_6
    \\  addq $2, (%rsp)
    \\  jmp *request_stubs(,%r8,8)
    \\request_halt:
    \\  push %rax
    \\  mov %rsp, %rax
    \\  and $-4096, %rax
    \\  cmp {[events]}(%rax), %rdi
    \\  jne 1f
    \\  sti
    \\  hlt
    \\  cli
    \\1: pop %rax
    \\  iretq
    \\request_write_msr:
    \\  wrmsr
    \\  iretq
    \\request_read_msr:
    \\  rdmsr
    \\  iretq
    \\request_out8:
    \\  outb %al, %dx
    \\  iretq
    \\request_out32:
    \\  outl %eax, %dx
    \\  iretq
    \\request_in8:
    \\  inb %dx, %al
    \\  iretq
    \\request_in32:
    \\  inl %dx, %eax
    \\  iretq
    \\.global spurious_stub
    \\spurious_stub:
    \\request_nothing:
    \\  iretq
    \\
, .{ .magic = cpu_mod.request_magic, .events = @offsetOf(Cpu, "events") });

fn exceptionStub(comptime vector: u8) []const u8 {
    const has_code = switch (vector) {
        8, 10...14, 17, 21, 29, 30 => true,
        else => false,
    };
    return print("exception_{d}:\n", .{vector}) ++ (if (has_code) "" else "  push $0\n") ++
        print("  push ${d}\n  jmp exception_common\n", .{vector});
}

const exception_common =
    \\exception_common:
    \\  mov %rsp, %rsi
    \\  mov %rsp, %rdi
    \\  and $-4096, %rdi
    \\  and $-16, %rsp
    \\  call exceptionReport
    \\  ud2
    \\
;

fn table(comptime name: []const u8, comptime entries: []const []const u8) []const u8 {
    var text: []const u8 = ".global " ++ name ++ "\n.balign 8\n" ++ name ++ ":\n";
    for (entries) |entry| text = text ++ "  .quad " ++ entry ++ "\n";
    return text;
}

const stubs = blk: {
    @setEvalBranchQuota(100_000);
    var text: []const u8 = ".section .text\n.code64\n" ++ request_code ++ exception_common;
    var exception_names: [exceptions][]const u8 = undefined;
    for (0..exceptions) |vector| {
        text = text ++ exceptionStub(vector);
        exception_names[vector] = print("exception_{d}", .{vector});
    }
    var interrupt_names: [cpu_mod.Interrupt.all.len][]const u8 = undefined;
    for (cpu_mod.Interrupt.all, 0..) |interrupt, i| {
        text = text ++ interruptStub(interrupt.slot());
        interrupt_names[i] = print("interrupt_{d}", .{interrupt.slot()});
    }
    const requests = std.enums.values(cpu_mod.Request);
    var request_names: [requests.len][]const u8 = undefined;
    for (requests, 0..) |request, i| request_names[i] = "request_" ++ @tagName(request);
    break :blk text ++ ".section .rodata\n" ++ table("exception_stubs", &exception_names) ++
        table("interrupt_stubs", &interrupt_names) ++ table("request_stubs", &.{
        "request_halt",  "request_write_msr", "request_read_msr", "request_out8",
        "request_out32", "request_in8",       "request_in32",     "request_nothing",
    });
};

comptime {
    asm (boot_code ++ trampoline_code ++ stubs);
    @export(&crash.exceptionReport, .{ .name = "exceptionReport" });
}
