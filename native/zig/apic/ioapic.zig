//! I/O APIC 82093AA with 24 pins: turns device lines into interrupt requests. Edge pins fire on a
//! rise; level pins fire while the line is high and wait for an EOI in between (remote IRR).

const std = @import("std");
const map = @import("../devices/map.zig");
const destination = @import("destination.zig");
const Request = destination.Request;

const pins = map.io_apic_pins;
const version = 0x20;
const masked = 1 << 16;
const level_triggered = 1 << 15;
const remote_irr = 1 << 14;
const delivery_status = 1 << 12;
const logical = 1 << 11;

pub const IoApic = struct {
    select: u8 = 0,
    id: u32 = 0,
    entries: [pins]u64 = @splat(masked),
    lines: u32 = 0,

    /// Requests one access may cause: each pin once.
    pub const Requests = struct {
        items: [pins]Request = undefined,
        /// Whose they are.
        from: [pins]u8 = undefined,
        count: usize = 0,

        fn add(self: *Requests, pin: u8, request: Request) void {
            self.items[self.count] = request;
            self.from[self.count] = pin;
            self.count += 1;
        }

        pub fn slice(self: *const Requests) []const Request {
            return self.items[0..self.count];
        }
    };

    pub fn read(self: *const IoApic, offset: u64) u32 {
        return switch (offset) {
            0x00 => self.select,
            0x10 => switch (self.select) {
                0, 2 => self.id << 24,
                1 => version | (pins - 1) << 16,
                0x10...0x10 + 2 * pins - 1 => |register| {
                    const entry = self.entries[(register - 0x10) / 2];
                    return @truncate(if (register & 1 == 0) entry else entry >> 32);
                },
                else => 0,
            },
            else => 0,
        };
    }

    pub fn write(self: *IoApic, offset: u64, value: u32, out: *Requests) void {
        switch (offset) {
            0x00 => self.select = @truncate(value),
            0x10 => switch (self.select) {
                0 => self.id = value >> 24 & 0xf,
                0x10...0x10 + 2 * pins - 1 => |register| self.redirect(register - 0x10, value, out),
                else => {},
            },
            // EOI register of version 0x20.
            0x40 => self.eoi(@truncate(value), out),
            else => {},
        }
    }

    fn redirect(self: *IoApic, register: u8, value: u32, out: *Requests) void {
        const pin = register / 2;
        const entry = &self.entries[pin];
        if (register & 1 == 1) {
            entry.* = (entry.* & 0xffff_ffff) | @as(u64, value) << 32;
            return self.service(pin, out);
        }
        const read_only: u64 = remote_irr | delivery_status;
        entry.* = (entry.* & (0xffff_ffff_0000_0000 | read_only)) | (value & ~read_only);
        // An edge pin has no interrupt in service that an EOI could end.
        if (!isLevel(entry.*)) entry.* &= ~@as(u64, remote_irr);
        self.service(pin, out);
    }

    /// A device changes its line.
    pub fn line(self: *IoApic, pin: u8, level: bool, out: *Requests) void {
        const bit = @as(u32, 1) << @intCast(pin);
        const rises = level and self.lines & bit == 0;
        if (level) self.lines |= bit else self.lines &= ~bit;
        const entry = self.entries[pin];
        if (isLevel(entry)) return self.service(pin, out);
        if (rises and entry & masked == 0) out.add(pin, requestOf(entry));
    }

    /// Fires a level pin whose line is high and which waits for no EOI.
    fn service(self: *IoApic, pin: u8, out: *Requests) void {
        const entry = &self.entries[pin];
        const high = self.lines & (@as(u32, 1) << @intCast(pin)) != 0;
        if (!high or !isLevel(entry.*)) return;
        if (entry.* & (masked | remote_irr) != 0) return;
        entry.* |= remote_irr;
        out.add(pin, requestOf(entry.*));
    }

    /// Whether nothing that happens on the pin is seen.
    pub fn isMasked(self: *const IoApic, pin: u8) bool {
        return self.entries[pin] & masked != 0;
    }

    /// No local APIC accepts what a level pin has asked for: no EOI will come, and it asks again
    /// when anything of it changes (remote IRR says that one has accepted: 82093AA, 3.2.4). At once
    /// if its entry is another by now.
    pub fn unaccepted(self: *IoApic, pin: u8, asked: *const Request, out: *Requests) void {
        const entry = &self.entries[pin];
        entry.* &= ~@as(u64, remote_irr);
        if (!std.meta.eql(requestOf(entry.*), asked.*)) self.service(pin, out);
    }

    /// A local APIC ended this vector.
    pub fn eoi(self: *IoApic, vector: u8, out: *Requests) void {
        for (&self.entries, 0..) |*entry, pin| {
            if (@as(u8, @truncate(entry.*)) != vector) continue;
            if (!isLevel(entry.*) or entry.* & remote_irr == 0) continue;
            entry.* &= ~@as(u64, remote_irr);
            self.service(@intCast(pin), out);
        }
    }
};

fn modeOf(entry: u64) destination.Mode {
    return std.enums.fromInt(destination.Mode, @as(u8, @truncate(entry >> 8 & 7))) orelse .fixed;
}

/// The other delivery modes are edges whatever the entry says (82093AA, 3.2.4, delivery mode).
fn isLevel(entry: u64) bool {
    const mode = modeOf(entry);
    return entry & level_triggered != 0 and (mode == .fixed or mode == .lowest);
}

fn requestOf(entry: u64) Request {
    return .{
        .mode = modeOf(entry),
        .vector = @truncate(entry),
        .level = isLevel(entry),
        .logical = entry & logical != 0,
        .destination = @truncate(entry >> 56),
        .narrow = true,
    };
}

const testing = std.testing;

fn program(apic: *IoApic, pin: u8, entry: u64) IoApic.Requests {
    var out: IoApic.Requests = .{};
    apic.write(0, 0x11 + 2 * @as(u32, pin), &out);
    apic.write(0x10, @truncate(entry >> 32), &out);
    apic.write(0, 0x10 + 2 * @as(u32, pin), &out);
    apic.write(0x10, @truncate(entry), &out);
    return out;
}

test "an edge pin fires once a rise, a masked one never" {
    var apic: IoApic = .{};
    _ = program(&apic, 4, 0x0200_0000_0000_0034);
    var out: IoApic.Requests = .{};
    apic.line(4, true, &out);
    apic.line(4, true, &out);
    try testing.expectEqual(1, out.count);
    try testing.expectEqual(0x34, out.items[0].vector);
    try testing.expectEqual(2, out.items[0].destination);
    apic.line(4, false, &out);
    _ = program(&apic, 4, 0x34 | masked);
    apic.line(4, true, &out);
    try testing.expectEqual(1, out.count);
}

test "a level pin waits for its EOI and fires again while the line is high" {
    var apic: IoApic = .{};
    _ = program(&apic, 9, 0x59 | level_triggered);
    var out: IoApic.Requests = .{};
    apic.line(9, true, &out);
    apic.line(9, true, &out);
    try testing.expectEqual(1, out.count);
    apic.eoi(0x59, &out);
    try testing.expectEqual(2, out.count);
    apic.line(9, false, &out);
    apic.eoi(0x59, &out);
    try testing.expectEqual(2, out.count);
    try testing.expectEqual(0, apic.entries[9] & remote_irr);
}

test "a level pin that nobody listens to asks again when it is told whom to ask" {
    var apic: IoApic = .{};
    _ = program(&apic, 9, 0x0700_0000_0000_0059 | level_triggered);
    var out: IoApic.Requests = .{};
    apic.line(9, true, &out);
    try testing.expectEqual(1, out.count);
    var none: IoApic.Requests = .{};
    apic.unaccepted(9, &out.items[0], &none);
    try testing.expectEqual(0, none.count);
    try testing.expectEqual(0, apic.entries[9] & remote_irr);
    const again = program(&apic, 9, 0x0100_0000_0000_0059 | level_triggered);
    try testing.expectEqual(1, again.count);
    try testing.expectEqual(1, again.items[0].destination);
    // That nobody took the first is known only now.
    apic.unaccepted(9, &out.items[0], &none);
    try testing.expectEqual(1, none.count);
    try testing.expectEqual(1, none.items[0].destination);
    try testing.expect(apic.entries[9] & remote_irr != 0);
}

test "an NMI is an edge whatever its entry says" {
    var apic: IoApic = .{};
    _ = program(&apic, 9, 0x400 | level_triggered);
    var out: IoApic.Requests = .{};
    for ([_]bool{ true, false, true }) |level| apic.line(9, level, &out);
    try testing.expectEqual(2, out.count);
    try testing.expect(!out.items[0].level);
    try testing.expectEqual(0, apic.entries[9] & remote_irr);
}

test "version and pins as Linux reads them" {
    var apic: IoApic = .{};
    var out: IoApic.Requests = .{};
    apic.write(0, 1, &out);
    try testing.expectEqual(0x17_0020, apic.read(0x10));
}
