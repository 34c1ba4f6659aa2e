//! One vCPU and 64 KiB of memory without engine, APIC or threads: what /dev/kvm itself does with a
//! few bytes of guest code. Tests step from exit to exit and name each one.

const std = @import("std");
const abi = @import("../abi.zig");
const exits = @import("exit.zig");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const state = @import("state.zig");
const os = linux.os;

/// Code starts here in real mode: CS = 0x100, IP = 0.
pub const code_page = 1;
const code_address = code_page << 12;
const memory_bytes = 0x10000;
const bsp_apic_base = 0xfee0_0900;

pub const Bare = struct {
    system: kvm.System,
    vm: kvm.Vm,
    vcpu: kvm.Vcpu,
    memory: []align(4096) u8,

    /// Real mode, interrupts off, all other registers zero.
    pub fn init(code: []const u8) !Bare {
        const system = try openOrSkip();
        errdefer system.close();
        const vm = try system.createVm();
        errdefer vm.close();
        vm.reserveRealModePages(0xfffb_c000);
        try vm.exitOnUnknownMsrs();
        const rc = os.mmap(
            null,
            memory_bytes,
            .{ .READ = true, .WRITE = true },
            .{ .TYPE = .PRIVATE, .ANONYMOUS = true },
            -1,
            0,
        );
        const start: [*]align(4096) u8 = @ptrFromInt(try linux.check(rc));
        const memory = start[0..memory_bytes];
        @memcpy(memory[code_address..][0..code.len], code);
        try vm.addMemory(0, 0, memory);
        const vcpu = try vm.createVcpu(0);
        errdefer vcpu.close();
        try hostCpuid(system, vcpu);
        try vcpu.setSregs(&state.realMode(code_page, bsp_apic_base));
        try vcpu.setRegs(&state.realModeRegs());
        return .{ .system = system, .vm = vm, .vcpu = vcpu, .memory = memory };
    }

    pub fn deinit(self: *Bare) void {
        self.vcpu.close();
        self.vm.close();
        self.system.close();
        _ = os.munmap(self.memory.ptr, self.memory.len);
    }

    /// Real-mode interrupt vector: far address 0x100:offset.
    pub fn handler(self: *Bare, vector: u8, offset: u16) void {
        const entry = self.memory[@as(usize, vector) * 4 ..];
        std.mem.writeInt(u16, entry[0..2], offset, .little);
        std.mem.writeInt(u16, entry[2..4], code_address >> 4, .little);
    }

    /// The same code in 64-bit mode: the first 2 MiB mapped one to one, no interrupt handlers.
    pub fn longMode(self: *Bare) !void {
        const root = 0x2000;
        const present_writable = 3;
        const entries = [_][2]u64{
            .{ root, 0x3000 | present_writable },
            .{ 0x3000, 0x4000 | present_writable },
            .{ 0x4000, 1 << 7 | present_writable },
        };
        for (entries) |entry| {
            std.mem.writeInt(u64, self.memory[@intCast(entry[0])..][0..8], entry[1], .little);
        }
        const boot = std.mem.zeroInit(abi.Boot, .{
            .rip = code_address,
            .rsp = 0x8000,
            .cr3 = root,
        });
        try self.vcpu.setSregs(&state.longMode(&boot, bsp_apic_base));
        try self.vcpu.setRegs(&state.flatRegs(&boot));
    }

    /// The same code in 32-bit protected mode without paging.
    pub fn protectedMode(self: *Bare, eax: u32, ebx: u32) !void {
        const boot = std.mem.zeroInit(abi.Boot, .{ .rip = code_address, .rax = eax, .rbx = ebx });
        try self.vcpu.setSregs(&state.protectedMode(&boot, bsp_apic_base));
        try self.vcpu.setRegs(&state.flatRegs(&boot));
    }

    pub fn step(self: *Bare) !exits.Exit {
        try self.vcpu.enter();
        return exits.decode(self.vcpu.run);
    }

    pub fn expect(self: *Bare, expected: exits.Exit) !void {
        try std.testing.expectEqual(expected, try self.step());
    }

    /// A port write of these bytes.
    pub fn expectOut(self: *Bare, port: u16, size: u8, data: []const u8) !void {
        const count: u32 = @intCast(data.len / size);
        try self.expect(.{
            .port = .{ .write = true, .port = port, .size = size, .count = count },
        });
        try std.testing.expectEqualSlices(u8, data, self.vcpu.ioData());
    }

    /// A port read that is answered with these bytes.
    pub fn answerIn(self: *Bare, port: u16, size: u8, data: []const u8) !void {
        const count: u32 = @intCast(data.len / size);
        try self.expect(.{
            .port = .{ .write = false, .port = port, .size = size, .count = count },
        });
        @memcpy(self.vcpu.ioData(), data);
    }

    pub fn expectStore(self: *Bare, address: u64, data: []const u8) !void {
        const length: u8 = @intCast(data.len);
        try self.expect(.{ .mmio = .{ .write = true, .address = address, .length = length } });
        const mmio = &self.vcpu.run.exit.mmio;
        try std.testing.expectEqualSlices(u8, data, mmio.data[0..data.len]);
    }
};

pub fn openOrSkip() !kvm.System {
    return kvm.System.open() catch |err| switch (err) {
        error.NotFound, error.AccessDenied, error.NoDevice => {
            std.debug.print("skipped: /dev/kvm cannot be opened here\n", .{});
            return error.SkipZigTest;
        },
        else => err,
    };
}

/// The host's table without KVM's own leaves.
fn hostCpuid(system: kvm.System, vcpu: kvm.Vcpu) !void {
    const table = try std.testing.allocator.create(kvm.Cpuid);
    defer std.testing.allocator.destroy(table);
    try system.supportedCpuid(table);
    for (table.entries[0..table.count]) |*entry| {
        if (entry.function >> 8 == 0x40_0000) entry.eax = 0;
    }
    try vcpu.setCpuid(table);
}
