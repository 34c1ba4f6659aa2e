//! The driver of a disk for tests: the test's own thread, in guest memory and at the registers. The
//! machine under it is real.

const std = @import("std");
const abi = @import("../abi.zig");
const block = @import("../devices/virtio/block.zig");
const disk = @import("disk.zig");
const linux = @import("../sys/linux.zig");
const map = @import("../devices/map.zig");
const rig_room = @import("rig.zig");
const Rig = rig_room.Rig;
const os = linux.os;
const testing = std.testing;

pub const sectors = 64;
const entries = 8;
pub const descriptors: usize = 0x10000;
const available: usize = 0x11000;
const used: usize = 0x12000;
pub const head_at = 0x13000;
pub const data_at = 0x14000;
pub const status_at = 0x1b000;
pub const none: u8 = 0xee;

const Direction = enum(u16) { device_reads = 0, device_writes = 2 };

pub const Driver = struct {
    rig: *Rig,
    index: u16 = 0,

    fn access(self: Driver, address: u64, write: bool, data: []u8) void {
        self.rig.machine().bus.access(self.rig.vcpu(0), .{
            .space = .mmio,
            .write = write,
            .address = address,
            .size = @intCast(data.len),
            .count = 1,
        }, data);
    }

    fn set(self: Driver, comptime T: type, offset: u64, value: T) void {
        var data = std.mem.toBytes(value);
        self.access(map.pci_window_gpa + offset, true, &data);
    }

    pub fn status(self: Driver) u8 {
        var data: [1]u8 = undefined;
        self.access(map.pci_window_gpa + 20, false, &data);
        return data[0];
    }

    /// Memory and bus master on, then what 3.1.1 of the specification asks for.
    pub fn start(self: *Driver, features: u32) !void {
        var command = std.mem.toBytes(@as(u16, 6));
        self.access(map.ecam_gpa + (@as(u64, disk.first_place) << 15) + 4, true, &command);
        self.set(u8, 20, 0);
        try rig_room.await(self, isReset);
        for ([_]usize{ available, used }) |ring| @memset(self.rig.memory()[ring..][0..256], 0);
        self.index = 0;
        self.set(u32, 8, 0);
        self.set(u32, 12, features);
        self.set(u32, 8, 1);
        self.set(u32, 12, 1);
        self.set(u8, 20, 11);
        try testing.expectEqual(11, self.status());
        self.set(u16, 24, entries);
        self.set(u64, 32, descriptors);
        self.set(u64, 40, available);
        self.set(u64, 48, used);
        self.set(u16, 28, 1);
        self.set(u8, 20, 15);
    }

    pub fn isReset(self: *Driver) bool {
        return self.status() == 0;
    }

    /// Vector 1 of the device, for its queue: this message, to APIC id 0.
    pub fn message(self: *Driver, vector: u8) void {
        self.set(u32, 0x4010, 0xfee0_0000);
        self.set(u32, 0x4018, vector);
        self.set(u32, 0x401c, 0);
        const function = &self.rig.machine().disks[0].transport.function;
        const at = function.msix_at + 2;
        var control = std.mem.toBytes(@as(u16, 1 << 15));
        self.access(map.ecam_gpa + (@as(u64, disk.first_place) << 15) + at, true, &control);
        self.set(u16, 26, 1);
    }

    pub fn describe(self: *Driver, index: usize, gpa: u64, length: u32, flags: u16) void {
        const to = self.rig.memory()[descriptors + 16 * index ..][0..16];
        std.mem.writeInt(u64, to[0..8], gpa, .little);
        std.mem.writeInt(u32, to[8..12], length, .little);
        std.mem.writeInt(u16, to[12..14], flags, .little);
        std.mem.writeInt(u16, to[14..16], @intCast(index + 1), .little);
    }

    /// Chain 0 becomes available and the doorbell rings.
    pub fn offer(self: *Driver, kind: u32, sector: u64) void {
        const memory = self.rig.memory();
        std.mem.writeInt(u32, memory[head_at..][0..4], kind, .little);
        std.mem.writeInt(u64, memory[head_at + 8 ..][0..8], sector, .little);
        memory[status_at] = none;
        const slot = 2 * @as(usize, self.index % entries);
        std.mem.writeInt(u16, memory[available + 4 + slot ..][0..2], 0, .little);
        self.index +%= 1;
        @atomicStore(u16, self.word(available + 2), self.index, .release);
        self.set(u16, 0x3000, 0);
    }

    fn word(self: *Driver, at: usize) *u16 {
        return @ptrCast(@alignCast(&self.rig.memory()[at]));
    }

    pub fn isUsed(self: *Driver) bool {
        return @atomicLoad(u16, self.word(used + 2), .acquire) == self.index;
    }

    /// One request with this much data; its status.
    pub fn request(self: *Driver, kind: u32, sector: u64, length: u32, direction: Direction) !u8 {
        self.describe(0, head_at, 16, 1);
        self.describe(1, data_at, length, 1 | @intFromEnum(direction));
        self.describe(2, status_at, 1, 2);
        self.offer(kind, sector);
        try rig_room.await(self, isUsed);
        return self.rig.memory()[status_at];
    }
};

pub const features_all: u32 = @truncate(block.features(false) | 1 << 28);

pub fn memoryImage() i32 {
    const fd: i32 = @intCast(os.memfd_create("image", 0));
    _ = os.ftruncate(fd, sectors * 512);
    return fd;
}

/// A machine with this image whose vCPU halts.
pub fn open(fd: i32, read_only: bool) !Rig {
    var rig = try Rig.initWith(1, null, &.{.{
        .image = @bitCast(fd),
        .bytes = sectors * 512,
        .read_only = read_only,
    }});
    errdefer rig.deinit();
    rig.put(rig_room.start, &.{ 0xfa, 0xf4, 0xeb, 0xfd }); // cli; 0: hlt; jmp 0
    try rig.go();
    return rig;
}

pub fn counted(rig: *Rig, counter: abi.Counter) u64 {
    return rig.node.count.values[@intFromEnum(counter)].load(.monotonic);
}
