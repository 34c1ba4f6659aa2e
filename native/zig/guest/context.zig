//! What a check works with: its vCPU, waiting, barriers, and the word about what went wrong.
//!
//! Waits spin briefly and then nap: with more vCPUs than host processors, pure spinning would keep
//! the very vCPU from running that is waited for. Every wait ends: a store that never arrives is
//! a failed check, not a silent machine.

const cpu_mod = @import("cpu.zig");
const device = @import("device.zig");
const info_mod = @import("info.zig");
const pages = @import("pages.zig");
const Cpu = cpu_mod.Cpu;
const Info = info_mod.Info;
const load = cpu_mod.load;
const store = cpu_mod.store;

pub const Failed = error{Failed};

/// Left in the vCPU's own memory for vCPU 0 to collect.
pub const Result = extern struct {
    /// Time stamp counter ticks spent on what the check measures, and how often it was done.
    cycles: u64,
    operations: u64,

    pub fn of(info: *const Info, vcpu: u64) *Result {
        return @ptrFromInt(info.cpu_area[vcpu] + info_mod.page);
    }
};

/// What a failed check saw. Only a wrong value proves that a promise was broken.
pub const Failure = struct {
    kind: enum { wrong_value, no_progress },
    text: []const u8,
    expected: u64,
    found: u64,
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
    failure: Failure = undefined,
    /// What a person should know although the check holds; "" for nothing.
    note: []const u8 = "",
    /// Interrupts this vCPU had taken before the check.
    counts: [cpu_mod.Interrupt.all.len]u64 = undefined,

    /// Before the meeting that starts the check, so that no interrupt of it is missed.
    pub fn begin(context: *Context) void {
        context.result = .{ .cycles = 0, .operations = 0 };
        context.note = "";
        context.counts = context.cpu.counts;
    }

    /// Interrupts of the kind that this vCPU has taken in this check.
    pub fn taken(context: *const Context, interrupt: cpu_mod.Interrupt) u64 {
        return context.cpu.count(interrupt) - context.counts[interrupt.slot()];
    }

    pub fn me(context: *const Context) u64 {
        return context.cpu.index;
    }

    /// `rounds` at scale 100 %, at least one.
    pub fn scaled(context: *const Context, rounds: u64) u64 {
        return @max(1, rounds * context.info.scale_percent / 100);
    }

    /// Rounds of a check that sees a broken rule only by luck.
    pub fn hunted(context: *const Context, rounds: u64) u64 {
        return context.scaled(rounds) * context.info.hunt;
    }

    pub fn fail(context: *Context, text: []const u8, expected: u64, found: u64) Failed {
        context.failure = .{
            .kind = .wrong_value,
            .text = text,
            .expected = expected,
            .found = found,
        };
        return error.Failed;
    }

    /// A wait was over its limit: `found` moved no further.
    pub fn stuck(context: *Context, text: []const u8, expected: u64, found: u64) Failed {
        const failed = context.fail(text, expected, found);
        context.failure.kind = .no_progress;
        return failed;
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
                return context.stuck("a store never became visible", value, load(word));
            }
        }
    }

    /// Halts until this vCPU has taken `value` interrupts of the kind in this check. The nap
    /// timer runs periodically meanwhile, so that a lost interrupt ends the wait.
    pub fn waitForInterrupt(
        context: *Context,
        interrupt: cpu_mod.Interrupt,
        value: u64,
    ) Failed!void {
        if (context.cpu.watched == 0) context.watchdog(true);
        const start = cpu_mod.readTsc();
        while (true) {
            const seen = load(&context.cpu.events);
            const came = context.taken(interrupt);
            if (came >= value) return;
            if (cpu_mod.readTsc() -% start > limitCycles(context.info)) {
                return context.stuck("an interrupt never came", value, came);
            }
            context.cpu.halt(seen);
        }
    }

    /// The timer ticks slowly while a check waits for interrupts by halting; a nap ends that.
    pub fn watchdog(context: *Context, on: bool) void {
        const nap: u64 = @intFromEnum(cpu_mod.Interrupt.nap);
        const tick_ms = 250;
        context.cpu.watched = @intFromBool(on);
        context.cpu.apicWrite(cpu_mod.msr.timer_count, 0);
        context.cpu.apicWrite(
            cpu_mod.msr.timer_lvt,
            if (on) nap | cpu_mod.lvt_periodic else nap,
        );
        if (on) {
            context.cpu.apicWrite(cpu_mod.msr.timer_count, tick_ms * context.info.apic_timer_khz);
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
            if (!left.more()) return context.stuck("a vCPU never came to the barrier", round, //
                load(generation));
            // An atomic look now and then: the barrier must hold even where plain reads are
            // stale, so that the checks themselves find that out and name it.
            if (left.naps % 16 == 15) {
                if (@atomicRmw(u64, arrivals, .Add, 0, .acq_rel) >= all * round) return;
            }
        }
    }

    /// A barrier by the device that needs no memory: slower, and right even where memory is not.
    pub fn meet(context: *Context) Failed!void {
        context.cpu.meetings += 1;
        const all = context.info.vcpus * context.cpu.meetings;
        var left: Patience = .init(context, barrier_limit_factor);
        // Every look is an access to the device: many vCPUs look less often.
        left.nap_us_max = @max(nap_us_max, context.info.vcpus * 100);
        device.arrive(context.info);
        while (true) {
            const arrived = device.arrived(context.info);
            if (arrived >= all) return;
            left.spins = spins_before_nap;
            if (!left.more()) return context.stuck("a vCPU never came to meet", all, arrived);
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
    nap_us_max: u64 = nap_us_max,

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
        left.nap_us = @min(left.nap_us * 2, left.nap_us_max);
        return true;
    }

    /// Something moved: be quick again.
    pub fn progress(left: *Patience) void {
        left.spins = 0;
        left.nap_us = nap_us_min;
    }
};
