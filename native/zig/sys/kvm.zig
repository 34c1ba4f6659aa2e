//! KVM by hand (Documentation/virt/kvm/api.rst, uapi/linux/kvm.h). native/c/abi_check.c compares
//! numbers, sizes and offsets with the kernel's header.
//!
//! Long because it is a list: structures, numbers and one-line calls.

const std = @import("std");
const kernel = @import("kernel.zig");
const linux = @import("linux.zig");
const os = linux.os;
const assert = std.debug.assert;

pub const Error = linux.Error;

/// Head of the shared page of a vCPU (struct kvm_run).
pub const Run = extern struct {
    request_interrupt_window: u8,
    immediate_exit: u8,
    padding1: [6]u8,
    exit_reason: u32,
    ready_for_interrupt_injection: u8,
    if_flag: u8,
    flags: u16,
    cr8: u64,
    apic_base: u64,
    exit: extern union {
        hw: extern struct { reason: u64 },
        exception: extern struct { vector: u32, error_code: u32 },
        fail_entry: extern struct { reason: u64, cpu: u32 },
        io: extern struct { direction: u8, size: u8, port: u16, count: u32, data_offset: u64 },
        mmio: extern struct { address: u64, data: [8]u8, length: u32, is_write: u8 },
        msr: extern struct { failed: u8, padding: [7]u8, reason: u32, index: u32, data: u64 },
        debug: extern struct { exception: u32, padding: u32, pc: u64, dr6: u64, dr7: u64 },
        internal: extern struct { suberror: u32, ndata: u32, data: [16]u64 },
        emulation: extern struct {
            suberror: u32,
            ndata: u32,
            flags: u64,
            instruction_size: u8,
            instruction: [15]u8,
        },
        padding: [256]u8,
    },
    kvm_valid_regs: u64,
    kvm_dirty_regs: u64,
    sync_regs: Regs,
    sync_sregs: Sregs,
};

pub const Regs = extern struct {
    rax: u64 = 0,
    rbx: u64 = 0,
    rcx: u64 = 0,
    rdx: u64 = 0,
    rsi: u64 = 0,
    rdi: u64 = 0,
    rsp: u64 = 0,
    rbp: u64 = 0,
    r8: u64 = 0,
    r9: u64 = 0,
    r10: u64 = 0,
    r11: u64 = 0,
    r12: u64 = 0,
    r13: u64 = 0,
    r14: u64 = 0,
    r15: u64 = 0,
    rip: u64 = 0,
    rflags: u64 = 2,
};

pub const Segment = extern struct {
    base: u64,
    limit: u32,
    selector: u16,
    type: u8,
    present: u8,
    dpl: u8,
    db: u8,
    s: u8,
    l: u8,
    g: u8,
    avl: u8,
    unusable: u8,
    padding: u8 = 0,
};

pub const Table = extern struct { base: u64, limit: u16, padding: [3]u16 = @splat(0) };

pub const Sregs = extern struct {
    cs: Segment,
    ds: Segment,
    es: Segment,
    fs: Segment,
    gs: Segment,
    ss: Segment,
    tr: Segment,
    ldt: Segment,
    gdt: Table,
    idt: Table,
    cr0: u64,
    cr2: u64,
    cr3: u64,
    cr4: u64,
    cr8: u64,
    efer: u64,
    apic_base: u64,
    interrupt_bitmap: [4]u64,
};

pub const CpuidEntry = extern struct {
    function: u32,
    index: u32,
    flags: u32,
    eax: u32,
    ebx: u32,
    ecx: u32,
    edx: u32,
    padding: [3]u32 = @splat(0),
};

pub const cpuid_entries_max = 256;
pub const Cpuid = extern struct {
    count: u32 = cpuid_entries_max,
    padding: u32 = 0,
    entries: [cpuid_entries_max]CpuidEntry,
};

const MemoryRegion = extern struct { slot: u32, flags: u32, gpa: u64, bytes: u64, address: u64 };
pub const EnableCap = extern struct { cap: u32, flags: u32, args: [4]u64, padding: [64]u8 };
/// struct kvm_debugregs with the values after RESET and INIT.
const DebugRegs = extern struct {
    db: [4]u64 = @splat(0),
    dr6: u64 = 0xffff_0ff0,
    dr7: u64 = 0x400,
    flags: u64 = 0,
    reserved: [9]u64 = @splat(0),
};
/// struct kvm_guest_debug; `registers` = DR0 to DR7.
pub const GuestDebug = extern struct {
    control: u32 = 0,
    padding: u32 = 0,
    registers: [8]u64 = @splat(0),
};
const MsrEntry = extern struct { index: u32, reserved: u32 = 0, data: u64 };
pub const Msrs = extern struct { count: u32 = 1, padding: u32 = 0, entry: MsrEntry };
pub const DeviceAttr = extern struct { flags: u32 = 0, group: u32, attr: u64, address: u64 };

/// struct kvm_msr_filter: which accesses KVM may carry out, by ranges of one bit per register, 0 =
/// it must not. What no range names it may.
const MsrFilter = extern struct { flags: u32 = 0, padding: u32 = 0, ranges: [16]MsrRange };
const MsrRange = extern struct { flags: u32, count: u32, base: u32, padding: u32 = 0, bitmap: u64 };
const msr_filter_read = 1;
const msr_filter_write = 2;

pub const Translation = extern struct {
    linear: u64,
    physical: u64 = 0,
    valid: u8 = 0,
    writable: u8 = 0,
    user: u8 = 0,
    padding: [5]u8 = @splat(0),
};

/// struct kvm_vcpu_events; `head` = exception and interrupt, `tail` = SMM and what came later.
const VcpuEvents = extern struct {
    head: [11]u8,
    /// The instruction before was `sti` (2) or a load of SS (1): neither interrupt nor NMI comes.
    shadow: u8,
    nmi_injected: u8,
    nmi_pending: u8,
    nmi_masked: u8,
    padding: u8,
    sipi_vector: u32,
    flags: u32,
    tail: [40]u8,
};
const nmi_pending_valid = 1;
const shadow_valid = 4;

comptime {
    assert(@sizeOf(Regs) == 144);
    assert(@sizeOf(Segment) == 24);
    assert(@sizeOf(Sregs) == 312);
    assert(@offsetOf(Segment, "type") == 14 and @offsetOf(Segment, "unusable") == 22);
    assert(@offsetOf(Regs, "rip") == 128);
    assert(@offsetOf(Sregs, "gdt") == 192 and @offsetOf(Sregs, "cr0") == 224);
    assert(@offsetOf(Sregs, "apic_base") == 272);
    assert(@offsetOf(Cpuid, "entries") == 8 and @sizeOf(CpuidEntry) == 40);
    assert(@offsetOf(MemoryRegion, "address") == 24);
    assert(@offsetOf(EnableCap, "args") == 8);
    assert(@offsetOf(DeviceAttr, "address") == 16);
    assert(@offsetOf(Msrs, "entry") == 8 and @sizeOf(MsrEntry) == 16);
    assert(@sizeOf(VcpuEvents) == 64);
    assert(@sizeOf(Translation) == translate_address >> 16 & 0x3fff);
    assert(@offsetOf(VcpuEvents, "nmi_pending") == 13);
    assert(@offsetOf(VcpuEvents, "flags") == 20);
    assert(@offsetOf(Run, "exit") == 32);
    assert(@offsetOf(Run, "kvm_valid_regs") == 288);
    assert(@offsetOf(Run, "sync_sregs") == 304 + 144);
    assert(ioctl_set_sregs == 0x4138ae84);
    assert(ioctl_enable_cap == 0x4068aea3);
    assert(set_debugregs == 0x4080aea2);
    assert(set_guest_debug == 0x4048ae9b);
    assert(@offsetOf(MsrFilter, "ranges") == 8 and @sizeOf(MsrRange) == 24);
    assert(@offsetOf(MsrRange, "bitmap") == 16);
    assert(set_msr_filter == 0x4188aec6);
}

pub const get_api_version = os.IOCTL.IO(0xae, 0x00);
pub const create_vm = os.IOCTL.IO(0xae, 0x01);
pub const check_extension = os.IOCTL.IO(0xae, 0x03);
pub const get_vcpu_mmap_size = os.IOCTL.IO(0xae, 0x04);
pub const get_supported_cpuid: u32 = 0xc008ae05;
pub const create_vcpu = os.IOCTL.IO(0xae, 0x41);
pub const set_user_memory_region = os.IOCTL.IOW(0xae, 0x46, MemoryRegion);
pub const set_tss_addr = os.IOCTL.IO(0xae, 0x47);
pub const set_identity_map_addr = os.IOCTL.IOW(0xae, 0x48, u64);
pub const run_vcpu = os.IOCTL.IO(0xae, 0x80);
pub const get_regs = os.IOCTL.IOR(0xae, 0x81, Regs);
pub const set_regs = os.IOCTL.IOW(0xae, 0x82, Regs);
pub const get_sregs = os.IOCTL.IOR(0xae, 0x83, Sregs);
pub const ioctl_set_sregs = os.IOCTL.IOW(0xae, 0x84, Sregs);
pub const inject_interrupt = os.IOCTL.IOW(0xae, 0x86, u32);
pub const set_msrs: u32 = 0x4008ae89;
pub const get_msrs: u32 = 0xc008ae88;
pub const translate_address: u32 = 0xc018ae85;
pub const set_cpuid2: u32 = 0x4008ae90;
pub const set_vcpu_events = os.IOCTL.IOW(0xae, 0xa0, VcpuEvents);
pub const get_vcpu_events = os.IOCTL.IOR(0xae, 0x9f, VcpuEvents);
pub const inject_nmi = os.IOCTL.IO(0xae, 0x9a);
pub const set_guest_debug = os.IOCTL.IOW(0xae, 0x9b, GuestDebug);
pub const set_debugregs = os.IOCTL.IOW(0xae, 0xa2, DebugRegs);
pub const get_tsc_khz = os.IOCTL.IO(0xae, 0xa3);
pub const set_tsc_khz = os.IOCTL.IO(0xae, 0xa2);
pub const ioctl_enable_cap = os.IOCTL.IOW(0xae, 0xa3, EnableCap);
pub const set_msr_filter = os.IOCTL.IOW(0xae, 0xc6, MsrFilter);
pub const set_device_attr = os.IOCTL.IOW(0xae, 0xe1, DeviceAttr);
pub const get_device_attr = os.IOCTL.IOW(0xae, 0xe2, DeviceAttr);

const cap_sync_regs = 74;
pub const cap_immediate_exit = 136;
pub const cap_user_space_msr = 188;
pub const cap_msr_filter = 189;
const cap_enforce_pv_feature_cpuid = 190;
pub const cap_pmu_capability = 212;
const pmu_disable = 1;
const api_version_wanted = 12;
const msr_tsc = 0x10;

pub const debug_enable: u32 = 1;
pub const debug_single_step: u32 = 2;
pub const debug_software: u32 = 0x10000;
pub const debug_hardware: u32 = 0x20000;
pub const debug_inject_int3: u32 = 0x80000;
const sync_regs = 1;
const sync_sregs = 2;
pub const exit_shutdown = 8;
pub const internal_emulation = 1;
pub const emulation_has_instruction = 1;

pub const System = struct {
    fd: i32,

    pub fn open() Error!System {
        const fd = try linux.fdOf(kernel.call(.open, .{ "/dev/kvm", linux.read_write, 0 }));
        errdefer linux.close(fd);
        const version = try linux.check(kernel.call(.ioctl, .{ fd, get_api_version, 0 }));
        if (version != api_version_wanted) return error.Unsupported;
        return .{ .fd = fd };
    }

    pub fn close(self: System) void {
        linux.close(self.fd);
    }

    /// A signal to the calling thread may cut the creation off (registering with the host's memory
    /// management): it is asked for again.
    pub fn createVm(self: System) Error!Vm {
        const run_bytes = try linux.check(kernel.call(.ioctl, .{ self.fd, get_vcpu_mmap_size, 0 }));
        while (true) {
            const fd = linux.fdOf(kernel.call(.ioctl, .{ self.fd, create_vm, 0 })) catch |err|
                if (err == error.Interrupted) continue else return err;
            errdefer linux.close(fd);
            const vm: Vm = .{ .fd = fd, .run_bytes = run_bytes };
            // A kick between the last look and the entry would be lost without.
            if (!vm.supports(cap_immediate_exit)) return error.Unsupported;
            vm.hideCounters();
            return vm;
        }
    }

    pub fn supportedCpuid(self: System, out: *Cpuid) Error!void {
        out.count = cpuid_entries_max;
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, get_supported_cpuid, out }));
    }
};

pub const Vm = struct {
    fd: i32,
    run_bytes: usize,

    pub fn close(self: Vm) void {
        linux.close(self.fd);
    }

    pub fn supports(self: Vm, cap: u32) bool {
        return (linux.check(kernel.call(.ioctl, .{ self.fd, check_extension, cap })) catch 0) > 0;
    }

    pub fn addMemory(self: Vm, slot: u32, gpa: u64, memory: []u8) Error!void {
        const region: MemoryRegion = .{
            .slot = slot,
            .flags = 0,
            .gpa = gpa,
            .bytes = memory.len,
            .address = @intFromPtr(memory.ptr),
        };
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_user_memory_region, &region }));
    }

    /// Intel needs three pages and a fourth outside RAM for real mode; AMD ignores them.
    pub fn reserveRealModePages(self: Vm, gpa: u64) void {
        _ = kernel.call(.ioctl, .{ self.fd, set_identity_map_addr, &gpa });
        _ = kernel.call(.ioctl, .{ self.fd, set_tss_addr, gpa + 0x1000 });
    }

    /// MSR accesses that KVM would fault on become exits: the x2APIC is ours.
    pub fn exitOnUnknownMsrs(self: Vm) Error!void {
        if (!self.supports(cap_user_space_msr)) return error.Unsupported;
        const invalid_unknown_filter = 1 | 2 | 4;
        try self.enable(cap_user_space_msr, invalid_unknown_filter);
    }

    /// Accesses to this MSR, and to no other that KVM carries out itself, become exits, too; before
    /// the first vCPU runs.
    pub fn exitOnMsr(self: Vm, index: u32) Error!void {
        if (!self.supports(cap_msr_filter)) return error.Unsupported;
        const none: u64 = 0;
        const unused: MsrRange = .{ .flags = 0, .count = 0, .base = 0, .bitmap = 0 };
        var filter: MsrFilter = .{ .ranges = @splat(unused) };
        filter.ranges[0] = .{
            .flags = msr_filter_read | msr_filter_write,
            .count = 1,
            .base = index,
            .bitmap = @intFromPtr(&none),
        };
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_msr_filter, &filter }));
    }

    /// Before the first vCPU. On AMD a guest takes performance counters for granted whatever CPUID
    /// says, and without KVM's own local APIC they interrupt nobody. Where KVM is to have none at
    /// all it refuses.
    fn hideCounters(self: Vm) void {
        self.enable(cap_pmu_capability, pmu_disable) catch {};
    }

    fn enable(self: Vm, cap: u32, argument: u64) Error!void {
        const request: EnableCap = .{
            .cap = cap,
            .flags = 0,
            .args = .{ argument, 0, 0, 0 },
            .padding = @splat(0),
        };
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, ioctl_enable_cap, &request }));
    }

    pub fn createVcpu(self: Vm, id: u32) Error!Vcpu {
        const fd = try linux.fdOf(kernel.call(.ioctl, .{ self.fd, create_vcpu, id }));
        errdefer linux.close(fd);
        const access: os.PROT = .{ .READ = true, .WRITE = true };
        const kind: os.MAP = .{ .TYPE = .SHARED };
        const mapped = .{ null, self.run_bytes, access, kind, fd, 0 };
        const address = try linux.check(kernel.call(.mmap, mapped));
        const vcpu: Vcpu = .{ .fd = fd, .run = @ptrFromInt(address), .run_bytes = self.run_bytes };
        if (self.supports(cap_sync_regs)) vcpu.run.kvm_valid_regs = sync_regs | sync_sregs;
        // The host must not write guest pages behind the coherence engine's back.
        const request: EnableCap = .{
            .cap = cap_enforce_pv_feature_cpuid,
            .flags = 0,
            .args = .{ 1, 0, 0, 0 },
            .padding = @splat(0),
        };
        _ = kernel.call(.ioctl, .{ fd, ioctl_enable_cap, &request });
        return vcpu;
    }
};

pub const Vcpu = struct {
    fd: i32,
    run: *Run,
    run_bytes: usize,

    pub fn close(self: Vcpu) void {
        _ = kernel.call(.munmap, .{ self.run, self.run_bytes });
        linux.close(self.fd);
    }

    /// Interrupted = a signal or immediate_exit; anything else is in run.exit_reason.
    pub fn enter(self: Vcpu) Error!void {
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, run_vcpu, 0 }));
    }

    pub fn getRegs(self: Vcpu) Error!Regs {
        var regs: Regs = .{};
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, get_regs, &regs }));
        return regs;
    }

    pub fn setRegs(self: Vcpu, regs: *const Regs) Error!void {
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_regs, regs }));
    }

    pub fn getSregs(self: Vcpu) Error!Sregs {
        var sregs: Sregs = undefined;
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, get_sregs, &sregs }));
        return sregs;
    }

    pub fn setSregs(self: Vcpu, sregs: *const Sregs) Error!void {
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, ioctl_set_sregs, sregs }));
    }

    /// The guest physical address of a linear one by the vCPU's page tables; null = none.
    pub fn translate(self: Vcpu, linear: u64) Error!?u64 {
        var translation: Translation = .{ .linear = linear };
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, translate_address, &translation }));
        return if (translation.valid != 0) translation.physical else null;
    }

    pub fn setCpuid(self: Vcpu, cpuid: *const Cpuid) Error!void {
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_cpuid2, cpuid }));
    }

    pub fn interrupt(self: Vcpu, vector: u8) Error!void {
        const number: u32 = vector;
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, inject_interrupt, &number }));
    }

    pub fn nmi(self: Vcpu) Error!void {
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, inject_nmi, 0 }));
    }

    /// An NMI given earlier has not come to the guest yet.
    pub fn nmiWaits(self: Vcpu) Error!bool {
        var events: VcpuEvents = std.mem.zeroes(VcpuEvents);
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, get_vcpu_events, &events }));
        return events.nmi_pending != 0 or events.nmi_injected != 0;
    }

    /// For tests: an NMI that came while the instruction behind `sti` was still to be executed.
    pub fn nmiBehindSti(self: Vcpu) Error!void {
        var events: VcpuEvents = std.mem.zeroes(VcpuEvents);
        events.shadow = 2;
        events.nmi_pending = 1;
        events.flags = nmi_pending_valid | shadow_valid;
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_vcpu_events, &events }));
    }

    /// Forgets pending exceptions and interrupts, as INIT does.
    pub fn clearEvents(self: Vcpu) Error!void {
        var events: VcpuEvents = std.mem.zeroes(VcpuEvents);
        // Reading makes KVM count the NMIs on their way; without the flags some fields stay.
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, get_vcpu_events, &events }));
        events = std.mem.zeroes(VcpuEvents);
        events.flags = nmi_pending_valid | shadow_valid;
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_vcpu_events, &events }));
    }

    /// Breakpoints and steps of a debugger, which the guest does not see.
    pub fn setGuestDebug(self: Vcpu, wanted: *const GuestDebug) Error!void {
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_guest_debug, wanted }));
    }

    pub fn resetDebugRegisters(self: Vcpu) Error!void {
        const regs: DebugRegs = .{};
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_debugregs, &regs }));
    }

    pub fn tscKhz(self: Vcpu) Error!u32 {
        return @intCast(try linux.check(kernel.call(.ioctl, .{ self.fd, get_tsc_khz, 0 })));
    }

    pub fn setTscKhz(self: Vcpu, khz: u32) Error!void {
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_tsc_khz, khz }));
    }

    /// Guest TSC = host TSC + offset (vcpu device attribute KVM_VCPU_TSC_OFFSET).
    pub fn setTscOffset(self: Vcpu, offset: u64) Error!void {
        const attr: DeviceAttr = .{ .group = 0, .attr = 0, .address = @intFromPtr(&offset) };
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_device_attr, &attr }));
    }

    /// The offset as it is, with what the guest itself has added by its TSC MSRs.
    pub fn tscOffset(self: Vcpu) Error!u64 {
        var offset: u64 = 0;
        const attr: DeviceAttr = .{ .group = 0, .attr = 0, .address = @intFromPtr(&offset) };
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, get_device_attr, &attr }));
        return offset;
    }

    /// What the guest would read now.
    pub fn getTsc(self: Vcpu) Error!u64 {
        var msrs: Msrs = .{ .entry = .{ .index = msr_tsc, .data = 0 } };
        const count = try linux.check(kernel.call(.ioctl, .{ self.fd, get_msrs, &msrs }));
        return if (count == 1) msrs.entry.data else error.Unsupported;
    }

    pub fn setTsc(self: Vcpu, value: u64) Error!void {
        const msrs: Msrs = .{ .entry = .{ .index = msr_tsc, .data = value } };
        _ = try linux.check(kernel.call(.ioctl, .{ self.fd, set_msrs, &msrs }));
    }

    /// What KVM refuses, or does not know, stays as it was.
    pub fn presetMsr(self: Vcpu, index: u32, value: u64) void {
        const msrs: Msrs = .{ .entry = .{ .index = index, .data = value } };
        _ = kernel.call(.ioctl, .{ self.fd, set_msrs, &msrs });
    }

    /// Bytes of a port access, count * size of them.
    pub fn ioData(self: Vcpu) []u8 {
        const io = self.run.exit.io;
        const start: [*]u8 = @ptrCast(self.run);
        return start[io.data_offset..][0 .. @as(usize, io.size) * io.count];
    }
};
