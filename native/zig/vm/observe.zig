//! What the control plane sees of vCPUs, and what a debugger does to them. A running vCPU shows
//! what its last exit brought along (KVM_CAP_SYNC_REGS), never what it is asked for now: KVM's
//! ioctls would wait as long as a vCPU waits for a page. Only one that is held outside the guest
//! is touched.

const std = @import("std");
const abi = @import("../abi.zig");
const codec = @import("../wire/codec.zig");
const debug = @import("debug.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const memory = @import("../engine/memory.zig");
const Machine = @import("machine.zig").Machine;
const Vcpu = @import("vcpu.zig").Vcpu;
const assert = std.debug.assert;

pub const Error = error{ OutOfRange, NoBufferSpace };

/// State of a local vCPU into `out`; returns bytes. Asks for a newer exit, which a later call
/// shows.
pub fn vcpuState(machine: *Machine, index: u32, out: []u8) Error!usize {
    const vcpu = machine.local(index) orelse return error.OutOfRange;
    var lists: Lists = .{};
    vcpu.lock.lock();
    const regs = vcpu.last_regs;
    const sregs = vcpu.last_sregs;
    const exit_ns = vcpu.last_ns;
    const activity = vcpu.activity;
    const apic = vcpu.apic.summary();
    vcpu.lock.unlock();
    const engine = machine.engine;
    const page = engine.waits.pageOf(vcpu.slot);
    const state: abi.VcpuState = .{
        .vcpu = vcpu.index,
        .activity = @intFromEnum(activity),
        .held = vcpu.mailbox.held.load(.acquire),
        .inside = vcpu.mailbox.inside.load(.acquire),
        .now_ns = linux.nowNs(),
        .exit_ns = exit_ns,
        .wait_ns = if (page == null) 0 else engine.wait_since_ns[vcpu.slot].load(.monotonic),
        .wait_gpa = if (page) |p| memory.gpaOf(@as(u64, p) * memory.page_size) else 0,
        .general = lists.general(&regs),
        .segments = lists.segments(&sregs),
        .system = lists.system(&sregs),
        .apic_id = apic.id,
        .apic_base = apic.base,
        .tpr = apic.tpr,
        .svr = apic.svr,
        .lvt_timer = apic.lvt_timer,
        .timer_ns = apic.timer_ns orelse 0,
        .irr = lists.vectors(&lists.irr, &apic.irr),
        .isr = lists.vectors(&lists.isr, &apic.isr),
    };
    // One that is held or sleeps has nothing newer to show.
    if (activity == .running and vcpu.mailbox.read() == .run) vcpu.kick();
    const bytes = codec.encodeStruct(abi.VcpuState, &state, out) orelse
        return error.NoBufferSpace;
    return bytes.len;
}

/// Room for the lists of one answer.
const Lists = struct {
    words: [18]u64 = undefined,
    descriptors: [8]abi.SegmentState = undefined,
    controls: [9]u64 = undefined,
    irr: [256]u8 = undefined,
    isr: [256]u8 = undefined,

    comptime {
        assert(@sizeOf(kvm.Regs) == 18 * 8);
    }

    fn general(self: *Lists, regs: *const kvm.Regs) []const u64 {
        self.words = @bitCast(regs.*);
        return &self.words;
    }

    fn segments(self: *Lists, s: *const kvm.Sregs) []const abi.SegmentState {
        const all = [_]*const kvm.Segment{
            &s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss, &s.tr, &s.ldt,
        };
        for (all, &self.descriptors) |of, *out| {
            const low = of.type | of.s << 4 | of.dpl << 5 | of.present << 7;
            const high = of.avl | of.l << 1 | of.db << 2 | of.g << 3;
            out.* = .{
                .selector = of.selector,
                .base = of.base,
                .limit = of.limit,
                .access = @as(u32, high) << 12 | low,
            };
        }
        return &self.descriptors;
    }

    fn system(self: *Lists, s: *const kvm.Sregs) []const u64 {
        self.controls = .{
            s.cr0,      s.cr2,      s.cr3, s.cr4, s.cr8, s.efer, s.apic_base,
            s.gdt.base, s.idt.base,
        };
        return &self.controls;
    }

    fn vectors(_: *Lists, out: *[256]u8, set: *const std.StaticBitSet(256)) []const u8 {
        var count: usize = 0;
        var each = set.iterator(.{});
        while (each.next()) |vector| : (count += 1) out[count] = @intCast(vector);
        return out[0..count];
    }
};

fn held(machine: *Machine, index: u32) error{ OutOfRange, Busy }!*Vcpu {
    const vcpu = machine.local(index) orelse return error.OutOfRange;
    if (!vcpu.mailbox.held.load(.acquire)) return error.Busy;
    return vcpu;
}

/// Breakpoints, single step and the debugger's int3s (KVM_SET_GUEST_DEBUG, api.rst 4.87) of a vCPU
/// from when it enters the guest next.
pub fn guestDebug(machine: *Machine, index: u32, wanted: *const abi.GuestDebug) Error!void {
    const vcpu = machine.local(index) orelse return error.OutOfRange;
    const request: debug.Request = try .init(wanted);
    debug.leave(vcpu, &request);
}

/// General registers of a held vCPU.
pub fn setRegisters(machine: *Machine, index: u32, values: []const u64) !void {
    const vcpu = try held(machine, index);
    const words: *const [18]u64 = if (values.len == 18) values[0..18] else return error.OutOfRange;
    const regs: kvm.Regs = @bitCast(words.*);
    try vcpu.kvm.setRegs(&regs);
    vcpu.lock.lock();
    defer vcpu.lock.unlock();
    vcpu.last_regs = regs;
}
