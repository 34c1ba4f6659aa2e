//! What the interrupt table points at: a few instructions each, as text for the assembler.

const std = @import("std");
const cpu_mod = @import("cpu.zig");
const Cpu = cpu_mod.Cpu;
const print = std.fmt.comptimePrint;

pub const exceptions = 32;

/// An interrupt counts itself, tells the local APIC (an NMI has nothing to tell) and returns.
fn interruptStub(comptime interrupt: cpu_mod.Interrupt) []const u8 {
    const slot = interrupt.slot();
    return print(
        \\interrupt_{[slot]}:
        \\  push %rax
        \\  mov %rsp, %rax
        \\  and $-4096, %rax
        \\  incq {[count]}(%rax)
        \\  incq {[events]}(%rax)
        \\
    , .{
        .slot = slot,
        .count = @offsetOf(Cpu, "counts") + 8 * slot,
        .events = @offsetOf(Cpu, "events"),
    }) ++ if (interrupt == .nmi) nmi_end else "  jmp interrupt_end\n";
}

/// An NMI comes even between the halt's look at `events` and the halt: it then goes on behind.
const nmi_end =
    \\  cmpq $halt_looked, 8(%rsp)
    \\  jb 1f
    \\  cmpq $halt_over, 8(%rsp)
    \\  jae 1f
    \\  movq $halt_over, 8(%rsp)
    \\1: pop %rax
    \\  iretq
    \\
;

/// End of interrupt, by memory in xAPIC mode and else by MSR.
const interrupt_end = print(
    \\interrupt_end:
    \\  cmpq $0, {[xapic]}(%rax)
    \\  je 1f
    \\  mov ${[eoi_gpa]}, %eax
    \\  movl $0, (%rax)
    \\  pop %rax
    \\  iretq
    \\1: push %rcx
    \\  push %rdx
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
    .xapic = @offsetOf(Cpu, "xapic"),
    .eoi = cpu_mod.msr.eoi,
    .eoi_gpa = cpu_mod.xapic_gpa + (cpu_mod.msr.eoi - 0x800) * 16,
});

/// #AC: the processor refused an instruction of ring 3. Where that was foreseen, ring 3 goes on
/// behind it; else it is an exception like all others.
const alignment_code = print(
    \\.global alignment_stub
    \\alignment_stub:
    \\  push %rax
    \\  push %rcx
    \\  mov %rsp, %rax
    \\  and $-4096, %rax
    \\  mov {[recover]}(%rax), %rcx
    \\  test %rcx, %rcx
    \\  je 1f
    \\  incq {[refused]}(%rax)
    \\  mov %rcx, 24(%rsp)
    \\  pop %rcx
    \\  pop %rax
    \\  add $8, %rsp
    \\  iretq
    \\1: pop %rcx
    \\  pop %rax
    \\  jmp exception_17
    \\
, .{ .recover = @offsetOf(Cpu, "recover"), .refused = @offsetOf(Cpu, "refused") });

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
    \\halt_looked:
    \\  jne halt_over
    \\  sti
    \\  hlt
    \\halt_over:
    \\  cli
    \\  pop %rax
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
    var lines: []const u8 = ".global " ++ name ++ "\n.balign 8\n" ++ name ++ ":\n";
    for (entries) |entry| lines = lines ++ "  .quad " ++ entry ++ "\n";
    return lines;
}

pub const text = blk: {
    @setEvalBranchQuota(100_000);
    var all: []const u8 = ".section .text\n.code64\n" ++ request_code ++ interrupt_end ++
        alignment_code ++ exception_common;
    var exception_names: [exceptions][]const u8 = undefined;
    for (0..exceptions) |vector| {
        all = all ++ exceptionStub(vector);
        exception_names[vector] = print("exception_{d}", .{vector});
    }
    var interrupt_names: [cpu_mod.Interrupt.all.len][]const u8 = undefined;
    for (cpu_mod.Interrupt.all, 0..) |interrupt, i| {
        all = all ++ interruptStub(interrupt);
        interrupt_names[i] = print("interrupt_{d}", .{i});
    }
    const requests = std.enums.values(cpu_mod.Request);
    var request_names: [requests.len][]const u8 = undefined;
    for (requests, 0..) |request, i| request_names[i] = "request_" ++ @tagName(request);
    break :blk all ++ ".section .rodata\n" ++ table("exception_stubs", &exception_names) ++
        table("interrupt_stubs", &interrupt_names) ++ table("request_stubs", &.{
        "request_halt",  "request_write_msr", "request_read_msr", "request_out8",
        "request_out32", "request_in8",       "request_in32",     "request_nothing",
    });
};
