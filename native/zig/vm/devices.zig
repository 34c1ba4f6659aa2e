//! The board from outside: whoever touches it takes its lock, and carries out what it asks for
//! after letting go, because interrupts and events may wait for others.

const std = @import("std");
const BoardEffects = @import("../devices/board.zig").Effects;
const Cmos = @import("../devices/cmos.zig").Cmos;
const interrupts = @import("interrupts.zig");
const IoApic = @import("../apic/ioapic.zig").IoApic;
const linux = @import("../sys/linux.zig");
const PciEffects = @import("../devices/pci/function.zig").Effects;
const Machine = @import("machine.zig").Machine;

/// A local APIC ended a level-triggered interrupt; device node only.
pub fn endOfInterrupt(machine: *Machine, vector: u8, way: interrupts.Way) void {
    var effects: BoardEffects = .{};
    machine.board_lock.lock();
    machine.board.eoi(vector, &effects);
    machine.board_lock.unlock();
    carryOutBy(machine, &effects, way);
}

/// Threads of vCPUs, devices and the engine, without the board's lock.
pub fn carryOut(machine: *Machine, effects: *const BoardEffects) void {
    const on_engine = machine.engine.onThisThread();
    carryOutBy(machine, effects, if (on_engine) .engine else .queue);
}

fn carryOutBy(machine: *Machine, effects: *const BoardEffects, way: interrupts.Way) void {
    deliverAll(machine, &effects.interrupts, way);
    for (effects.pci.requests()) |*request| _ = interrupts.deliver(machine, null, request, way);
    for (machine.doorbells, 0..) |doorbell, number| {
        if (effects.pci.wakes >> @intCast(number) & 1 != 0) if (doorbell) |bell| bell.ring();
    }
    if (effects.printed) machine.events.wake();
    if (effects.lost > 0) machine.counters.add(.console_lost, effects.lost);
    if (effects.poweroff) machine.events.simple(.poweroff, machine.node, 0);
    if (effects.reset) machine.events.simple(.reset, machine.node, 0);
    if (effects.exit_code) |code| machine.events.simple(.debug_exit, machine.node, code);
    if (effects.rearm) machine.ticker.poke();
}

fn deliverAll(machine: *Machine, requests: *const IoApic.Requests, way: interrupts.Way) void {
    for (requests.slice(), 0..) |*request, i| {
        if (interrupts.deliver(machine, null, request, way) or !request.level) continue;
        var again: IoApic.Requests = .{};
        machine.board_lock.lock();
        machine.board.io_apic.unaccepted(requests.from[i], request, &again);
        machine.board_lock.unlock();
        deliverAll(machine, &again, way);
    }
}

/// Takes what the guest printed, oldest first, and lets a guest that waits for it go on.
pub fn takeConsole(machine: *Machine, out: []u8) usize {
    var effects: BoardEffects = .{};
    machine.board_lock.lock();
    const taken = machine.board.takeOutput(out, linux.nowNs(), &effects);
    machine.board_lock.unlock();
    carryOutBy(machine, &effects, .promptly);
    return taken;
}

/// Bytes typed at the console; returns how many the serial port took.
pub fn consoleInput(machine: *Machine, bytes: []const u8) usize {
    var effects: BoardEffects = .{};
    machine.board_lock.lock();
    const taken = machine.board.input(bytes, &effects);
    machine.board_lock.unlock();
    carryOutBy(machine, &effects, .promptly);
    return taken;
}

/// The user presses the power button.
pub fn pressPower(machine: *Machine) void {
    var effects: BoardEffects = .{};
    machine.board_lock.lock();
    machine.board.pressPower(&effects);
    machine.board_lock.unlock();
    carryOutBy(machine, &effects, .promptly);
}

/// The battery-backed chip's state into `out`, for the machine after a restart; returns bytes.
pub fn keepCmos(machine: *Machine, out: []u8) error{NoBufferSpace}!usize {
    machine.board_lock.lock();
    const kept = machine.board.cmos.keep();
    machine.board_lock.unlock();
    const bytes = std.mem.asBytes(&kept);
    if (out.len < bytes.len) return error.NoBufferSpace;
    @memcpy(out[0..bytes.len], bytes);
    return bytes.len;
}

/// As keepCmos gave it; nothing leaves the chip as it is. Before the vCPUs run.
pub fn restoreCmos(machine: *Machine, bytes: []const u8) error{OutOfRange}!void {
    if (bytes.len == 0) return;
    if (bytes.len != @sizeOf(Cmos.Kept)) return error.OutOfRange;
    machine.board.cmos = .restart(std.mem.bytesAsValue(Cmos.Kept, bytes), linux.nowNs());
}

/// A device's own thread, which holds no lock, changes its device: `act(context, effects)` runs
/// under the board's lock, and what it asks for is carried out afterwards. Interrupts it raises
/// find all that the thread has stored to guest memory before.
pub fn change(
    machine: *Machine,
    context: anytype,
    comptime act: fn (@TypeOf(context), *PciEffects) void,
) void {
    var effects: BoardEffects = .{};
    machine.board_lock.lock();
    act(context, &effects.pci);
    machine.board.updateLines(&effects);
    machine.board_lock.unlock();
    carryOut(machine, &effects);
}
