//! Whether KVM tells of int3s here, which a debugger must know before it puts one into guest
//! memory: where #BP goes to the guest in spite of KVM_GUESTDBG_USE_SW_BP, the guest dies of it.
//! QEMU's emulated SVM has no intercept of int3 (raise_interrupt2 of target/i386/tcg looks for that
//! of INTn only), and KVM without hardware virtualization (PVM) reports none. So it is tried, with
//! one instruction of a VM that is thrown away.

const std = @import("std");
const exits = @import("exit.zig");
const kernel = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const state = @import("state.zig");
const os = linux.os;

const page_size = 4096;
const code = 0x400;
const stack = 0x800;
const vector_entry = 3 * 4;
const apic_base = 0xfee0_0900;
/// Above the page, as Intel needs it (kvm.zig, reserveRealModePages).
const real_mode_gpa = 0xfffb_c000;

/// Takes milliseconds.
pub fn reported(system: kvm.System) kvm.Error!bool {
    const vm = try system.createVm();
    defer vm.close();
    vm.reserveRealModePages(real_mode_gpa);
    const access: os.PROT = .{ .READ = true, .WRITE = true };
    const kind: os.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true };
    const mapped = .{ null, page_size, access, kind, -1, 0 };
    const start: [*]u8 = @ptrFromInt(try linux.check(kernel.call(.mmap, mapped)));
    defer _ = kernel.call(.munmap, .{ start, page_size });
    const memory = start[0..page_size];
    const int3_hlt = [_]u8{ 0xcc, 0xf4 };
    @memcpy(memory[code..][0..int3_hlt.len], &int3_hlt);
    // The guest's handler of #BP: the hlt.
    std.mem.writeInt(u16, memory[vector_entry..][0..2], code + 1, .little);
    try vm.addMemory(0, 0, memory);
    const vcpu = try vm.createVcpu(0);
    defer vcpu.close();
    try vcpu.setSregs(&state.realMode(0, apic_base));
    var regs = state.realModeRegs();
    regs.rip = code;
    regs.rsp = stack;
    try vcpu.setRegs(&regs);
    try vcpu.setGuestDebug(&.{ .control = kvm.debug_enable | kvm.debug_software });
    while (true) {
        vcpu.enter() catch |err| switch (err) {
            error.Interrupted, error.Again => continue,
            else => return err,
        };
        return exits.decode(vcpu.run) == .int3;
    }
}
