//! A PCI function as the bus sees it, and what a device implements to be one. The device embeds a
//! Function and is found back by @fieldParentPtr:
//!
//!     const Disk = struct {
//!         function: Function,
//!         fn write(f: *Function, bar: u3, offset: u64, data: []const u8, e: *Effects) void {
//!             const self: *Disk = @fieldParentPtr("function", f);
//!             ...
//!             f.wake(e); // the device's own thread has something to do
//!         }
//!     };
//!
//! Everything here, operations of the device included, runs under the board's lock, so none of it
//! may touch guest memory: the fault might need the engine's thread, which takes that lock too.
//! Work on guest memory belongs to a thread of the device; it comes back through
//! vm/devices.zig `change`, and calls `raise` or `setLine` there. What a device asks of the world
//! is an effect, carried out after the lock is released.

const std = @import("std");
const config = @import("config.zig");
const description = @import("description.zig");
const msix_room = @import("msix.zig");
const Msix = msix_room.Msix;
const Space = config.Space;
const assert = std.debug.assert;

pub const Bar = description.Bar;
pub const Capability = description.Capability;
pub const Description = description.Description;
pub const Effects = @import("effects.zig").Effects;
pub const Place = msix_room.Place;
const bars_max = description.bars_max;

/// What the device does. `data` has 1 to 8 bytes and lies within the BAR.
pub const Operations = struct {
    read: *const fn (*Function, bar: u3, offset: u64, data: []u8, *Effects) void,
    write: *const fn (*Function, bar: u3, offset: u64, data: []const u8, *Effects) void,
    /// The guest resets the function (PCI Express 5.0, 6.6.2): everything as at power-on. The
    /// function's own part, MSI-X, line and configuration, is reset already.
    reset: *const fn (*Function, *Effects) void,
    /// Before the guest reads, and after it has written, bytes of the device's own capability of
    /// this number, from `at` bytes behind the capability's start.
    capability_read: ?*const fn (*Function, number: usize, at: u8, bytes: u8, *Effects) void = null,
    capability_written: ?*const fn (*Function, number: usize, at: u8, bytes: u8, *Effects) void =
        null,
};

pub const Function = struct {
    space: Space,
    /// As `space` was at power-on.
    initial: [config.bytes]u8,
    bars: [bars_max]Bar,
    operations: *const Operations,
    msix: ?Msix,
    /// Offsets of capabilities in `space`, 0 for none.
    msix_at: u8 = 0,
    express_at: u8 = 0,
    own_at: [description.own_capabilities_max]u8 = @splat(0),
    own_count: usize = 0,
    /// Device number on bus 0, from 1 on; Host.attach gives it.
    number: u5 = 0,

    pub fn init(d: *const Description, operations: *const Operations) Function {
        var self: Function = .{
            .space = description.header(d),
            .initial = undefined,
            .bars = d.bars,
            .operations = operations,
            .msix = if (d.msix) |place| .init(place) else null,
        };
        if (d.msix) |*place| self.msix_at = description.addMsix(&self.space, place, &d.bars);
        if (d.express) self.express_at = description.addExpress(&self.space);
        assert(d.capabilities.len <= self.own_at.len);
        for (d.capabilities, 0..) |own, i| {
            self.own_at[i] = self.space.addCapability(own.id, own.body, own.writable);
        }
        self.own_count = d.capabilities.len;
        self.initial = self.space.values;
        return self;
    }

    /// Where a BAR's range starts; null when there is none or the guest has memory switched off.
    pub fn barAddress(self: *const Function, bar: usize) ?u64 {
        const range = &self.bars[bar];
        if (range.bytes == 0) return null;
        if (self.space.get(u16, config.command) & config.command_memory == 0) return null;
        const at = config.first_bar + 4 * bar;
        const low = self.space.get(u32, at) & ~@as(u32, 0xf);
        const high: u64 = if (range.wide) self.space.get(u32, at + 4) else 0;
        return high << 32 | low;
    }

    /// What firmware does at power-on: the BAR's address.
    pub fn setBar(self: *Function, bar: usize, address: u64) void {
        const range = &self.bars[bar];
        assert(range.bytes != 0 and address % range.bytes == 0);
        const at = config.first_bar + 4 * bar;
        const kind = self.space.get(u32, at) & 0xf;
        self.space.set(u32, at, @as(u32, @truncate(address)) | kind);
        if (range.wide) self.space.set(u32, at + 4, @truncate(address >> 32));
    }

    /// Whether it may store to memory and send messages.
    pub fn isBusMaster(self: *const Function) bool {
        return self.space.get(u16, config.command) & config.command_bus_master != 0;
    }

    /// Whether interrupts go by MSI-X; the device uses `setLine` where not.
    pub fn usesMessages(self: *const Function) bool {
        return self.msix != null and self.msixControl() & msix_room.enable != 0;
    }

    fn msixControl(self: *const Function) u16 {
        return self.space.get(u16, self.msix_at + 2);
    }

    /// Interrupts by a vector of the MSI-X table; lost while MSI-X is off, kept while masked.
    pub fn raise(self: *Function, vector: u16, effects: *Effects) void {
        if (!self.usesMessages()) return;
        self.msix.?.raise(vector);
        self.flush(effects);
    }

    fn flush(self: *Function, effects: *Effects) void {
        const msix = if (self.msix) |*m| m else return;
        const control = self.msixControl();
        const on = control & msix_room.enable != 0 and control & msix_room.mask_all == 0;
        msix.flush(on and self.isBusMaster(), effects);
    }

    /// Asserts or deasserts INTA#. The board looks at `line` after each access and each `change`.
    pub fn setLine(self: *Function, level: bool) void {
        assert(self.space.values[config.interrupt_pin] != 0);
        const before = self.space.get(u16, config.status) & ~@as(u16, config.status_line);
        self.space.set(u16, config.status, before | @as(u16, if (level) config.status_line else 0));
    }

    /// Level of INTA# at the interrupt controller.
    pub fn line(self: *const Function) bool {
        if (self.space.get(u16, config.status) & config.status_line == 0) return false;
        if (self.space.get(u16, config.command) & config.command_no_line != 0) return false;
        return !self.usesMessages();
    }

    /// The device's own thread has something to do.
    pub fn wake(self: *const Function, effects: *Effects) void {
        assert(self.number != 0);
        effects.wakes |= @as(u32, 1) << self.number;
    }

    pub fn readConfig(self: *Function, offset: u12, data: []u8, effects: *Effects) void {
        if (self.operations.capability_read) |hook| self.tellOwner(offset, data.len, hook, effects);
        self.space.read(offset, data);
    }

    pub fn writeConfig(self: *Function, offset: u12, data: []const u8, effects: *Effects) void {
        const was_master = self.isBusMaster();
        self.space.write(offset, data);
        if (self.takeReset()) return self.reset(effects);
        self.flush(effects);
        // What had to wait goes on, and what is being done stops behind the request it is at (PCI
        // 3.0, 6.2.2); the bridge has no thread.
        if (self.isBusMaster() != was_master and self.number != 0) self.wake(effects);
        if (self.operations.capability_written) |hook| {
            self.tellOwner(offset, data.len, hook, effects);
        }
    }

    fn tellOwner(
        self: *Function,
        offset: u12,
        length: usize,
        hook: *const fn (*Function, usize, u8, u8, *Effects) void,
        effects: *Effects,
    ) void {
        var i = self.own_count;
        while (i > 0) {
            i -= 1;
            if (offset < self.own_at[i]) continue;
            if (offset >= self.space.free) return;
            return hook(self, i, @intCast(offset - self.own_at[i]), @intCast(length), effects);
        }
    }

    fn takeReset(self: *Function) bool {
        if (self.express_at == 0) return false;
        const initiate = 0x80;
        const byte = &self.space.values[self.express_at + 9];
        defer byte.* &= ~@as(u8, initiate);
        return byte.* & initiate != 0;
    }

    fn reset(self: *Function, effects: *Effects) void {
        self.space.values = self.initial;
        if (self.msix) |*msix| msix.* = .init(msix.place);
        self.operations.reset(self, effects);
    }

    /// An access of 1 to 8 bytes within a BAR.
    pub fn access(
        self: *Function,
        bar: u3,
        offset: u64,
        write: bool,
        data: []u8,
        effects: *Effects,
    ) void {
        assert(offset + data.len <= self.bars[bar].bytes);
        if (self.msix) |*msix| if (msix.place.bar == bar and msix.access(offset, write, data)) {
            return self.flush(effects);
        };
        if (write) {
            self.operations.write(self, bar, offset, data, effects);
        } else {
            self.operations.read(self, bar, offset, data, effects);
        }
    }
};
