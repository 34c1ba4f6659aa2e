//! The clear head of every datagram, both planes, 32 bytes big-endian (docs/wire.cddl). Key epoch
//! and tag length leave room for encryption: what follows becomes AEAD ciphertext, the head its
//! associated data. A stranger's or an old epoch's datagram is told by it before anything is
//! parsed.

const std = @import("std");
const assert = std.debug.assert;

pub const bytes = 32;
pub const magic: u16 = 0x4756;
pub const version: u8 = 1;

pub const Plane = enum(u8) { control = 0, data = 1 };

pub const Header = struct {
    plane: Plane,
    key_epoch: u32 = 0,
    vm_id: u64,
    /// Bumped at reset and restore.
    epoch: u32,
    source: u8,
    destination: u8,
    tag_length: u8 = 0,
    packet: u64,

    pub fn write(self: *const Header, out: []u8) void {
        assert(out.len >= bytes);
        std.mem.writeInt(u16, out[0..2], magic, .big);
        out[2] = version;
        out[3] = @intFromEnum(self.plane);
        std.mem.writeInt(u32, out[4..8], self.key_epoch, .big);
        std.mem.writeInt(u64, out[8..16], self.vm_id, .big);
        std.mem.writeInt(u32, out[16..20], self.epoch, .big);
        out[20] = self.source;
        out[21] = self.destination;
        out[22] = self.tag_length;
        out[23] = 0;
        std.mem.writeInt(u64, out[24..32], self.packet, .big);
    }

    pub fn read(datagram: []const u8) error{Malformed}!Header {
        if (datagram.len < bytes) return error.Malformed;
        if (std.mem.readInt(u16, datagram[0..2], .big) != magic) return error.Malformed;
        if (datagram[2] != version or datagram[23] != 0) return error.Malformed;
        return .{
            .plane = std.enums.fromInt(Plane, datagram[3]) orelse return error.Malformed,
            .key_epoch = std.mem.readInt(u32, datagram[4..8], .big),
            .vm_id = std.mem.readInt(u64, datagram[8..16], .big),
            .epoch = std.mem.readInt(u32, datagram[16..20], .big),
            .source = datagram[20],
            .destination = datagram[21],
            .tag_length = datagram[22],
            .packet = std.mem.readInt(u64, datagram[24..32], .big),
        };
    }
};

test "a header comes back as it was" {
    const header: Header = .{
        .plane = .data,
        .vm_id = 0x1122334455667788,
        .epoch = 7,
        .source = 1,
        .destination = 2,
        .packet = 1 << 40,
    };
    var buffer: [bytes]u8 = undefined;
    header.write(&buffer);
    try std.testing.expectEqual(header, try Header.read(&buffer));
    buffer[2] = 2;
    try std.testing.expectError(error.Malformed, Header.read(&buffer));
}
