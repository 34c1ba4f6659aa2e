//! Requests of a block device (virtio 1.2, chapter 5.2): what a chain of descriptors asks for, with
//! everything in it checked, and the device's configuration. Pure: whoever executes the request
//! (vm/disk.zig) has an image and time.

const std = @import("std");
const queue = @import("queue.zig");
const Segment = queue.Segment;
const assert = std.debug.assert;

pub const kind = 2;
/// Mass storage, of no older kind.
pub const class = 0x01_80_00;
pub const sector_bytes = 512;
/// Segments of one request: with the head and the status byte they fill a queue.
pub const segments_max = queue.size_max - 2;
pub const id_bytes = 20;
pub const config_bytes = 60;

pub const feature_segments: u64 = 1 << 2;
pub const feature_read_only: u64 = 1 << 5;
pub const feature_block_size: u64 = 1 << 6;
pub const feature_flush: u64 = 1 << 9;
pub const feature_discard: u64 = 1 << 13;
pub const feature_zero: u64 = 1 << 14;

/// Sectors that one request may discard or zero: 64 MiB, so that none takes for ever.
const erase_sectors_max = 64 << 11;

pub fn features(read_only: bool) u64 {
    const always = feature_segments | feature_block_size | feature_flush;
    return always | if (read_only) feature_read_only else feature_discard | feature_zero;
}

/// 5.2.4, as far as the features say that it means something.
pub fn config(sectors: u64) [config_bytes]u8 {
    var out: [config_bytes]u8 = @splat(0);
    std.mem.writeInt(u64, out[0..8], sectors, .little);
    std.mem.writeInt(u32, out[12..16], segments_max, .little);
    std.mem.writeInt(u32, out[20..24], sector_bytes, .little);
    // Discard and then write-zeroes: sectors, and ranges, of one request; a zeroed range may
    // become a hole.
    for ([_]usize{ 36, 48 }) |at| {
        std.mem.writeInt(u32, out[at..][0..4], erase_sectors_max, .little);
        std.mem.writeInt(u32, out[at + 4 ..][0..4], 1, .little);
    }
    std.mem.writeInt(u32, out[44..48], 1, .little);
    out[56] = 1;
    return out;
}

pub const Status = enum(u8) { ok = 0, failed = 1, unsupported = 2 };

pub const Operation = enum { read, write, flush, identify, discard, zero };

pub const Request = struct {
    operation: Operation,
    /// First byte of the image.
    offset: u64 = 0,
    /// Bytes of it: into `data` for a read, out of it for a write.
    bytes: u64 = 0,
    data: Part = .{},
};

/// What is to be done with a chain, and where its status byte is.
pub const Parsed = struct {
    status_gpa: u64,
    /// Bytes the device may write, status included: what the used ring tells.
    writable: u32,
    request: union(enum) { refused: Status, accepted: Request },
};

/// A run of bytes within segments.
pub const Part = struct {
    segments: []const Segment = &.{},
    /// Of the first segment, already gone.
    skip: u64 = 0,
    left: u64 = 0,

    pub fn of(segments: []const Segment) Part {
        var left: u64 = 0;
        for (segments) |segment| left += segment.length;
        return .{ .segments = segments, .left = left };
    }

    /// The next piece that lies in one segment, of up to `most` bytes; null at the end.
    pub fn next(self: *Part, most: u64) ?Segment {
        if (self.left == 0 or most == 0) return null;
        const first = &self.segments[0];
        const length = @min(most, self.left, first.length - self.skip);
        const piece: Segment = .{
            // Past the end of all addresses there is no RAM: whoever uses it hears so.
            .gpa = first.gpa +% self.skip,
            .length = @intCast(length),
        };
        self.left -= length;
        self.skip += length;
        if (self.skip == first.length) {
            self.segments = self.segments[1..];
            self.skip = 0;
        }
        return piece;
    }
};

/// Reads the head of a request and judges it. An error when there is no place for its status.
pub fn parse(
    memory: anytype,
    chain: *const queue.Chain,
    sectors: u64,
    read_only: bool,
) queue.Error!Parsed {
    const head_bytes = 16;
    var writable: Part = .of(chain.writable());
    var readable: Part = .of(chain.readable());
    if (writable.left == 0) return error.Broken;
    const total = writable.left;
    writable.left -= 1;
    var parsed: Parsed = .{
        .status_gpa = try lastByte(chain.writable()),
        .writable = @intCast(total),
        .request = .{ .refused = .failed },
    };
    var head: [head_bytes]u8 = undefined;
    if (readable.left < head_bytes) return parsed;
    gather(memory, &readable, &head) catch return parsed;
    const wanted = std.mem.readInt(u32, head[0..4], .little);
    const sector = std.mem.readInt(u64, head[8..16], .little);
    parsed.request = switch (wanted) {
        0 => transfer(.read, sector, writable, sectors),
        1 => if (read_only)
            .{ .refused = .failed }
        else
            transfer(.write, sector, readable, sectors),
        4 => .{ .accepted = .{ .operation = .flush } },
        8 => if (writable.left < id_bytes) .{ .refused = .failed } else .{ .accepted = .{
            .operation = .identify,
            .bytes = id_bytes,
            .data = writable,
        } },
        11 => erase(memory, .discard, readable, sectors, read_only),
        13 => erase(memory, .zero, readable, sectors, read_only),
        else => .{ .refused = .unsupported },
    };
    return parsed;
}

/// 5.2.6: one range, as the configuration says. Unmapping is the only flag, of zeroing alone.
fn erase(
    memory: anytype,
    operation: Operation,
    data: Part,
    sectors: u64,
    read_only: bool,
) @FieldType(Parsed, "request") {
    var range: [16]u8 = undefined;
    var left = data;
    if (read_only or data.left != range.len) return .{ .refused = .failed };
    gather(memory, &left, &range) catch return .{ .refused = .failed };
    const sector = std.mem.readInt(u64, range[0..8], .little);
    const count = std.mem.readInt(u32, range[8..12], .little);
    const flags = std.mem.readInt(u32, range[12..16], .little);
    if (flags > @intFromBool(operation == .zero)) return .{ .refused = .unsupported };
    if (count > erase_sectors_max) return .{ .refused = .failed };
    if (sector > sectors or count > sectors - sector) return .{ .refused = .failed };
    return .{ .accepted = .{
        .operation = operation,
        .offset = sector * sector_bytes,
        .bytes = @as(u64, count) * sector_bytes,
    } };
}

fn transfer(
    operation: Operation,
    sector: u64,
    data: Part,
    sectors: u64,
) @FieldType(Parsed, "request") {
    const count = data.left / sector_bytes;
    if (data.left % sector_bytes != 0) return .{ .refused = .failed };
    if (sector > sectors or count > sectors - sector) return .{ .refused = .failed };
    return .{ .accepted = .{
        .operation = operation,
        .offset = sector * sector_bytes,
        .bytes = data.left,
        .data = data,
    } };
}

fn lastByte(segments: []const Segment) error{BadAddress}!u64 {
    const last = &segments[segments.len - 1];
    assert(last.length > 0);
    return std.math.add(u64, last.gpa, last.length - 1) catch error.BadAddress;
}

/// Fills `out` from the part. BadAddress when a piece is not in RAM.
pub fn gather(memory: anytype, part: *Part, out: []u8) error{BadAddress}!void {
    var done: usize = 0;
    while (done < out.len) {
        const piece = part.next(out.len - done) orelse return error.BadAddress;
        try memory.read(piece.gpa, out[done..][0..piece.length]);
        done += piece.length;
    }
}

/// Stores `bytes` to the part.
pub fn scatter(memory: anytype, part: *Part, bytes: []const u8) error{BadAddress}!void {
    var done: usize = 0;
    while (done < bytes.len) {
        const piece = part.next(bytes.len - done) orelse return error.BadAddress;
        try memory.write(piece.gpa, bytes[done..][0..piece.length]);
        done += piece.length;
    }
}
