//! A virtio device as a PCI function (virtio 1.2, chapter 4.1, modern only): the registers by which
//! a driver negotiates features, describes its queue, rings and is interrupted. Pure, and as every
//! function under the board's lock; the device's own thread, which alone touches guest memory,
//! comes in by take, interrupt and fail.
//!
//! Intuition: the registers are a form that the driver fills in. take() gives the thread a copy
//! once it is complete, and a reset is over only when the thread has given that copy up: so no
//! store of the device lands after the driver has read status 0.
//!
//! Long because the registers are one form: what one of them says depends on the others.

const std = @import("std");
const function_room = @import("../pci/function.zig");
const queue_room = @import("queue.zig");
const Effects = function_room.Effects;
const Function = function_room.Function;
const assert = std.debug.assert;

const vendor = 0x1af4;
const device_base = 0x1040;
/// A driver for transitional devices keeps away from revisions above 0.
const revision = 1;

pub const feature_indirect: u64 = 1 << 28;
pub const feature_event_index: u64 = 1 << 29;
pub const feature_version_1: u64 = 1 << 32;
const features_own = feature_indirect | feature_event_index | feature_version_1;

pub const status_driver_ok = 4;
pub const status_features_ok = 8;
pub const status_needs_reset = 0x40;

/// What the one BAR holds: each structure in a page of its own.
pub const at_common = 0x0000;
pub const at_isr = 0x1000;
pub const at_config = 0x2000;
pub const at_notify = 0x3000;
const at_msix = 0x4000;
const at_pending = 0x4800;
const bar_bytes = 0x8000;
const common_bytes = 64;
const notify_multiplier = 4;

const isr_queue = 1;
const isr_config = 2;
const no_vector = 0xffff;
/// One for changes of the configuration, one for the queue.
const vectors = 2;

const capability_id = 9;
/// Number of the capability that gives access through configuration space (4.1.4.9).
const window = 4;
/// Its data, behind its start.
const window_data = 16;

pub const Device = struct {
    /// Number of the kind of device (chapter 5), and class of the function.
    kind: u16,
    class: u24,
    /// Beside those of queue and transport.
    features: u64,
    /// What the device's own configuration shows; the caller's until the device is gone.
    config: []const u8,
};

/// What the device's thread works by.
pub const Work = struct {
    layout: queue_room.Layout,
    features: u64,
    /// Differs from that of the work before when there was a reset in between.
    generation: u32,

    pub fn has(self: *const Work, feature: u64) bool {
        return self.features & feature != 0;
    }
};

const QueueForm = struct {
    size: u16 = queue_room.size_max,
    vector: u16 = no_vector,
    enabled: bool = false,
    descriptors: u64 = 0,
    driver: u64 = 0,
    device: u64 = 0,

    fn layout(self: *const QueueForm) queue_room.Layout {
        return .{
            .size = self.size,
            .descriptors = self.descriptors,
            .driver = self.driver,
            .device = self.device,
        };
    }
};

/// What the driver has filled in; a reset empties it.
const Form = struct {
    device_feature_select: u32 = 0,
    driver_feature_select: u32 = 0,
    features: u64 = 0,
    config_vector: u16 = no_vector,
    status: u8 = 0,
    queue_select: u16 = 0,
    queue: QueueForm = .{},
    isr: u8 = 0,
};

pub const Transport = struct {
    function: Function,
    offered: u64,
    config: []const u8,
    form: Form = .{},
    generation: u32 = 0,
    /// The thread has a copy of the form.
    held: bool = false,
    /// The driver has asked for a reset that the thread holds up.
    resetting: bool = false,

    pub fn init(device: *const Device) Transport {
        const common = structure(1, at_common, common_bytes);
        const isr = structure(3, at_isr, 1);
        const config = structure(4, at_config, @intCast(device.config.len));
        return .{
            .function = .init(&.{
                .vendor = vendor,
                .device = device_base + device.kind,
                .class = device.class,
                .revision = revision,
                .subsystem_vendor = vendor,
                .subsystem = device_base + device.kind,
                .bars = .{ .{ .bytes = bar_bytes }, .{}, .{}, .{}, .{}, .{} },
                .msix = .{ .vectors = vectors, .bar = 0, .table = at_msix, .pending = at_pending },
                .line = true,
                .capabilities = &.{
                    .{ .id = capability_id, .body = &common },
                    .{ .id = capability_id, .body = &notify_body },
                    .{ .id = capability_id, .body = &isr },
                    .{ .id = capability_id, .body = &config },
                    .{ .id = capability_id, .body = &window_body, .writable = &window_writable },
                },
            }, &operations),
            .offered = device.features | features_own,
            .config = device.config,
        };
    }

    /// Device thread: what it shall do, or null when there is nothing. Whatever it had before it
    /// has given up.
    pub fn take(self: *Transport) ?Work {
        self.held = false;
        if (self.resetting) self.clear();
        const form = &self.form;
        const running = form.status & status_driver_ok != 0 and
            form.status & status_needs_reset == 0;
        if (!running or !form.queue.enabled or !self.function.isBusMaster()) return null;
        self.held = true;
        return .{
            .layout = form.queue.layout(),
            .features = form.features,
            .generation = self.generation,
        };
    }

    /// Device thread: requests were given back. `generation` is that of the work they were part of.
    pub fn interrupt(self: *Transport, generation: u32, effects: *Effects) void {
        if (generation != self.generation or self.resetting) return;
        self.tell(isr_queue, self.form.queue.vector, effects);
    }

    /// The driver broke the rules: only its reset helps (2.1.2).
    pub fn fail(self: *Transport, effects: *Effects) void {
        if (self.form.status & status_needs_reset != 0) return;
        self.form.status |= status_needs_reset;
        if (self.form.status & status_driver_ok == 0) return;
        self.tell(isr_config, self.form.config_vector, effects);
    }

    fn tell(self: *Transport, cause: u8, vector: u16, effects: *Effects) void {
        if (self.function.usesMessages()) {
            if (vector != no_vector) self.function.raise(vector, effects);
            return;
        }
        self.form.isr |= cause;
        self.function.setLine(true);
    }

    fn reset(self: *Transport, effects: *Effects) void {
        if (!self.held) return self.clear();
        self.resetting = true;
        self.function.wake(effects);
    }

    fn clear(self: *Transport) void {
        assert(!self.held);
        self.resetting = false;
        self.generation +%= 1;
        self.form = .{};
        self.function.setLine(false);
    }

    fn commonRead(self: *const Transport) [common_bytes]u8 {
        const form = &self.form;
        const queue: QueueForm = if (form.queue_select == 0) form.queue else .{ .size = 0 };
        var out: [common_bytes]u8 = @splat(0);
        put(u32, &out, 0, form.device_feature_select);
        put(u32, &out, 4, half(self.offered, form.device_feature_select));
        put(u32, &out, 8, form.driver_feature_select);
        put(u32, &out, 12, half(form.features, form.driver_feature_select));
        put(u16, &out, 16, form.config_vector);
        put(u16, &out, 18, 1); // num_queues
        out[20] = form.status;
        put(u16, &out, 22, form.queue_select);
        put(u16, &out, 24, queue.size);
        put(u16, &out, 26, queue.vector);
        put(u16, &out, 28, @intFromBool(queue.enabled));
        put(u64, &out, 32, queue.descriptors);
        put(u64, &out, 40, queue.driver);
        put(u64, &out, 48, queue.device);
        return out;
    }

    /// 4.1.3.1: each field by an access of its own width, those of 64 bits also in halves. Nothing
    /// else changes anything.
    fn commonWrite(self: *Transport, offset: u64, data: []const u8, effects: *Effects) void {
        const form = &self.form;
        if (offset == 20 and data.len == 1) return self.setStatus(data[0], effects);
        if (self.resetting) return;
        const value = valueOf(data);
        switch (data.len) {
            2 => switch (offset) {
                16 => form.config_vector = vectorOf(value),
                22 => form.queue_select = @truncate(value),
                24, 26, 28 => self.queueWrite(offset, @truncate(value), effects),
                else => {},
            },
            4, 8 => switch (offset) {
                0 => if (data.len == 4) {
                    form.device_feature_select = @truncate(value);
                },
                8 => if (data.len == 4) {
                    form.driver_feature_select = @truncate(value);
                },
                12 => if (data.len == 4) self.acceptFeatures(@truncate(value)),
                32...55 => self.address(offset, data),
                else => {},
            },
            else => {},
        }
    }

    fn acceptFeatures(self: *Transport, value: u32) void {
        const form = &self.form;
        if (form.status & status_features_ok != 0) return;
        switch (form.driver_feature_select) {
            0 => form.features = (form.features & ~@as(u64, 0xffff_ffff)) | value,
            1 => form.features = (form.features & 0xffff_ffff) | @as(u64, value) << 32,
            else => {},
        }
    }

    fn queueWrite(self: *Transport, offset: u64, value: u16, effects: *Effects) void {
        const queue = &self.form.queue;
        if (self.form.queue_select != 0) return;
        switch (offset) {
            24 => if (!queue.enabled) {
                queue.size = value;
            },
            26 => queue.vector = vectorOf(value),
            28 => {
                if (value != 1 or queue.enabled) return;
                if (!queue.layout().valid()) return self.fail(effects);
                queue.enabled = true;
                self.function.wake(effects);
            },
            else => unreachable,
        }
    }

    fn address(self: *Transport, offset: u64, data: []const u8) void {
        const queue = &self.form.queue;
        const start = offset % 8;
        if (self.form.queue_select != 0 or queue.enabled) return;
        if (start % 4 != 0 or start + data.len > 8) return;
        const field = switch (offset / 8) {
            4 => &queue.descriptors,
            5 => &queue.driver,
            else => &queue.device,
        };
        var bytes: [8]u8 = @bitCast(std.mem.nativeToLittle(u64, field.*));
        @memcpy(bytes[@intCast(start)..][0..data.len], data);
        field.* = std.mem.readInt(u64, &bytes, .little);
    }

    /// 3.1.1 and 2.1: bits are only added, features are judged once, 0 resets.
    fn setStatus(self: *Transport, value: u8, effects: *Effects) void {
        const form = &self.form;
        if (value == 0) return self.reset(effects);
        if (self.resetting) return;
        const before = form.status;
        var status = value | before;
        const refused = form.features & ~self.offered != 0 or
            form.features & feature_version_1 == 0;
        if (before & status_features_ok == 0 and refused) status &= ~@as(u8, status_features_ok);
        if (status & status_features_ok == 0) status &= ~@as(u8, status_driver_ok);
        form.status = status;
        if (status & ~before & status_driver_ok != 0) self.function.wake(effects);
    }

    fn barRead(self: *Transport, offset: u64, data: []u8) void {
        @memset(data, 0);
        switch (offset) {
            at_common...at_common + common_bytes - 1 => {
                const all = self.commonRead();
                copyFrom(&all, offset - at_common, data);
            },
            at_isr => {
                data[0] = self.form.isr;
                self.form.isr = 0;
                self.function.setLine(false);
            },
            at_config...at_notify - 1 => copyFrom(self.config, offset - at_config, data),
            else => {},
        }
    }

    fn barWrite(self: *Transport, offset: u64, data: []const u8, effects: *Effects) void {
        switch (offset) {
            at_common...at_common + common_bytes - 1 => {
                self.commonWrite(offset - at_common, data, effects);
            },
            at_notify...at_notify + notify_multiplier - 1 => self.function.wake(effects),
            else => {},
        }
    }

    /// 4.1.4.9: bar, offset and length in the capability say what its data stands for.
    fn windowTarget(self: *const Transport) ?struct { offset: u64, length: usize } {
        const at: usize = self.function.own_at[window];
        const space = &self.function.space;
        const offset = space.get(u32, at + 8);
        const length = space.get(u32, at + 12);
        const sane = space.values[at + 4] == 0 and (length == 1 or length == 2 or length == 4) and
            offset % length == 0 and offset < bar_bytes;
        return if (sane) .{ .offset = offset, .length = length } else null;
    }
};

const operations: function_room.Operations = .{
    .read = read,
    .write = write,
    .reset = reset,
    .capability_read = windowRead,
    .capability_written = windowWritten,
};

fn of(function: *Function) *Transport {
    return @fieldParentPtr("function", function);
}

fn read(function: *Function, bar: u3, offset: u64, data: []u8, _: *Effects) void {
    assert(bar == 0);
    of(function).barRead(offset, data);
}

fn write(function: *Function, bar: u3, offset: u64, data: []const u8, effects: *Effects) void {
    assert(bar == 0);
    of(function).barWrite(offset, data, effects);
}

fn reset(function: *Function, effects: *Effects) void {
    of(function).reset(effects);
}

fn windowRead(function: *Function, number: usize, at: u8, bytes: u8, effects: *Effects) void {
    const touches = at < window_data + 4 and at + bytes > window_data;
    if (number != window or !touches) return;
    const target = of(function).windowTarget() orelse return;
    const place = function.own_at[window] + window_data;
    const data = function.space.values[place..][0..target.length];
    function.access(0, target.offset, false, data, effects);
}

fn windowWritten(function: *Function, number: usize, at: u8, bytes: u8, effects: *Effects) void {
    const touches = at < window_data + 4 and at + bytes > window_data;
    if (number != window or !touches) return;
    const target = of(function).windowTarget() orelse return;
    const place = function.own_at[window] + window_data;
    var data: [4]u8 = undefined;
    @memcpy(data[0..target.length], function.space.values[place..][0..target.length]);
    function.access(0, target.offset, true, data[0..target.length], effects);
}

/// 4.1.4, behind id and link: length, kind, BAR, number, two bytes of nothing, offset, bytes.
fn structure(kind: u8, offset: u32, bytes: u32) [14]u8 {
    var out: [14]u8 = @splat(0);
    out[0] = 16;
    out[1] = kind;
    put(u32, &out, 6, offset);
    put(u32, &out, 10, bytes);
    return out;
}

/// The same with four bytes of its own behind it.
fn longer(kind: u8, offset: u32, bytes: u32, own: u32) [18]u8 {
    var out: [18]u8 = undefined;
    out[0..14].* = structure(kind, offset, bytes);
    out[0] = 20;
    put(u32, &out, 14, own);
    return out;
}

const notify_body = longer(2, at_notify, notify_multiplier, notify_multiplier);
const window_body = longer(5, 0, 0, 0);
/// The BAR, then offset, length and data.
const window_writable = [_]u8{ 0, 0, 0xff, 0, 0, 0 } ++ @as([12]u8, @splat(0xff));

fn half(features: u64, select: u32) u32 {
    return switch (select) {
        0 => @truncate(features),
        1 => @truncate(features >> 32),
        else => 0,
    };
}

fn vectorOf(value: u64) u16 {
    return if (value < vectors) @intCast(value) else no_vector;
}

fn put(comptime T: type, out: []u8, at: usize, value: T) void {
    std.mem.writeInt(T, out[at..][0..@sizeOf(T)], value, .little);
}

fn valueOf(data: []const u8) u64 {
    var bytes: [8]u8 = @splat(0);
    @memcpy(bytes[0..data.len], data);
    return std.mem.readInt(u64, &bytes, .little);
}

/// What lies at `offset` of `all`; nothing is behind its end.
fn copyFrom(all: []const u8, offset: u64, data: []u8) void {
    if (offset >= all.len) return;
    const length = @min(data.len, all.len - offset);
    @memcpy(data[0..length], all[@intCast(offset)..][0..length]);
}
