//! What a device says of itself as a PCI function, and the configuration space that follows from it
//! (PCI Local Bus 3.0, chapter 6).

const std = @import("std");
const config = @import("config.zig");
const msix = @import("msix.zig");
const Space = config.Space;
const assert = std.debug.assert;

pub const bars_max = 6;
pub const own_capabilities_max = 8;
const express_id = 0x10;

/// A memory range of the function. `bytes`: a power of two from 16 on, 0 for none. A wide one has
/// 64 address bits and takes the next place too.
pub const Bar = struct { bytes: u64 = 0, wide: bool = false, prefetchable: bool = false };

/// A capability of the device's own: `body` follows id and link, `writable` says which of its bits
/// the guest may change, from its start.
pub const Capability = struct { id: u8, body: []const u8, writable: []const u8 = &.{} };

pub const Description = struct {
    vendor: u16,
    device: u16,
    /// Base class, sub-class and programming interface, from the highest byte down.
    class: u24,
    revision: u8 = 0,
    subsystem_vendor: u16 = 0,
    subsystem: u16 = 0,
    bars: [bars_max]Bar = @splat(.{}),
    msix: ?msix.Place = null,
    /// Whether it can interrupt by INTA# where MSI-X is off.
    line: bool = false,
    /// A PCI Express capability, as an endpoint integrated in the root complex that can be reset.
    express: bool = true,
    capabilities: []const Capability = &.{},
};

/// Identity, class and interrupt pin.
pub fn header(d: *const Description) Space {
    var space: Space = .init();
    space.set(u16, 0x00, d.vendor);
    space.set(u16, 0x02, d.device);
    space.set(u32, 0x08, @as(u32, d.class) << 8 | d.revision);
    space.set(u16, 0x2c, d.subsystem_vendor);
    space.set(u16, 0x2e, d.subsystem);
    space.values[config.interrupt_pin] = @intFromBool(d.line);
    for (0..bars_max) |i| addBar(&space, &d.bars, i);
    return space;
}

fn addBar(space: *Space, bars: *const [bars_max]Bar, i: usize) void {
    const bar = &bars[i];
    if (bar.bytes == 0) return;
    assert(std.math.isPowerOfTwo(bar.bytes) and bar.bytes >= 16);
    assert(bar.wide or bar.bytes <= 1 << 31);
    const at = config.first_bar + 4 * i;
    const kind: u32 = if (bar.wide) 4 else 0;
    space.set(u32, at, kind | @as(u32, if (bar.prefetchable) 8 else 0));
    // What the guest cannot change says how large the range is.
    const address_bits = ~(bar.bytes - 1);
    space.allow(u32, at, @truncate(address_bits));
    if (!bar.wide) return;
    assert(i + 1 < bars_max and bars[i + 1].bytes == 0);
    space.allow(u32, at + 4, @truncate(address_bits >> 32));
}

/// Returns the capability's offset. Its control word may be written: enabled, masked as a whole.
pub fn addMsix(space: *Space, place: *const msix.Place, bars: *const [bars_max]Bar) u8 {
    const end = @max(
        place.table + place.vectors * msix.entry_bytes,
        place.pending + msix.pending_bytes,
    );
    assert(end <= bars[place.bar].bytes);
    const control = [_]u8{ 0, (msix.enable | msix.mask_all) >> 8 };
    return space.addCapability(msix.id, &msix.capability(place), &control);
}

/// PCI Express 5.0, 7.5.3: version 2, no link to describe. Returns the capability's offset.
pub fn addExpress(space: *Space) u8 {
    var body: [0x3a]u8 = @splat(0);
    const integrated_endpoint = 9;
    std.mem.writeInt(u16, body[0..2], integrated_endpoint << 4 | 2, .little);
    const role_based_errors = 1 << 15;
    const can_reset = 1 << 28;
    std.mem.writeInt(u32, body[2..6], role_based_errors | can_reset, .little);
    var writable: [8]u8 = @splat(0);
    // Of device control: errors, ordering, payload, no snoop, request size, reset.
    std.mem.writeInt(u16, writable[6..8], 0xf8ff, .little);
    return space.addCapability(express_id, &body, &writable);
}
