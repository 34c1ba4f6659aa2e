//! Effects of one node's Dsm on the small world. The bytes of a page are one of a few constant
//! blocks, so a message that carries bytes carries a pointer, and the pointer is the value.

const std = @import("std");
const Message = @import("../wire/message.zig").Message;
const Letter = @import("lanes.zig").Letter;
const State = @import("../dsm/dsm.zig").State;
const Bytes = @import("../sim/memory.zig").Bytes;
const World = @import("pages.zig").World;

pub const Host = struct {
    world: *World,
    node: u8,

    pub fn send(self: *Host, to: u8, message: Message) void {
        const page: u8 = @truncate(message.orderKey());
        self.log("send", page, "to={d} {f}", .{ to, message });
        const letter: Letter = .{
            .from = self.node,
            .to = to,
            .page = page,
            .message = message,
        };
        if (!self.world.lanes.push(letter)) self.fail(error.TooManyMessages);
    }

    pub fn bytes(self: *Host, page: u32) *const Bytes {
        return &self.world.blocks[self.world.shared.values[self.node][page]];
    }

    pub fn install(self: *Host, page: u32, content: *const Bytes) void {
        if (self.mapped(page).* != .invalid) self.fail(error.InstalledUnderMapping);
        self.world.shared.values[self.node][page] = valueOf(self.world, content);
    }

    pub fn zero(self: *Host, page: u32) void {
        self.install(page, &self.world.blocks[0]);
    }

    pub fn arrived(_: *Host, _: u32, _: State) void {}

    pub fn map(self: *Host, page: u32, state: State) void {
        // As the engine's (engine/memory.zig).
        std.debug.assert(state != .invalid);
        self.log("map", page, "{t}", .{state});
        self.mapped(page).* = state;
        for (&self.world.shared.threads[self.node]) |*thread| {
            if (thread.waits_for == @as(u8, @intCast(page))) thread.waits_for = null;
        }
    }

    pub fn mapRun(self: *Host, first: u32, count: u32) void {
        for (first..first + count) |page| self.map(@intCast(page), .modified);
    }

    pub fn protect(self: *Host, page: u32) void {
        self.log("protect", page, "", .{});
        const mapping = self.mapped(page);
        // A page of a gang may be owned and not mapped, or mapped to be read (dsm/gang.zig).
        const gangs = self.world.options.gang_requests > 0;
        if (mapping.* != .modified and !gangs) self.fail(error.ProtectedUnmapped);
        if (mapping.* == .modified) mapping.* = .shared;
    }

    pub fn drop(self: *Host, page: u32) void {
        self.log("drop", page, "", .{});
        self.mapped(page).* = .invalid;
    }

    pub fn fatal(self: *Host, reason: []const u8) void {
        self.world.fatal = reason;
        self.fail(error.Fatal);
    }

    fn mapped(self: *Host, page: u32) *State {
        return &self.world.shared.mapped[self.node][page];
    }

    fn fail(self: *Host, failure: World.Failure) void {
        if (self.world.failure == null) self.world.failure = failure;
    }

    fn log(
        self: *Host,
        effect: []const u8,
        page: u32,
        comptime detail: []const u8,
        arguments: anytype,
    ) void {
        if (!self.world.trace) return;
        const head = .{ "", self.node, effect, page };
        std.debug.print("{s:>4} {d:>2}   {s:<8} {x:>2} " ++ detail ++ "\n", head ++ arguments);
    }
};

pub fn valueOf(world: *const World, content: *const Bytes) u8 {
    const distance = @intFromPtr(content) - @intFromPtr(world.blocks.ptr);
    std.debug.assert(distance < world.blocks.len * @sizeOf(Bytes));
    return @intCast(distance / @sizeOf(Bytes));
}
