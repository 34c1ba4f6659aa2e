//! Whether KVM tells of int3s here, which a debugger must know before it puts one into guest
//! memory: where #BP goes to the guest in spite of KVM_GUESTDBG_USE_SW_BP, the guest dies of it.
//! QEMU's emulated SVM has no intercept of int3 (raise_interrupt2 of target/i386/tcg looks for that
//! of INTn only), and KVM without hardware virtualization (PVM) reports none. So it is tried, with
//! one instruction of a VM that is thrown away.

const kvm = @import("../sys/kvm.zig");
const trial_room = @import("trial.zig");
const Trial = trial_room.Trial;

const int3_hlt = [_]u8{ 0xcc, 0xf4 };
const vector = 3;

/// Takes milliseconds.
pub fn reported(system: kvm.System) kvm.Error!bool {
    const trial: Trial = try .init(system, &int3_hlt);
    defer trial.deinit();
    // The guest's handler is the hlt.
    trial.handler(vector, trial_room.code_address + 1);
    try trial.vcpu.setGuestDebug(&.{ .control = kvm.debug_enable | kvm.debug_software });
    return try trial.run() == .int3;
}
