//! One vCPU: the loop around KVM_RUN. Three things are kept apart: this loop, the pure decoder
//! (exit.zig) and the mailbox by which others reach it (mailbox.zig).
//!
//! The order at the top of the loop is what loses no wake-up: clear immediate_exit, say that a kick
//! must now signal, read the kick count, look at the mailbox, the TSC's gate, INIT, NMI, timer and
//! interrupts, and only then enter or sleep.
//!
//! The lock guards what other threads touch: the local APIC, the activity and the registers shown.
//! It is never held across KVM_RUN: that may wait for a page, and the engine thread, which brings
//! the page, takes the lock to deliver interrupts.
//!
//! Long because the order of events in one loop is the point, and is read in one piece.

const std = @import("std");
const abi = @import("../abi.zig");
const apic_access = @import("apic_access.zig");
const deadline_room = @import("deadline.zig");
const debug_room = @import("debug.zig");
const kvm = @import("../sys/kvm.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const exits = @import("exit.zig");
const interrupts = @import("interrupts.zig");
const mailbox_room = @import("mailbox.zig");
const shadow = @import("shadow.zig");
const state = @import("state.zig");
const Apic = @import("../apic/interface.zig").Apic;
const Effects = @import("../apic/local.zig").Effects;
const Machine = @import("machine.zig").Machine;
const Mailbox = mailbox_room.Mailbox;
const assert = std.debug.assert;

/// Exits one instruction may cause: KVM cuts an access of up to 64 bytes at 8 bytes and pages.
const parts_max = 16;

pub const Activity = enum(u8) { wait_for_sipi, running, halted };

/// Answer to a forwarded or slow access, written by the engine or JS thread.
pub const Answer = struct {
    seq: u64 = 0,
    /// Who was asked.
    node: u8 = 0,
    ready: std.atomic.Value(u32) = .init(0),
    status: u8 = 0,
    length: u32 = 0,
    data: [4096]u8 = undefined,
};

pub const Vcpu = struct {
    machine: *Machine,
    /// Global number, also the APIC id.
    index: u8,
    /// Number among this node's, also the thread slot of its gathers.
    slot: u8,
    kvm: kvm.Vcpu,
    mailbox: Mailbox = .{},
    lock: linux.Lock = .{},
    apic: Apic,
    activity: Activity = .wait_for_sipi,
    /// KVM was given an NMI that may not have come to the guest yet; the vCPU's own.
    nmi_given: bool = false,
    debug: debug_room.Debug = .{},
    answer: Answer = .{},
    /// Which destination state was published last, and who has still to acknowledge it.
    acks: interrupts.Acks = .{},
    io_seq: u64 = 0,
    thread: ?std.Thread = null,
    /// Ticks of the TSC's steps that KVM knows of.
    tsc_applied: u64 = 0,
    last_regs: kvm.Regs = .{},
    last_sregs: kvm.Sregs = undefined,
    last_ns: u64 = 0,

    pub fn run(self: *Vcpu) void {
        mailbox_room.enterThread(&self.mailbox, self.kvm.run);
        linux.nameThread("gvm-vcpu");
        self.machine.engine.registerThread(self.slot);
        var alarm = mailbox_room.Alarm.init() catch |err| {
            self.crash("no timer for the vCPU thread: {t}", .{err});
            return self.machine.threadEnded();
        };
        self.loop(&alarm) catch |err| self.crash("KVM refused a call: {t}", .{err});
        self.mailbox.tid.store(0, .release);
        alarm.deinit();
        self.machine.threadEnded();
    }

    fn loop(self: *Vcpu, alarm: *mailbox_room.Alarm) kvm.Error!void {
        while (true) {
            const may_inject = !self.machine.forgets_shadow or try shadow.passHalt(self, alarm);
            const seen, const command = self.goesIn();
            const stepped = self.tsc_applied;
            try self.machine.tsc.apply(self);
            if (self.tsc_applied != stepped) try deadline_room.renew(self);
            if (command == .run and self.takeInit()) {
                try self.reset();
                continue;
            }
            if (command == .run) try debug_room.takeOver(self);
            const wake_ns = if (command == .run) try self.prepare(alarm, may_inject) else null;
            if (command != .run or self.activity != .running) {
                self.goesOut();
                if (command == .stop) return;
                alarm.set(null);
                self.mailbox.held.store(command == .pause, .release);
                // Whatever would make it run kicks; here there was nothing when we looked.
                linux.futexWait(&self.mailbox.kicks, seen, wake_ns);
                self.mailbox.held.store(false, .release);
                continue;
            }
            const entered = self.kvm.enter();
            self.goesOut();
            self.machine.counters.add(.exits, 1);
            self.after();
            entered catch |err| switch (err) {
                error.Interrupted, error.Again => continue,
                else => return self.crash("KVM cannot go on with the guest (KVM_RUN: {t})", .{err}),
            };
            if (!try self.handle()) return;
        }
    }

    /// Registers of a vCPU that is not in the guest, which it shows until its next exit. Under the
    /// lock, or before its thread begins.
    pub fn start(self: *Vcpu, sregs: *const kvm.Sregs, regs: *const kvm.Regs) kvm.Error!void {
        try self.kvm.setSregs(sregs);
        try self.kvm.setRegs(regs);
        self.last_sregs = sregs.*;
        self.last_regs = regs.*;
    }

    /// Inside, unless a step of the TSC is under way, for which it waits here: the look for a `hlt`
    /// must not be made twice. Returns the kicks and the command after all of them.
    fn goesIn(self: *Vcpu) struct { u32, mailbox_room.Command } {
        while (true) {
            @atomicStore(u8, &self.kvm.run.immediate_exit, 0, .seq_cst);
            self.mailbox.inside.store(true, .seq_cst);
            self.machine.engine.waits.left(self.slot);
            const seen = self.mailbox.kicks.load(.seq_cst);
            const command = self.mailbox.read();
            if (command != .run or !self.machine.tsc.closed()) return .{ seen, command };
            self.waitForStep(seen);
        }
    }

    /// Outside the guest; the last vCPU to come out may be awaited (tsc.zig).
    fn goesOut(self: *Vcpu) void {
        const machine = self.machine;
        self.mailbox.inside.store(false, .seq_cst);
        if (machine.tsc.closed()) machine.tsc.left(machine.vcpus, linux.nowNs());
    }

    /// The TSC is about to step: stays outside until it has, or it takes too long.
    fn waitForStep(self: *Vcpu, seen: u32) void {
        const tsc = &self.machine.tsc;
        self.goesOut();
        if (!tsc.closed()) return;
        const until_ns = tsc.until_ns.load(.monotonic);
        linux.futexWait(&self.mailbox.kicks, seen, until_ns + 1);
        tsc.giveUp(self.machine.vcpus, linux.nowNs());
    }

    /// Events before entry. Returns when the timer fires.
    fn prepare(self: *Vcpu, alarm: *mailbox_room.Alarm, may_inject: bool) kvm.Error!?u64 {
        const now_ns = linux.nowNs();
        try deadline_room.settle(self, now_ns);
        self.lock.lock();
        defer self.lock.unlock();
        self.apic.tick(now_ns, self.activity == .running);
        if (self.activity == .wait_for_sipi) {
            const page = self.apic.takeSipi() orelse return null;
            const sregs = state.realMode(page, self.apic.baseRegister());
            try self.start(&sregs, &state.realModeRegs());
            self.activity = .running;
        } else _ = self.apic.takeSipi();
        if (self.apic.takeNmi()) {
            try self.kvm.nmi();
            self.nmi_given = true;
            self.activity = .running;
        }
        const run_page = self.kvm.run;
        const open = run_page.if_flag != 0;
        if (self.activity == .halted and open and self.apic.deliverable() != null) {
            self.activity = .running;
        }
        const deadline = self.apic.deadline(self.activity == .running);
        if (self.activity != .running) return deadline;
        const takes = !self.debug.steps();
        if (takes and may_inject and run_page.ready_for_interrupt_injection != 0 and open) {
            if (self.apic.deliverable()) |vector| {
                try self.kvm.interrupt(vector);
                self.apic.acknowledge(vector, now_ns);
                run_page.ready_for_interrupt_injection = 0;
                self.machine.counters.add(.interrupts_injected, 1);
            }
        }
        const wants = takes and self.apic.deliverable() != null;
        run_page.request_interrupt_window = @intFromBool(wants);
        run_page.cr8 = self.apic.cr8();
        // No signal for a tick that would change nothing: it would throw a vCPU that waits in a
        // page fault out of it, only to fault again.
        alarm.set(if (self.apic.timerWaits()) null else deadline);
        return deadline;
    }

    /// Whether it will take an interrupt as soon as the guest allows.
    pub fn interruptWaits(self: *Vcpu) kvm.Error!bool {
        const now_ns = linux.nowNs();
        try deadline_room.settle(self, now_ns);
        self.lock.lock();
        defer self.lock.unlock();
        self.apic.tick(now_ns, self.activity == .running);
        return self.activity != .wait_for_sipi and self.apic.deliverable() != null;
    }

    fn takeInit(self: *Vcpu) bool {
        self.lock.lock();
        defer self.lock.unlock();
        return self.apic.takeInit();
    }

    /// INIT: the state of a processor that waits for SIPI, which sets the registers.
    fn reset(self: *Vcpu) kvm.Error!void {
        try self.finishExit();
        try self.kvm.clearEvents();
        try self.kvm.resetDebugRegisters();
        self.lock.lock();
        self.apic.reset();
        self.activity = .wait_for_sipi;
        self.lock.unlock();
        interrupts.publish(self.machine, self);
    }

    /// Lets KVM complete what the last exit left open: it would overwrite registers set now at the
    /// next entry. An access in several parts comes out again after each part.
    fn finishExit(self: *Vcpu) kvm.Error!void {
        for (0..parts_max) |_| {
            @atomicStore(u8, &self.kvm.run.immediate_exit, 1, .seq_cst);
            self.kvm.enter() catch |err| switch (err) {
                error.Interrupted, error.Again => return,
                else => return err,
            };
        }
    }

    /// What every exit brings along.
    fn after(self: *Vcpu) void {
        const run_page = self.kvm.run;
        var effects: Effects = .{};
        self.lock.lock();
        // A triple fault leaves nothing to show (AMD: the vCPU is reset already).
        if (run_page.kvm_valid_regs != 0 and run_page.exit_reason != kvm.exit_shutdown) {
            self.last_regs = run_page.sync_regs;
            self.last_sregs = run_page.sync_sregs;
            self.last_ns = linux.nowNs();
        }
        self.apic.setCr8(run_page.cr8);
        self.apic.setBase(run_page.apic_base, &effects);
        self.lock.unlock();
        self.machine.carryOut(self, &effects);
    }

    /// False when the vCPU is done for.
    fn handle(self: *Vcpu) kvm.Error!bool {
        const run_page = self.kvm.run;
        switch (exits.decode(run_page)) {
            .port => |p| {
                self.machine.bus.access(self, .{
                    .space = .port,
                    .write = p.write,
                    .address = p.port,
                    .size = p.size,
                    .count = p.count,
                }, self.kvm.ioData());
            },
            .mmio => |p| {
                const data = run_page.exit.mmio.data[0..p.length];
                try apic_access.mmio(self, p.write, p.address, data);
            },
            .read_msr => |index| apic_access.readMsr(self, index),
            .write_msr => |w| try apic_access.writeMsr(self, w.index, w.value),
            .halt => try self.halt(),
            .debug => |stop| self.debugStop(stop.rip, stop.dr6),
            .int3 => |rip| if (try debug_room.takesInt3(self, rip)) self.debugStop(rip, 0),
            .window, .set_tpr, .interrupted => {},
            .shutdown => {
                self.crash("triple fault", .{});
                return false;
            },
            .fail_entry => |reason| {
                self.crash("KVM cannot enter the guest (hardware reason {x})", .{reason});
                return false;
            },
            .exception => |e| {
                self.crash("KVM stopped at the guest's exception {d} (error code {x})", .{
                    e.vector,
                    e.error_code,
                });
                return false;
            },
            .internal => |e| {
                self.crash("KVM gave up (internal error {d}, {x})", .{
                    e.suberror,
                    e.first,
                });
                return false;
            },
            .not_emulated => |e| {
                self.crash("KVM cannot emulate this instruction of the guest: {x}", .{
                    e.bytes[0..e.length],
                });
                return false;
            },
            .unknown => |reason| {
                self.crash("unknown exit {d}", .{reason});
                return false;
            },
        }
        return true;
    }

    /// Holds itself until the debugger lets it go; the control plane holds the others.
    fn debugStop(self: *Vcpu, rip: u64, dr6: u64) void {
        const running = @intFromEnum(mailbox_room.Command.run);
        const pause = @intFromEnum(mailbox_room.Command.pause);
        // A stop of the VM goes first.
        _ = self.mailbox.command.cmpxchgStrong(running, pause, .acq_rel, .acquire);
        _ = self.machine.events.push(.{
            .kind = @intFromEnum(abi.EventKind.debug_stop),
            .length = 0,
            .node = self.machine.node,
            .a = self.index,
            .b = rip,
            .c = dr6,
        }, &.{});
    }

    fn halt(self: *Vcpu) kvm.Error!void {
        // KVM holds an NMI back behind `sti`, so that `sti; hlt` halts in spite of it; no processor
        // sleeps then.
        if (self.nmi_given) {
            if (try self.kvm.nmiWaits()) return;
            self.nmi_given = false;
        }
        self.lock.lock();
        self.activity = .halted;
        self.lock.unlock();
        self.machine.engine.threadRests(self.slot);
    }

    /// Sleeps until `word` is not `value`; false when the vCPU is told to stop, or too late.
    pub fn waitWhile(
        self: *Vcpu,
        word: *const std.atomic.Value(u32),
        value: u32,
        until_ns: ?u64,
    ) bool {
        while (word.load(.acquire) == value) {
            if (self.mailbox.read() == .stop) return false;
            const now_ns = linux.nowNs();
            const last_ns = until_ns orelse std.math.maxInt(u64);
            if (now_ns >= last_ns) return false;
            // The stop wakes it too (machine.stop), but may come before the sleep.
            linux.futexWait(word, value, @min(now_ns + 100 * limits.ns_per_ms, last_ns));
        }
        return true;
    }

    /// Any thread: something has come for it.
    pub fn kick(self: *Vcpu) void {
        self.mailbox.kick(self.kvm.run, &self.machine.engine.waits, self.slot);
    }

    /// Any thread. A stop does not wait for a page: it may never come.
    pub fn tell(self: *Vcpu, command: mailbox_room.Command) void {
        self.mailbox.command.store(@intFromEnum(command), .release);
        const waits = if (command == .stop) null else &self.machine.engine.waits;
        self.mailbox.kick(self.kvm.run, waits, self.slot);
    }

    fn crash(self: *Vcpu, comptime format: []const u8, arguments: anytype) void {
        var text: [1024]u8 = undefined;
        const reason = std.fmt.bufPrint(&text, format, arguments) catch "crash";
        if (self.kvm.run.exit_reason != kvm.exit_shutdown) {
            const regs = self.kvm.getRegs() catch self.last_regs;
            const sregs = self.kvm.getSregs() catch self.last_sregs;
            self.lock.lock();
            defer self.lock.unlock();
            self.last_regs = regs;
            self.last_sregs = sregs;
        }
        var registers: [900]u8 = undefined;
        const shown = state.describe(&self.last_regs, &self.last_sregs, &registers);
        var whole: [2048]u8 = undefined;
        const message = std.fmt.bufPrint(&whole, "{s}\n{s}", .{ reason, shown }) catch reason;
        self.machine.events.text(.crash, self.index, message);
    }
};
