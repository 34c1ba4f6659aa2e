//! Effects of one simulated node's Dsm on the pretend memory, each noted for the checks that follow
//! the step.

const std = @import("std");
const Message = @import("../wire/message.zig").Message;
const State = @import("../dsm/dsm.zig").State;
const memory = @import("memory.zig");
const Bytes = memory.Bytes;
const Sim = @import("coherence.zig").Sim;
const assert = std.debug.assert;

const none: Bytes = @splat(0);
const forgotten: Bytes = @splat(0xdb);

pub const Host = struct {
    sim: *Sim,
    node: u8,

    pub fn send(self: *Host, to: u8, message: Message) void {
        const sim = self.sim;
        const page: u32 = @truncate(message.orderKey());
        sim.log(self.node, "send", page, "to={d} {f}", .{ to, message });
        sim.note(self.node, @intFromEnum(message), @truncate(message.orderKey()));
        sim.wires.send(self.node, to, &message, sim.now_ns);
    }

    pub fn bytes(self: *Host, page: u32) *const Bytes {
        return &self.sim.truth.bytes[self.node][page];
    }

    pub fn install(self: *Host, page: u32, content: *const Bytes) void {
        if (self.mapped(page).* != .invalid) self.sim.fail(error.InstalledUnderMapping);
        memory.copy(&self.sim.truth.bytes[self.node][page], content);
    }

    pub fn zero(self: *Host, page: u32) void {
        self.install(page, &none);
    }

    pub fn arrived(_: *Host, _: u32, _: State) void {}

    pub fn map(self: *Host, page: u32, state: State) void {
        const sim = self.sim;
        // As the engine's (engine/memory.zig).
        assert(state != .invalid);
        sim.log(self.node, "map", page, "{t}", .{state});
        self.mapped(page).* = state;
        sim.truth.grants[page] += 1;
        self.touched(page);
        for (sim.nodes[self.node].threads) |*thread| {
            if (thread.waits_for != page) continue;
            thread.wake(sim.prng.random(), sim.now_ns, sim.options.wake_late_ns);
        }
    }

    pub fn mapRun(self: *Host, first: u32, count: u32) void {
        for (first..first + count) |page| {
            const untouched = std.mem.allEqual(u8, self.bytes(@intCast(page)), 0);
            const unmapped = self.mapped(@intCast(page)).* == .invalid;
            if (!untouched or !unmapped) self.sim.fail(error.UsedInRun);
            self.map(@intCast(page), .modified);
        }
    }

    pub fn protect(self: *Host, page: u32) void {
        self.sim.log(self.node, "protect", page, "", .{});
        const mapping = self.mapped(page);
        // On trial it may be owned and not mapped, or mapped to be read (dsm/gang.zig).
        const gangs = self.sim.options.gang_requests > 0;
        if (mapping.* != .modified and !gangs) self.sim.fail(error.ProtectedUnmapped);
        if (mapping.* == .modified) mapping.* = .shared;
        self.touched(page);
    }

    pub fn drop(self: *Host, page: u32) void {
        self.sim.log(self.node, "drop", page, "", .{});
        self.mapped(page).* = .invalid;
        self.touched(page);
    }

    /// Whoever is answered with them notices.
    pub fn forget(self: *Host, page: u32) void {
        self.sim.log(self.node, "forget", page, "", .{});
        if (self.mapped(page).* != .invalid) self.sim.fail(error.ForgottenUnderMapping);
        memory.copy(&self.sim.truth.bytes[self.node][page], &forgotten);
    }

    pub fn fatal(self: *Host, reason: []const u8) void {
        self.sim.fatal = reason;
        self.sim.fail(error.Fatal);
    }

    fn mapped(self: *Host, page: u32) *State {
        return &self.sim.truth.mapped[self.node][page];
    }

    fn touched(self: *Host, page: u32) void {
        self.sim.note(self.node, 0, page);
        self.sim.touched.append(self.sim.allocator, page) catch @panic("simulator out of memory");
    }
};
