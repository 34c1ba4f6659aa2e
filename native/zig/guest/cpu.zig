//! One vCPU: its page of ring 0 and what it may ask of ring 0 from ring 3.
//!
//! Ring 0 is a handful of stubs (entry.zig), entered by an invalid opcode: under an emulating KVM
//! every instruction there costs half a microsecond, so the code that is measured lives in ring 3
//! and asks for a halt, an MSR or a port only where it must.

const litmus = @import("litmus");
const info_mod = @import("info.zig");
const Info = info_mod.Info;

pub const Interrupt = enum(u8) {
    /// Timer of the timer check.
    timer = 0x20,
    /// Timer that ends a nap.
    nap = 0x21,
    ping = 0x30,
    broadcast = 0x31,
    logical = 0x32,
    self = 0x33,
    /// Sent by its delivery mode; this is the vector it comes by.
    nmi = 2,

    pub const all = [_]Interrupt{ .timer, .nap, .ping, .broadcast, .logical, .self, .nmi };

    pub fn slot(interrupt: Interrupt) u64 {
        for (all, 0..) |each, i| if (each == interrupt) return i;
        unreachable;
    }
};

/// What ring 3 may ask of ring 0, by an invalid opcode with the number in r8: a KVM without
/// hardware support passes that exception on, but neither `int n` nor `syscall`.
pub const request_magic: u64 = 0x4756_4d21;
pub const Request = enum(u64) { halt, write_msr, read_msr, out8, out32, in8, in32, nothing };

pub const msr = struct {
    pub const apic_base = 0x1b;
    pub const apic_id = 0x802;
    pub const apic_version = 0x803;
    pub const eoi = 0x80b;
    pub const logical_id = 0x80d;
    pub const destination_format = 0x80e;
    pub const spurious = 0x80f;
    pub const icr = 0x830;
    pub const icr_high = 0x831;
    pub const timer_lvt = 0x832;
    pub const timer_count = 0x838;
    pub const timer_divide = 0x83e;
};

/// Bits of an interrupt command.
pub const icr = struct {
    pub const nmi = 0x400;
    pub const logical = 0x800;
    pub const self = 1 << 18;
    pub const all = 2 << 18;
    pub const all_but_self = 3 << 18;
};

/// Where a local APIC in xAPIC mode has its registers, 16 bytes each.
pub const xapic_gpa = 0xfee0_0000;

pub const lvt_periodic = 1 << 17;
pub const divide_by_1 = 0b1011;

/// Lies at the start of the vCPU's page of ring 0; the stack of ring 0 grows down from its end, so
/// an interrupt finds this by rounding its stack pointer down.
pub const Cpu = extern struct {
    gdt: [10]u64,
    /// 64-bit task state segment: only the stack pointer of ring 0 matters.
    tss: [104]u8 align(8),
    info: *const Info,
    index: u64,
    node: u64,
    /// Interrupts taken, of any kind.
    events: u64,
    counts: [Interrupt.all.len]u64,
    /// Barriers passed, in memory and by the device.
    round: u64,
    meetings: u64,
    /// 1 while the local APIC is an xAPIC, whose registers are memory.
    xapic: u64,
    /// 1 while the nap timer runs periodically.
    watched: u64,
    /// Where ring 3 goes on when its instruction is refused by #AC, 0 for nowhere; how often that
    /// was.
    recover: u64,
    refused: u64,
    random: u64,

    pub fn count(cpu: *const Cpu, interrupt: Interrupt) u64 {
        return load(&cpu.counts[interrupt.slot()]);
    }

    /// Halts unless an interrupt came since `seen` was read from `events`.
    pub fn halt(_: *Cpu, seen: u64) void {
        asm volatile ("ud2"
            :
            : [request] "{r8}" (@intFromEnum(Request.halt)),
              [magic] "{r9}" (request_magic),
              [seen] "{rdi}" (seen),
            : .{ .memory = true });
    }

    pub fn writeMsr(_: *Cpu, register: u32, value: u64) void {
        asm volatile ("ud2"
            :
            : [request] "{r8}" (@intFromEnum(Request.write_msr)),
              [magic] "{r9}" (request_magic),
              [register] "{ecx}" (register),
              [low] "{eax}" (@as(u32, @truncate(value))),
              [high] "{edx}" (@as(u32, @truncate(value >> 32))),
            : .{ .memory = true });
    }

    pub fn readMsr(_: *Cpu, register: u32) u64 {
        var low: u32 = undefined;
        var high: u32 = undefined;
        asm volatile ("ud2"
            : [low] "={eax}" (low),
              [high] "={edx}" (high),
            : [request] "{r8}" (@intFromEnum(Request.read_msr)),
              [magic] "{r9}" (request_magic),
              [register] "{ecx}" (register),
            : .{ .memory = true });
        return @as(u64, high) << 32 | low;
    }

    /// A register of the local APIC, named by its MSR, in whichever mode the APIC is.
    pub fn apicWrite(cpu: *Cpu, register: u32, value: u64) void {
        if (cpu.xapic == 0) return cpu.writeMsr(register, value);
        apicWord(register).* = @truncate(value);
    }

    pub fn apicRead(cpu: *Cpu, register: u32) u64 {
        return if (cpu.xapic == 0) cpu.readMsr(register) else apicWord(register).*;
    }

    /// An interrupt command: the mode's kind of destination and the low half of the register.
    pub fn command(cpu: *Cpu, destination: u64, low: u64) void {
        if (cpu.xapic == 0) return cpu.writeMsr(msr.icr, destination << 32 | low);
        apicWord(msr.icr_high).* = @truncate(destination << 24);
        apicWord(msr.icr).* = @truncate(low);
    }

    pub fn sendIpi(cpu: *Cpu, target: u64, interrupt: Interrupt) void {
        cpu.command(target, @intFromEnum(interrupt));
    }

    /// Sleeps until the time is over or any interrupt comes.
    pub fn nap(cpu: *Cpu, us: u64) void {
        if (cpu.watched != 0) {
            cpu.watched = 0;
            cpu.apicWrite(msr.timer_lvt, @intFromEnum(Interrupt.nap));
        }
        const seen = load(&cpu.events);
        cpu.apicWrite(msr.timer_count, us * cpu.info.apic_timer_khz / 1000);
        cpu.halt(seen);
    }

    /// xorshift64*: the same numbers for the same seed and vCPU.
    pub fn nextRandom(cpu: *Cpu) u64 {
        var x = cpu.random;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        cpu.random = x;
        return x *% 0x2545f4914f6cdd1d;
    }
};

comptime {
    if (@sizeOf(Cpu) > 1024) @compileError("the stack of ring 0 needs the rest of the page");
}

fn apicWord(register: u32) *volatile u32 {
    return @ptrFromInt(xapic_gpa + @as(u64, register - 0x800) * 16);
}

pub fn load(pointer: *const u64) u64 {
    return @atomicLoad(u64, pointer, .acquire);
}

pub fn store(pointer: *u64, value: u64) void {
    @atomicStore(u64, pointer, value, .release);
}

pub fn word(gpa: u64) *u64 {
    return @ptrFromInt(gpa);
}

pub const readTsc = litmus.race.ticks;

/// Not before what the program read earlier: a processor reads its counter ahead (SDM vol. 2,
/// RDTSC).
pub fn readTscOrdered() u64 {
    asm volatile ("lfence" ::: .{ .memory = true });
    return readTsc();
}

pub fn relax(times: u64) void {
    for (0..times) |_| asm volatile ("pause" ::: .{ .memory = true });
}

/// Return from an interrupt: makes the processor forget instructions it fetched ahead.
pub fn serialize() void {
    asm volatile ("ud2"
        :
        : [request] "{r8}" (@intFromEnum(Request.nothing)),
          [magic] "{r9}" (request_magic),
        : .{ .memory = true });
}

pub const port = struct {
    pub fn write8(address: u16, value: u8) void {
        asm volatile ("ud2"
            :
            : [request] "{r8}" (@intFromEnum(Request.out8)),
              [magic] "{r9}" (request_magic),
              [value] "{al}" (value),
              [address] "{dx}" (address),
            : .{ .memory = true });
    }

    pub fn read8(address: u16) u8 {
        return asm volatile ("ud2"
            : [value] "={al}" (-> u8),
            : [request] "{r8}" (@intFromEnum(Request.in8)),
              [magic] "{r9}" (request_magic),
              [address] "{dx}" (address),
            : .{ .memory = true });
    }

    pub fn write32(address: u16, value: u32) void {
        asm volatile ("ud2"
            :
            : [request] "{r8}" (@intFromEnum(Request.out32)),
              [magic] "{r9}" (request_magic),
              [value] "{eax}" (value),
              [address] "{dx}" (address),
            : .{ .memory = true });
    }

    pub fn read32(address: u16) u32 {
        return asm volatile ("ud2"
            : [value] "={eax}" (-> u32),
            : [request] "{r8}" (@intFromEnum(Request.in32)),
              [magic] "{r9}" (request_magic),
              [address] "{dx}" (address),
            : .{ .memory = true });
    }
};
