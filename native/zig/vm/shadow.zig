//! Hosts whose processor forgets the interrupt shadow. Behind `sti` no interrupt comes before the
//! next instruction is done; `sti; hlt` is how a guest sleeps without losing a wake-up. VMRUN has
//! to restore that shadow from the VMCB (AMD APM vol. 2, 15.21.5). QEMU's emulated processor saves
//! it at #VMEXIT and never restores it (target/i386/tcg, helper_vmrun), so that an exit between the
//! two instructions, a host's timer suffices, opens the window before `hlt`: the interrupt is
//! served, the guest then halts, and what woke it is gone.
//!
//! The cure is right on every processor: an interrupt that is about to be injected at a `hlt` may
//! as well have come a moment later, when the processor had begun to halt. Then it goes on behind
//! it.

const std = @import("std");
const exits = @import("exit.zig");
const kvm = @import("../sys/kvm.zig");
const Alarm = @import("mailbox.zig").Alarm;
const offsetOf = @import("../engine/memory.zig").offsetOf;
const Vcpu = @import("vcpu.zig").Vcpu;

const hlt = 0xf4;

/// Whether this processor says that QEMU emulates it (CPUID 0x40000000).
pub fn forgotten() bool {
    const hypervisor_present = 1 << 31;
    if (cpuid(1)[2] & hypervisor_present == 0) return false;
    const words = cpuid(0x4000_0000)[1..4].*;
    return std.mem.eql(u8, std.mem.asBytes(&words), "TCGTCGTCGTCG");
}

fn cpuid(leaf: u32) [4]u32 {
    var eax: u32 = leaf;
    var ebx: u32 = undefined;
    var ecx: u32 = 0;
    var edx: u32 = undefined;
    asm volatile ("cpuid"
        : [a] "+{eax}" (eax),
          [b] "={ebx}" (ebx),
          [c] "+{ecx}" (ecx),
          [d] "={edx}" (edx),
    );
    return .{ eax, ebx, ecx, edx };
}

/// Moves a vCPU that will take an interrupt at a `hlt` behind it; false when it has none to take,
/// and one that comes now has to wait for the next look. In its thread, without its lock and while
/// nobody signals it: the instruction and the page tables above it are read as the guest would read
/// them and may have to come from another node, and a fault of the kernel's own in a thread with a
/// signal pending raises itself again until the page is there.
pub fn passHalt(vcpu: *Vcpu, alarm: *Alarm) kvm.Error!bool {
    if (!try vcpu.interruptWaits()) return false;
    const run_page = vcpu.kvm.run;
    if (run_page.ready_for_interrupt_injection == 0 or run_page.if_flag == 0) return false;
    switch (exits.decode(run_page)) {
        .interrupted, .window => {},
        // At an instruction of their own that is to be completed, or behind a HLT.
        else => return true,
    }
    if (run_page.kvm_valid_regs == 0 or run_page.sync_sregs.ss.dpl != 0) return true;
    alarm.set(null);
    const linear = run_page.sync_sregs.cs.base + run_page.sync_regs.rip;
    const gpa = try vcpu.kvm.translate(linear) orelse return true;
    const memory = &vcpu.machine.engine.memory;
    if (offsetOf(gpa, memory.ram_bytes) == null or memory.guest[@intCast(gpa)] != hlt) return true;
    run_page.sync_regs.rip += 1;
    try vcpu.kvm.setRegs(&run_page.sync_regs);
    return true;
}
