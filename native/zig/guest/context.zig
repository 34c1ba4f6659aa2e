//! What a check works with: its vCPU, waiting, barriers, and the word about what went wrong.
//!
//! Waits spin briefly and then nap: with more vCPUs than host processors, pure spinning would keep
//! the very vCPU from running that is waited for. Every wait ends: a store that never arrives is
//! a failed check, not a silent machine.

const cpu_mod = @import("cpu.zig");
const info_mod = @import("info.zig");
const pages = @import("pages.zig");
const Cpu = cpu_mod.Cpu;
const Info = info_mod.Info;
const load = cpu_mod.load;
const store = cpu_mod.store;

pub const Failed = error{Failed};

/// Left in the vCPU's own memory for vCPU 0 to collect.
pub const Result = extern struct {
    ok: u64,
    /// Time stamp counter ticks spent on what the check measures, and how often it was done.
    cycles: u64,
    operations: u64,
    text: [*]const u8,
    text_length: u64,
    expected: u64,
    found: u64,

    pub fn of(info: *const Info, vcpu: u64) *Result {
        return @ptrFromInt(info.cpu_area[vcpu] + info_mod.page);
    }
};

const spins_before_nap = 64;
const nap_us_min = 50;
const nap_us_max = 1000;
/// A barrier waits for the slowest vCPU, which may itself be waiting in its check.
const barrier_limit_factor = 2;

pub const Context = struct {
    cpu: *Cpu,
    info: *const Info,
    result: Result = undefined,

    pub fn begin(context: *Context) void {
        context.result = .{
            .ok = 1,
            .cycles = 0,
            .operations = 0,
            .text = undefined,
            .text_length = 0,
            .expected = 0,
            .found = 0,
        };
    }

    pub fn me(context: *const Context) u64 {
        return context.cpu.index;
    }

    /// `rounds` at scale 100 %, at least one.
    pub fn scaled(context: *const Context, rounds: u64) u64 {
        return @max(1, rounds * context.info.scale_percent / 100);
    }

    pub fn fail(context: *Context, text: []const u8, expected: u64, found: u64) Failed {
        context.result.ok = 0;
        context.result.text = text.ptr;
        context.result.text_length = text.len;
        context.result.expected = expected;
        context.result.found = found;
        return error.Failed;
    }

    pub fn expect(context: *Context, text: []const u8, expected: u64, found: u64) Failed!void {
        if (expected != found) return context.fail(text, expected, found);
    }

    pub fn spent(context: *Context, since: u64, operations: u64) void {
        context.result.cycles += cpu_mod.readTsc() -| since;
        context.result.operations += operations;
    }

    pub fn patience(context: *Context) Patience {
        return .init(context, 1);
    }

    /// Waits until the word is `value` or more.
    pub fn waitFor(context: *Context, word: *const u64, value: u64) Failed!void {
        var patience_left: Patience = .init(context, 1);
        while (load(word) < value) {
            if (!patience_left.more()) {
                return context.fail("a store never became visible", value, load(word));
            }
        }
    }

    /// Halts until this vCPU has taken `value` interrupts of the kind. The nap timer runs
    /// periodically meanwhile (see `interruptsOnly`), so that a lost interrupt ends the wait.
    pub fn waitForInterrupt(
        context: *Context,
        interrupt: cpu_mod.Interrupt,
        value: u64,
    ) Failed!void {
        const start = cpu_mod.readTsc();
        while (true) {
            const seen = load(&context.cpu.events);
            if (context.cpu.count(interrupt) >= value) return;
            if (cpu_mod.readTsc() -% start > limitCycles(context.info)) {
                return context.fail("an interrupt never came", value, //
                    context.cpu.count(interrupt));
            }
            context.cpu.halt(seen);
        }
    }

    /// The timer ticks slowly while a check waits for interrupts by halting.
    pub fn watchdog(context: *Context, on: bool) void {
        const nap: u64 = @intFromEnum(cpu_mod.Interrupt.nap);
        const tick_ms = 250;
        context.cpu.writeMsr(cpu_mod.msr.timer_count, 0);
        context.cpu.writeMsr(
            cpu_mod.msr.timer_lvt,
            if (on) nap | cpu_mod.lvt_periodic else nap,
        );
        if (on) {
            context.cpu.writeMsr(cpu_mod.msr.timer_count, tick_ms * context.info.apic_timer_khz);
        }
    }

    /// Passes when every vCPU has come. Arrivals are atomic; waiters read a second word.
    pub fn barrier(context: *Context) Failed!void {
        const all = context.info.vcpus;
        const arrivals = pages.word(context.info, .arrivals, 0);
        const generation = pages.word(context.info, .generation, 0);
        context.cpu.round += 1;
        const round = context.cpu.round;
        if (@atomicRmw(u64, arrivals, .Add, 1, .acq_rel) + 1 == all * round) {
            store(generation, round);
            return;
        }
        var left: Patience = .init(context, barrier_limit_factor);
        while (load(generation) < round) {
            if (!left.more()) return context.fail("a vCPU never came to the barrier", round, //
                load(generation));
            // An atomic look now and then: the barrier must hold even where plain reads are
            // stale, so that the checks themselves find that out and name it.
            if (left.naps % 16 == 15 and @atomicRmw(u64, generation, .Add, 0, .acq_rel) >= round) {
                return;
            }
        }
    }
};

fn limitCycles(info: *const Info) u64 {
    return info.wait_limit_ms * info.tsc_khz;
}

/// A bounded wait: each `more` spins or naps a little longer; false when the limit is over.
pub const Patience = struct {
    cpu: *Cpu,
    deadline: u64,
    spins: u64 = 0,
    naps: u64 = 0,
    nap_us: u64 = nap_us_min,

    fn init(context: *Context, factor: u64) Patience {
        const limit = limitCycles(context.info) * factor;
        return .{ .cpu = context.cpu, .deadline = cpu_mod.readTsc() + limit };
    }

    pub fn more(left: *Patience) bool {
        if (left.spins < spins_before_nap) {
            left.spins += 1;
            cpu_mod.relax(20);
            return true;
        }
        if (cpu_mod.readTsc() > left.deadline) return false;
        left.naps += 1;
        left.cpu.nap(left.nap_us);
        left.nap_us = @min(left.nap_us * 2, nap_us_max);
        return true;
    }

    /// Something moved: be quick again.
    pub fn progress(left: *Patience) void {
        left.spins = 0;
        left.nap_us = nap_us_min;
    }
};
