//! A few instructions of a VM that is thrown away, to see what this host's KVM does with them.
//! Takes milliseconds.

const std = @import("std");
const abi = @import("../abi.zig");
const exits = @import("exit.zig");
const kernel = @import("../sys/kernel.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const state = @import("state.zig");
const os = linux.os;

const page_size = 4096;
pub const code_address = 0x400;
const stack = 0x800;
const apic_base = 0xfee0_0900;
/// Above the page, as Intel needs it (kvm.zig, reserveRealModePages).
const real_mode_gpa = 0xfffb_c000;

pub const Trial = struct {
    vm: kvm.Vm,
    vcpu: kvm.Vcpu,
    /// The only page, with the table of interrupt vectors.
    memory: []u8,

    /// In real mode.
    pub fn init(system: kvm.System, code: []const u8) kvm.Error!Trial {
        const vm = try system.createVm();
        errdefer vm.close();
        vm.reserveRealModePages(real_mode_gpa);
        const access: os.PROT = .{ .READ = true, .WRITE = true };
        const kind: os.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true };
        const mapped = .{ null, page_size, access, kind, -1, 0 };
        const start: [*]u8 = @ptrFromInt(try linux.check(kernel.call(.mmap, mapped)));
        errdefer _ = kernel.call(.munmap, .{ start, page_size });
        const memory = start[0..page_size];
        @memcpy(memory[code_address..][0..code.len], code);
        try vm.addMemory(0, 0, memory);
        const vcpu = try vm.createVcpu(0);
        errdefer vcpu.close();
        try vcpu.setSregs(&state.realMode(0, apic_base));
        var regs = state.realModeRegs();
        regs.rip = code_address;
        regs.rsp = stack;
        try vcpu.setRegs(&regs);
        return .{ .vm = vm, .vcpu = vcpu, .memory = memory };
    }

    pub fn deinit(self: *const Trial) void {
        self.vcpu.close();
        self.vm.close();
        _ = kernel.call(.munmap, .{ self.memory.ptr, page_size });
    }

    /// Flat 32-bit protected mode instead, without descriptor tables.
    pub fn protectedMode(self: *const Trial) kvm.Error!void {
        const boot = std.mem.zeroInit(abi.Boot, .{ .rip = code_address, .rsp = stack });
        try self.vcpu.setSregs(&state.protectedMode(&boot, apic_base));
        try self.vcpu.setRegs(&state.flatRegs(&boot));
    }

    /// Real mode's handler of an interrupt or exception.
    pub fn handler(self: *const Trial, vector: u8, address: u16) void {
        std.mem.writeInt(u16, self.memory[@as(usize, vector) * 4 ..][0..2], address, .little);
    }

    /// To the first exit.
    pub fn run(self: *const Trial) kvm.Error!exits.Exit {
        while (true) {
            self.vcpu.enter() catch |err| switch (err) {
                error.Interrupted, error.Again => continue,
                else => return err,
            };
            return exits.decode(self.vcpu.run);
        }
    }
};
