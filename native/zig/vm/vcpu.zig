//! One vCPU: the loop around KVM_RUN. Three things are kept apart: this loop, the pure decoder
//! (exit.zig) and the mailbox by which others reach it (mailbox.zig).
//!
//! The order at the top of the loop is what loses no wake-up: clear immediate_exit, read the kick
//! count, look at the mailbox, INIT, NMI, timer and interrupts, and only then enter or sleep.

const std = @import("std");
const kvm = @import("../sys/kvm.zig");
const linux = @import("../sys/linux.zig");
const exits = @import("exit.zig");
const mailbox_room = @import("mailbox.zig");
const state = @import("state.zig");
const Effects = @import("../apic/local.zig").Effects;
const Local = @import("../apic/local.zig").Local;
const Machine = @import("machine.zig").Machine;
const Mailbox = mailbox_room.Mailbox;
const assert = std.debug.assert;

const apic_page: u64 = 0xfee0_0000;
const interrupt_flag = 1 << 9;

pub const Activity = enum(u8) { wait_for_sipi, running, halted };

/// Answer to a forwarded or slow access, written by the engine or JS thread.
pub const Answer = struct {
    seq: u64 = 0,
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
    apic: Local,
    activity: Activity = .wait_for_sipi,
    answer: Answer = .{},
    /// Acknowledgements of a destination state still to come.
    acks_left: std.atomic.Value(u32) = .init(0),
    state_seq: u64 = 0,
    io_seq: u64 = 0,
    thread: ?std.Thread = null,
    parked: std.atomic.Value(bool) = .init(true),
    last_regs: kvm.Regs = .{},
    last_sregs: kvm.Sregs = undefined,

    pub fn run(self: *Vcpu) void {
        mailbox_room.enterThread(&self.mailbox, self.kvm.run);
        linux.nameThread("gvm-vcpu");
        self.machine.engine.registerThread(self.slot);
        var alarm = mailbox_room.Alarm.init() catch |err| {
            self.crash("no timer for the vCPU thread: {t}", .{err});
            return self.machine.vcpuEnded();
        };
        self.loop(&alarm) catch |err| self.crash("KVM refused a call: {t}", .{err});
        self.mailbox.tid.store(0, .release);
        alarm.deinit();
        self.machine.vcpuEnded();
    }

    fn loop(self: *Vcpu, alarm: *mailbox_room.Alarm) kvm.Error!void {
        while (true) {
            @atomicStore(u8, &self.kvm.run.immediate_exit, 0, .seq_cst);
            const seen = self.mailbox.kicks.load(.seq_cst);
            switch (self.mailbox.read()) {
                .run => {},
                .pause => {
                    linux.futexWait(&self.mailbox.kicks, seen, null);
                    continue;
                },
                .stop => return,
            }
            self.mailbox.inside.store(true, .seq_cst);
            const wake_ns = try self.prepare(alarm);
            if (self.activity != .running) {
                self.mailbox.inside.store(false, .seq_cst);
                alarm.set(null);
                // A deliverable event made it run; here there was none when we looked.
                linux.futexWait(&self.mailbox.kicks, seen, wake_ns);
                continue;
            }
            const entered = self.kvm.enter();
            self.mailbox.inside.store(false, .seq_cst);
            self.machine.counters.add(.exits, 1);
            self.after();
            entered catch |err| switch (err) {
                error.Interrupted, error.Again => continue,
                else => return err,
            };
            if (!try self.handle()) return;
        }
    }

    /// Events before entry. Returns when the timer fires.
    fn prepare(self: *Vcpu, alarm: *mailbox_room.Alarm) kvm.Error!?u64 {
        const now_ns = linux.nowNs();
        self.lock.lock();
        defer self.lock.unlock();
        self.apic.tick(now_ns);
        if (self.apic.takeInit()) try self.reset();
        if (self.activity == .wait_for_sipi) {
            const page = self.apic.takeSipi() orelse return null;
            try self.kvm.setSregs(&state.realMode(page, self.apic.base));
            try self.kvm.setRegs(&state.realModeRegs());
            self.activity = .running;
        } else _ = self.apic.takeSipi();
        if (self.apic.takeNmi()) {
            try self.kvm.nmi();
            self.activity = .running;
        }
        const run_page = self.kvm.run;
        const open = run_page.if_flag != 0;
        if (self.activity == .halted and open and self.apic.deliverable() != null) {
            self.activity = .running;
        }
        const deadline = self.apic.deadline();
        if (self.activity != .running) return deadline;
        if (run_page.ready_for_interrupt_injection != 0 and run_page.if_flag != 0) {
            if (self.apic.deliverable()) |vector| {
                try self.kvm.interrupt(vector);
                self.apic.acknowledge(vector);
                run_page.ready_for_interrupt_injection = 0;
                self.machine.counters.add(.interrupts_injected, 1);
            }
        }
        run_page.request_interrupt_window = @intFromBool(self.apic.deliverable() != null);
        run_page.cr8 = self.apic.tpr >> 4;
        // No signal for a tick that would change nothing: it would throw a vCPU that waits in a
        // page fault out of it, only to fault again.
        alarm.set(if (self.apic.timerWaits()) null else deadline);
        return deadline;
    }

    /// INIT: finish what the last exit left open, then the state of a processor that waits for
    /// SIPI.
    fn reset(self: *Vcpu) kvm.Error!void {
        @atomicStore(u8, &self.kvm.run.immediate_exit, 1, .seq_cst);
        self.kvm.enter() catch |err| switch (err) {
            error.Interrupted, error.Again => {},
            else => return err,
        };
        @atomicStore(u8, &self.kvm.run.immediate_exit, 0, .seq_cst);
        try self.kvm.clearEvents();
        self.apic.reset();
        self.activity = .wait_for_sipi;
        self.machine.publishLocal(self);
    }

    /// What every exit brings along.
    fn after(self: *Vcpu) void {
        const run_page = self.kvm.run;
        if (run_page.kvm_valid_regs & kvm.sync_regs != 0 and run_page.exit_reason != 8) {
            self.last_regs = run_page.sync_regs;
            self.last_sregs = run_page.sync_sregs;
        }
        var effects: Effects = .{};
        self.lock.lock();
        const tpr: u8 = @truncate(run_page.cr8 << 4);
        if (self.apic.tpr >> 4 != tpr >> 4) self.apic.tpr = tpr;
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
            .mmio => |p| self.mmio(p.write, p.address, run_page.exit.mmio.data[0..p.length]),
            .read_msr => |index| self.readMsr(index),
            .write_msr => |w| self.writeMsr(w.index, w.value),
            .halt => self.halt(),
            .window, .set_tpr, .interrupted => {},
            .shutdown => {
                self.crash("triple fault", .{});
                return false;
            },
            .fail_entry => |reason| {
                self.crash("KVM cannot enter the guest (hardware reason {x})", .{reason});
                return false;
            },
            .internal => |e| {
                self.crash("KVM cannot emulate the guest (suberror {d}, {x})", .{
                    e.suberror,
                    e.first,
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

    fn halt(self: *Vcpu) void {
        self.lock.lock();
        self.activity = .halted;
        self.lock.unlock();
        self.machine.engine.threadRests(self.slot);
    }

    fn mmio(self: *Vcpu, write: bool, address: u64, data: []u8) void {
        if (address & ~@as(u64, 0xfff) != apic_page or self.apic.x2apic()) {
            return self.machine.bus.access(self, .{
                .space = .mmio,
                .write = write,
                .address = address,
                .size = @intCast(data.len),
                .count = 1,
            }, data);
        }
        var effects: Effects = .{};
        const offset: u12 = @truncate(address);
        const now_ns = linux.nowNs();
        self.lock.lock();
        if (write) {
            if (data.len == 4) {
                const value = std.mem.readInt(u32, data[0..4], .little);
                self.apic.mmioWrite(offset, value, now_ns, &effects);
            }
        } else {
            const word = self.apic.mmioRead(offset, now_ns);
            var bytes: [8]u8 = @splat(0);
            std.mem.writeInt(u32, bytes[0..4], word, .little);
            const shift = offset & 3;
            for (data, 0..) |*byte, i| byte.* = if (shift + i < 4) bytes[shift + i] else 0;
        }
        self.lock.unlock();
        self.machine.carryOut(self, &effects);
    }

    fn readMsr(self: *Vcpu, index: u32) void {
        self.lock.lock();
        defer self.lock.unlock();
        const value = self.apic.msrRead(index, linux.nowNs());
        self.kvm.run.exit.msr.failed = @intFromBool(value == null);
        self.kvm.run.exit.msr.data = value orelse 0;
    }

    fn writeMsr(self: *Vcpu, index: u32, value: u64) void {
        var effects: Effects = .{};
        self.lock.lock();
        const taken = self.apic.msrWrite(index, value, linux.nowNs(), &effects);
        self.lock.unlock();
        self.kvm.run.exit.msr.failed = @intFromBool(!taken);
        self.machine.carryOut(self, &effects);
    }

    /// Sleeps until `word` is not `value`; false when the vCPU is told to stop.
    pub fn waitWhile(self: *Vcpu, word: *const std.atomic.Value(u32), value: u32) bool {
        while (word.load(.acquire) == value) {
            if (self.mailbox.read() == .stop) return false;
            // The stop wakes it too (machine.stop).
            linux.futexWait(word, value, linux.nowNs() + 100_000_000);
        }
        return true;
    }

    pub fn kick(self: *Vcpu) void {
        self.mailbox.kick(self.kvm.run);
    }

    fn crash(self: *Vcpu, comptime format: []const u8, arguments: anytype) void {
        var text: [1024]u8 = undefined;
        const reason = std.fmt.bufPrint(&text, format, arguments) catch "crash";
        if (self.kvm.run.kvm_valid_regs & kvm.sync_regs == 0 or self.kvm.run.exit_reason != 8) {
            if (self.kvm.getRegs()) |regs| self.last_regs = regs else |_| {}
            if (self.kvm.getSregs()) |sregs| self.last_sregs = sregs else |_| {}
        }
        var registers: [900]u8 = undefined;
        const shown = state.describe(&self.last_regs, &self.last_sregs, &registers);
        var whole: [2048]u8 = undefined;
        const message = std.fmt.bufPrint(&whole, "{s}\n{s}", .{ reason, shown }) catch reason;
        self.machine.events.text(.crash, self.index, message);
    }
};
