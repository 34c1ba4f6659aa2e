//! A vCPU that a debugger stops, on the scripted machine of script_rig.zig: what KVM_RUN answers,
//! and what the test then finds.

const abi = @import("../abi.zig");
const kernel_room = @import("../sys/kernel.zig");
const script_rig = @import("script_rig.zig");
const Call = kernel_room.Call;
const Scripted = @import("../sys/scripted.zig").Scripted;
const Vcpu = @import("vcpu.zig").Vcpu;
const testing = @import("std").testing;

const debug_exit = 4;
/// Where the guest is.
pub const rip = 0x1002;
/// Guest physical address of an int3 of the debugger's.
pub const ours = 0x7002;

/// KVM_EXIT_DEBUG with this vector (SDM vol. 3A 6.15); DR6 of #BP is what another stop left there.
fn stop(comptime vector: u32) fn (*Scripted, Call) usize {
    return struct {
        fn answer(kernel: *Scripted, _: Call) usize {
            const run = kernel.run.?;
            run.exit_reason = debug_exit;
            run.exit.debug = .{ .exception = vector, .padding = 0, .pc = rip, .dr6 = 1, .dr7 = 0 };
            return 0;
        }
    }.answer;
}

pub const breakpoint = stop(1);
pub const int3 = stop(3);

pub fn isHeld(vcpu: *Vcpu) bool {
    return vcpu.mailbox.held.load(.acquire);
}

/// Answer of futex: held, and the VM ends.
pub fn endsHeld(kernel: *Scripted, _: Call) usize {
    const rig = script_rig.rigOf(kernel);
    if (!isHeld(rig.vcpu())) @panic("the vCPU is not held");
    rig.vcpu().tell(.stop);
    return kernel_room.failure(.AGAIN);
}

/// The next event is vCPU 0's stop at `rip`.
pub fn expectStop(rig: *script_rig.Rig, dr6: u64) !void {
    var event: [1]abi.Event = undefined;
    try testing.expectEqual(1, rig.events.take(&event));
    try testing.expectEqual(@intFromEnum(abi.EventKind.debug_stop), event[0].kind);
    try testing.expectEqual(0, event[0].a);
    try testing.expectEqual(rip, event[0].b);
    try testing.expectEqual(dr6, event[0].c);
}
