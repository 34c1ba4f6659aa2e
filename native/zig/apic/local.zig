//! The local APIC of one vCPU (Intel SDM vol. 3A chapter 11, AMD APM vol. 2 chapter 16) as plain
//! state: xAPIC registers by MMIO offset, the same by x2APIC MSR. Its owner holds a lock around
//! every call, passes the time, and carries out what lands in Effects.
//!
//! Intuition: three 256-bit sets. IRR: arrived. ISR: being served. TMR: arrived level-triggered.
//!
//! Long because a register file is one idea; the timer is in timer.zig.

const std = @import("std");
const destination = @import("destination.zig");
const Pace = @import("pace.zig").Pace;
const Timer = @import("timer.zig").Timer;
const assert = std.debug.assert;

pub const Request = destination.Request;

/// What a register access asks of the world; carried out after the lock is released.
pub const Effects = struct {
    ipi: ?Request = null,
    /// A level-triggered interrupt ended: the I/O APIC must know.
    eoi: ?u8 = null,
    /// ID, LDR, DFR, enable bits or mode changed: other nodes compute destinations from them.
    changed: bool = false,
};

const Vectors = std.StaticBitSet(256);

/// For a person who looks for an interrupt that is missing.
pub const Summary = struct {
    id: u32,
    base: u64,
    tpr: u8,
    svr: u32,
    lvt_timer: u32,
    /// When the timer fires next.
    timer_ns: ?u64,
    irr: Vectors,
    isr: Vectors,
};

const reg_id = 0x020;
const reg_version = 0x030;
const reg_tpr = 0x080;
const reg_apr = 0x090;
const reg_ppr = 0x0a0;
const reg_eoi = 0x0b0;
const reg_ldr = 0x0d0;
const reg_dfr = 0x0e0;
const reg_svr = 0x0f0;
const reg_isr = 0x100;
const reg_tmr = 0x180;
const reg_irr = 0x200;
const reg_esr = 0x280;
const reg_cmci = 0x2f0;
const reg_icr_low = 0x300;
const reg_icr_high = 0x310;
const reg_lvt_timer = 0x320;
const reg_lvt_error = 0x370;
const reg_timer_initial = 0x380;
const reg_timer_current = 0x390;
const reg_timer_divide = 0x3e0;
const msr_self_ipi = 0x83f;

const base_enable = 1 << 11;
const base_x2apic = 1 << 10;
const base_bsp = 1 << 8;
const lvt_masked = 1 << 16;
const version = 0x50014;
const lvt_count = 6;
const lvt_error = 5;

pub const Local = struct {
    id: u32,
    base: u64,
    tpr: u8 = 0,
    ldr: u32 = 0,
    dfr: u32 = 0xffff_ffff,
    svr: u32 = 0xff,
    esr: u32 = 0,
    esr_latched: u32 = 0,
    icr: u64 = 0,
    /// Timer, thermal, performance, LINT0, LINT1, error.
    lvt: [lvt_count]u32 = @splat(lvt_masked),
    cmci: u32 = lvt_masked,
    irr: Vectors = .initEmpty(),
    isr: Vectors = .initEmpty(),
    tmr: Vectors = .initEmpty(),
    timer: Timer = .{},
    pace: Pace = .{},
    /// Whether the timer may wait for time stamps; as it is made.
    has_deadline: bool = false,
    nmi_pending: bool = false,
    init_pending: bool = false,
    sipi_pending: ?u8 = null,

    pub fn init(id: u32, bsp: bool) Local {
        const bits: u64 = base_enable | if (bsp) @as(u64, base_bsp) else 0;
        return .{ .id = id, .base = 0xfee0_0000 | bits };
    }

    pub fn x2apic(self: *const Local) bool {
        return self.base & base_x2apic != 0;
    }

    pub fn enabled(self: *const Local) bool {
        return self.base & base_enable != 0;
    }

    fn softwareEnabled(self: *const Local) bool {
        return self.svr & 0x100 != 0;
    }

    /// Whether vectors get in at all.
    pub fn receives(self: *const Local) bool {
        return self.enabled() and self.softwareEnabled();
    }

    pub fn baseRegister(self: *const Local) u64 {
        return self.base;
    }

    /// The processor's view of the task priority (SDM 11.8.6).
    pub fn cr8(self: *const Local) u64 {
        return self.tpr >> 4;
    }

    pub fn setCr8(self: *Local, value: u64) void {
        if (value != self.tpr >> 4) self.tpr = @as(u8, @truncate(value)) << 4;
    }

    /// What other nodes must know of it.
    pub fn state(self: *const Local) destination.State {
        return .{
            .id = self.id,
            .ldr = self.ldr,
            .dfr = self.dfr,
            .x2apic = self.x2apic(),
            .enabled = self.enabled(),
            .software_enabled = self.softwareEnabled(),
        };
    }

    pub fn summary(self: *const Local) Summary {
        return .{
            .id = self.id,
            .base = self.base,
            .tpr = self.tpr,
            .svr = self.svr,
            .lvt_timer = self.lvt[0],
            .timer_ns = self.timer.deadline(),
            .irr = self.irr,
            .isr = self.isr,
        };
    }

    /// INIT (SDM 11.4.7.3): everything but id, base and what arrives next.
    pub fn reset(self: *Local) void {
        const sipi_kept = self.sipi_pending;
        const base = self.base;
        self.* = .{ .id = self.id, .base = base, .has_deadline = self.has_deadline };
        self.sipi_pending = sipi_kept;
    }

    /// The guest wrote APIC_BASE.
    pub fn setBase(self: *Local, base: u64, effects: *Effects) void {
        if (base == self.base) return;
        self.base = base;
        effects.changed = true;
    }

    // Arrivals.

    pub fn accept(self: *Local, vector: u8, level: bool) void {
        if (vector < 16) return self.fail(1 << 6);
        self.irr.set(vector);
        self.tmr.setValue(vector, level);
    }

    /// An error of these bits (SDM 11.5.3), with its interrupt.
    fn fail(self: *Local, bits: u32) void {
        self.esr_latched |= bits;
        const entry = self.lvt[lvt_error];
        const vector: u8 = @truncate(entry);
        if (entry & lvt_masked == 0 and vector >= 16) self.accept(vector, false);
    }

    pub fn nmi(self: *Local) void {
        self.nmi_pending = true;
    }

    /// INIT drops a SIPI that came before it.
    pub fn requestInit(self: *Local) void {
        self.init_pending = true;
        self.sipi_pending = null;
    }

    pub fn requestSipi(self: *Local, vector: u8) void {
        self.sipi_pending = vector;
    }

    // Delivery.

    /// The vector that may be injected now, if any.
    pub fn deliverable(self: *const Local) ?u8 {
        if (!self.enabled() or !self.softwareEnabled()) return null;
        const vector = highest(&self.irr) orelse return null;
        return if (vector >> 4 > self.ppr() >> 4) vector else null;
    }

    /// The vector is injected: from arrived to being served.
    pub fn acknowledge(self: *Local, vector: u8, now_ns: u64) void {
        assert(self.irr.isSet(vector));
        if (vector == self.timerVector()) self.pace.given(now_ns);
        self.irr.unset(vector);
        self.isr.set(vector);
    }

    pub fn takeNmi(self: *Local) bool {
        defer self.nmi_pending = false;
        return self.nmi_pending;
    }

    pub fn takeInit(self: *Local) bool {
        defer self.init_pending = false;
        return self.init_pending;
    }

    /// One that came behind an INIT waits until that is taken.
    pub fn takeSipi(self: *Local) ?u8 {
        if (self.init_pending) return null;
        defer self.sipi_pending = null;
        return self.sipi_pending;
    }

    /// @param busy: the processor runs, so that the timer's interrupt may have to wait.
    pub fn tick(self: *Local, now_ns: u64, busy: bool) void {
        if (busy and now_ns < self.pace.until_ns) return;
        // Who halts is in no handler.
        if (!busy) self.pace.given_ns = null;
        self.expire(now_ns);
    }

    fn expire(self: *Local, now_ns: u64) void {
        if (!self.timer.expired(now_ns)) return;
        const entry = self.lvt[0];
        if (entry & lvt_masked != 0 or !self.receives()) return;
        self.accept(@truncate(entry), false);
    }

    /// The timer's interrupt has arrived and is not served yet: another expiry adds nothing.
    pub fn timerWaits(self: *const Local) bool {
        return self.irr.isSet(self.timerVector());
    }

    fn timerVector(self: *const Local) u8 {
        return @truncate(self.lvt[0]);
    }

    /// When `tick` next lets the timer's interrupt arrive; null = never. One that is masked counts
    /// on by itself: a short period would leave its processor no time.
    pub fn deadline(self: *const Local, busy: bool) ?u64 {
        if (self.lvt[0] & lvt_masked != 0 or self.timerVector() < 16) return null;
        const at_ns = self.timer.deadline() orelse return null;
        return if (busy) @max(at_ns, self.pace.until_ns) else at_ns;
    }

    // IA32_TSC_DEADLINE, whose register is not among those of the APIC (SDM 11.5.4.1).

    /// What the TSC will read when the timer fires; 0 = it waits for none.
    pub fn tscDeadline(self: *const Local) u64 {
        return self.timer.tsc;
    }

    /// The same where it is due by what is known of the TSC, which is to be asked.
    pub fn tscDue(self: *const Local, now_ns: u64) ?u64 {
        const timer = &self.timer;
        if (timer.tsc == 0 or timer.tsc_reached or now_ns < timer.tsc_ns) return null;
        return timer.tsc;
    }

    /// The TSC has been asked, and is there.
    pub fn tscReached(self: *Local) void {
        self.timer.tsc_reached = true;
    }

    /// @param at_ns: when the TSC will read `tsc`.
    pub fn setTscDeadline(self: *Local, tsc: u64, at_ns: u64, now_ns: u64) void {
        if (!self.enabled()) return;
        self.expire(now_ns);
        self.timer.arm(tsc, at_ns);
        self.pace.handled(now_ns);
    }

    /// It is known better when the TSC will be there.
    pub fn retime(self: *Local, at_ns: u64) void {
        if (self.timer.tsc != 0) self.timer.tsc_ns = at_ns;
    }

    pub fn ppr(self: *const Local) u8 {
        const served = highest(&self.isr) orelse 0;
        return if (self.tpr >> 4 >= served >> 4) self.tpr else served & 0xf0;
    }

    // Registers.

    pub fn mmioRead(self: *Local, offset: u12, now_ns: u64) u32 {
        if (!self.enabled()) return 0xffff_ffff;
        return switch (offset & 0xff0) {
            reg_id => self.id << 24,
            reg_icr_low => @truncate(self.icr),
            reg_icr_high => @truncate(self.icr >> 32),
            reg_ldr => self.ldr,
            reg_dfr => self.dfr,
            else => self.common(offset & 0xff0, now_ns) orelse 0,
        };
    }

    pub fn mmioWrite(self: *Local, offset: u12, value: u32, now_ns: u64, effects: *Effects) void {
        if (!self.enabled()) return;
        switch (offset & 0xff0) {
            reg_id => {
                // Ids are fixed, as on processors since the P6 (the register is written by nobody).
            },
            reg_ldr => {
                self.ldr = value & 0xff00_0000;
                effects.changed = true;
            },
            reg_dfr => {
                self.dfr = value | 0x0fff_ffff;
                effects.changed = true;
            },
            reg_icr_high => self.icr = self.icr & 0xffff_ffff | @as(u64, value) << 32,
            reg_icr_low => {
                // Delivery status is read-only.
                self.icr = (self.icr & 0xffff_ffff_0000_0000) | (value & 0xf_efff);
                self.command(value, @truncate(self.icr >> 56), true, effects);
            },
            else => _ = self.commonWrite(offset & 0xff0, value, now_ns, effects),
        }
    }

    /// Null = #GP.
    pub fn msrRead(self: *Local, msr: u32, now_ns: u64) ?u64 {
        if (!self.x2apic() or msr < 0x800 or msr > 0x8ff) return null;
        const offset: u12 = @intCast((msr - 0x800) << 4);
        return switch (offset) {
            reg_id => self.id,
            reg_ldr => destination.x2apicLdr(self.id),
            reg_icr_low => self.icr,
            reg_icr_high, reg_dfr, reg_apr, reg_eoi => null,
            else => if (self.common(offset, now_ns)) |value| value else null,
        };
    }

    /// False = #GP.
    pub fn msrWrite(self: *Local, msr: u32, value: u64, now_ns: u64, effects: *Effects) bool {
        if (!self.x2apic() or msr < 0x800 or msr > 0x8ff) return false;
        if (msr == msr_self_ipi) {
            if (value > 0xff) return false;
            effects.ipi = .{ .mode = .fixed, .vector = @truncate(value), .shorthand = .self };
            return true;
        }
        const offset: u12 = @intCast((msr - 0x800) << 4);
        if (offset == reg_icr_low) {
            if (value & 0xfff3_3000 != 0) return false;
            self.icr = value;
            self.command(@truncate(value), @truncate(value >> 32), false, effects);
            return true;
        }
        if (value > 0xffff_ffff) return false;
        const narrow: u32 = @truncate(value);
        return switch (offset) {
            reg_id, reg_version, reg_ldr, reg_dfr, reg_icr_high, reg_ppr, reg_apr => false,
            reg_timer_current => false,
            reg_eoi, reg_esr => value == 0 and self.commonWrite(offset, narrow, now_ns, effects),
            reg_tpr => value <= 0xff and self.commonWrite(offset, narrow, now_ns, effects),
            else => self.commonWrite(offset, narrow, now_ns, effects),
        };
    }

    /// Registers that both modes read alike; null where there is none.
    fn common(self: *Local, offset: u12, now_ns: u64) ?u32 {
        return switch (offset) {
            reg_version => version,
            reg_tpr => self.tpr,
            reg_apr, reg_eoi => 0,
            reg_ppr => self.ppr(),
            reg_svr => self.svr,
            reg_isr...reg_isr + 0x70 => word(&self.isr, offset - reg_isr),
            reg_tmr...reg_tmr + 0x70 => word(&self.tmr, offset - reg_tmr),
            reg_irr...reg_irr + 0x70 => word(&self.irr, offset - reg_irr),
            reg_esr => self.esr,
            reg_cmci => self.cmci,
            reg_lvt_timer...reg_lvt_error => self.lvt[(offset - reg_lvt_timer) >> 4],
            reg_timer_initial => self.timer.initial,
            reg_timer_current => self.timer.current(now_ns),
            reg_timer_divide => self.timer.divide,
            else => null,
        };
    }

    fn commonWrite(self: *Local, offset: u12, value: u32, now_ns: u64, effects: *Effects) bool {
        switch (offset) {
            // What has fired as these stood before has fired, however long it is kept back.
            reg_svr, reg_lvt_timer, reg_timer_initial, reg_timer_divide => self.expire(now_ns),
            else => {},
        }
        switch (offset) {
            reg_tpr => self.tpr = @truncate(value),
            reg_eoi => self.endOfInterrupt(now_ns, effects),
            reg_svr => {
                const before = self.softwareEnabled();
                self.svr = value & 0x1ff;
                if (!self.softwareEnabled()) for (&self.lvt) |*entry| {
                    entry.* |= lvt_masked;
                };
                if (before != self.softwareEnabled()) effects.changed = true;
            },
            reg_esr => {
                self.esr = self.esr_latched;
                self.esr_latched = 0;
            },
            reg_cmci => self.cmci = value & 0x1_07ff,
            reg_lvt_timer...reg_lvt_error => self.writeLvt((offset - reg_lvt_timer) >> 4, value),
            reg_timer_initial => {
                self.timer.start(value, now_ns);
                self.pace.handled(now_ns);
            },
            reg_timer_divide => self.timer.setDivide(value, now_ns),
            else => return false,
        }
        return true;
    }

    fn writeLvt(self: *Local, index: u12, value: u32) void {
        // Delivery status and remote IRR are read-only.
        const timer_bits: u32 = if (self.has_deadline) 0x7_00ff else 0x3_00ff;
        var entry = value & if (index == 0) timer_bits else 0x1_a7ff;
        if (!self.softwareEnabled()) entry |= lvt_masked;
        self.lvt[index] = entry;
        if (index == 0) self.timer.setMode(switch (@as(u2, @truncate(entry >> 17))) {
            0 => .one_shot,
            1, 3 => .periodic,
            2 => .tsc_deadline,
        });
    }

    fn endOfInterrupt(self: *Local, now_ns: u64, effects: *Effects) void {
        const vector = highest(&self.isr) orelse return;
        self.isr.unset(vector);
        const periodic = self.timer.mode == .periodic;
        if (periodic and vector == self.timerVector()) self.pace.handled(now_ns);
        if (self.tmr.isSet(vector)) effects.eoi = vector;
    }

    /// An interrupt command: low half of ICR and the destination.
    fn command(self: *Local, low: u32, to: u32, narrow: bool, effects: *Effects) void {
        const number: u8 = @truncate(low >> 8 & 7);
        const mode = std.enums.fromInt(destination.Mode, number) orelse return;
        // The de-assert of an INIT is for processors of the last century.
        if (mode == .init and low & 0xc000 == 0x8000) return;
        const vector: u8 = @truncate(low);
        if ((mode == .fixed or mode == .lowest) and vector < 16) return self.fail(1 << 5);
        effects.ipi = .{
            .mode = mode,
            .vector = vector,
            .level = false,
            .shorthand = @enumFromInt(low >> 18 & 3),
            .logical = low & 0x800 != 0,
            .destination = to,
            .narrow = narrow,
        };
    }
};

fn highest(set: *const Vectors) ?u8 {
    var i: usize = set.masks.len;
    while (i > 0) {
        i -= 1;
        const mask = set.masks[i];
        if (mask != 0) return @intCast(i * 64 + 63 - @clz(mask));
    }
    return null;
}

/// 32 bits of a set, as the eight registers of each set show them.
fn word(set: *const Vectors, distance: u12) u32 {
    const index = distance >> 4;
    return @truncate(set.masks[index / 2] >> @intCast(32 * (index % 2)));
}
