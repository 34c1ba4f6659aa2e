//! What a debugger wants of one vCPU: breakpoints, a step, and the int3s that it has put into guest
//! memory. Any thread leaves it here, whatever the vCPU is at; the vCPU takes it over before it
//! enters the guest next, so that none which is let go runs into an int3 that it does not know.
//!
//! While there are such int3s, KVM hands every #BP to us instead of the guest (api.rst 4.87,
//! KVM_GUESTDBG_USE_SW_BP). One that is not the debugger's is the guest's own, for its kernel to
//! patch code with or for its programs, and goes on to it.

const std = @import("std");
const abi = @import("../abi.zig");
const kvm = @import("../sys/kvm.zig");
const limits = @import("../limits.zig");
const Vcpu = @import("vcpu.zig").Vcpu;
const assert = std.debug.assert;

/// Debug registers of a processor that hold addresses.
const breakpoints_max = 4;

pub const Request = struct {
    kvm: kvm.GuestDebug = .{},
    /// Guest physical addresses.
    int3s: [limits.int3s_max]u64 = undefined,
    count: usize = 0,

    pub fn init(wanted: *const abi.GuestDebug) error{OutOfRange}!Request {
        if (wanted.breakpoints.len > breakpoints_max) return error.OutOfRange;
        if (wanted.int3s.len > limits.int3s_max) return error.OutOfRange;
        var self: Request = .{ .count = wanted.int3s.len };
        @memcpy(self.int3s[0..self.count], wanted.int3s);
        const asked = &self.kvm;
        if (self.count > 0) asked.control |= kvm.debug_enable | kvm.debug_software;
        if (wanted.single_step) asked.control |= kvm.debug_enable | kvm.debug_single_step;
        for (wanted.breakpoints, 0..) |*point, i| {
            if (point.kind > 3 or point.size > 3) return error.OutOfRange;
            asked.control |= kvm.debug_enable | kvm.debug_hardware;
            asked.registers[i] = point.address;
            const fields: u64 = point.kind | point.size << 2;
            const enable = @as(u64, 2) << @intCast(2 * i);
            asked.registers[7] |= fields << @intCast(16 + 4 * i) | enable;
        }
        return self;
    }

    fn owns(self: *const Request, gpa: u64) bool {
        return std.mem.indexOfScalar(u64, self.int3s[0..self.count], gpa) != null;
    }
};

pub const Debug = struct {
    /// Under the vCPU's lock.
    wanted: Request = .{},
    changed: std.atomic.Value(bool) = .init(false),
    /// What KVM was told last; the vCPU's own.
    current: Request = .{},

    /// An interrupt would push the flag that makes a processor step, and the guest would trap when
    /// it returns: none is given to a vCPU that steps.
    pub fn steps(self: *const Debug) bool {
        return self.current.kvm.control & kvm.debug_single_step != 0;
    }
};

/// Any thread.
pub fn leave(vcpu: *Vcpu, request: *const Request) void {
    vcpu.lock.lock();
    vcpu.debug.wanted = request.*;
    vcpu.lock.unlock();
    vcpu.debug.changed.store(true, .release);
    // One that is held has to come by here before it enters the guest.
    if (vcpu.mailbox.read() == .run) vcpu.kick();
}

/// In the vCPU's thread, outside the guest.
pub fn takeOver(vcpu: *Vcpu) kvm.Error!void {
    const debug = &vcpu.debug;
    if (!debug.changed.swap(false, .acquire)) return;
    vcpu.lock.lock();
    debug.current = debug.wanted;
    vcpu.lock.unlock();
    try vcpu.kvm.setGuestDebug(&debug.current.kvm);
}

/// Whether the int3 at this linear address is the debugger's; any other goes on to the guest.
/// The instruction itself is not done yet, on AMD as on Intel (svm.c, bp_interception; SDM vol. 3C
/// 28.3.3): the vCPU stands at it.
pub fn takesInt3(vcpu: *Vcpu, rip: u64) kvm.Error!bool {
    // Another vCPU has taken the page away: it meets a page fault, or whatever is there now.
    const gpa = try vcpu.kvm.translate(rip) orelse return false;
    if (vcpu.debug.current.owns(gpa)) return true;
    const asked = &vcpu.debug.current.kvm;
    // A step ends here: its flag would get into the frame that the exception pushes.
    asked.control &= ~kvm.debug_single_step;
    var request = asked.*;
    request.control |= kvm.debug_enable | kvm.debug_inject_int3;
    try vcpu.kvm.setGuestDebug(&request);
    return false;
}
