//! An exception in this guest is a bug of the machine or of the guest: say where, fail, stop.

const cpu_mod = @import("cpu.zig");
const console_mod = @import("console.zig");

pub const Frame = extern struct {
    vector: u64,
    code: u64,
    rip: u64,
    cs: u64,
    flags: u64,
    rsp: u64,
    ss: u64,
};

pub fn exceptionReport(cpu: *cpu_mod.Cpu, frame: *const Frame) callconv(.c) noreturn {
    const out: console_mod.Console = .{ .info = cpu.info };
    const address = asm volatile ("mov %%cr2, %[cr2]"
        : [cr2] "=r" (-> u64),
    );
    out.text("\nexception ");
    out.number(frame.vector);
    out.text(" on vCPU ");
    out.number(cpu.index);
    out.text(" at ");
    out.hex(frame.rip);
    out.text(" code ");
    out.hex(frame.code);
    out.text(" stack ");
    out.hex(frame.rsp);
    out.text(" cr2 ");
    out.hex(address);
    out.text("\nverdict fail\n");
    console_mod.powerOff(cpu.info, 1);
}
