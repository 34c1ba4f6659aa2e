//! A disk of a real machine: this test is the driver, in guest memory and at the registers, and
//! where an interrupt is awaited a guest takes it. What is awaited are bytes and events.

const std = @import("std");
const abi = @import("../abi.zig");
const block = @import("../devices/virtio/block.zig");
const image = @import("../sys/image.zig");
const linux = @import("../sys/linux.zig");
const map = @import("../devices/map.zig");
const rig_room = @import("rig.zig");
const Disk = @import("disk.zig");
const Rig = rig_room.Rig;
const os = linux.os;
const testing = std.testing;

const sectors = 64;
const entries = 8;
const descriptors = 0x10000;
const available = 0x11000;
const used = 0x12000;
const head_at = 0x13000;
const data_at = 0x14000;
const status_at = 0x1b000;
const none: u8 = 0xee;

const Direction = enum(u16) { device_reads = 0, device_writes = 2 };

const Driver = struct {
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

    fn status(self: Driver) u8 {
        var data: [1]u8 = undefined;
        self.access(map.pci_window_gpa + 20, false, &data);
        return data[0];
    }

    /// Memory and bus master on, then what 3.1.1 of the specification asks for.
    fn start(self: *Driver, features: u32) !void {
        var command = std.mem.toBytes(@as(u16, 6));
        self.access(map.ecam_gpa + (@as(u64, Disk.first_place) << 15) + 4, true, &command);
        for ([_]usize{ available, used }) |ring| @memset(self.rig.memory()[ring..][0..256], 0);
        self.index = 0;
        self.set(u8, 20, 0);
        try rig_room.await(self, isReset);
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

    fn isReset(self: *Driver) bool {
        return self.status() == 0;
    }

    /// Vector 1 of the device, for its queue: this message, to APIC id 0.
    fn message(self: *Driver, vector: u8) void {
        self.set(u32, 0x4010, 0xfee0_0000);
        self.set(u32, 0x4018, vector);
        self.set(u32, 0x401c, 0);
        const function = &self.rig.machine().disks[0].transport.function;
        const at = function.msix_at + 2;
        var control = std.mem.toBytes(@as(u16, 1 << 15));
        self.access(map.ecam_gpa + (@as(u64, Disk.first_place) << 15) + at, true, &control);
        self.set(u16, 26, 1);
    }

    fn describe(self: *Driver, index: usize, gpa: u64, length: u32, flags: u16) void {
        const to = self.rig.memory()[descriptors + 16 * index ..][0..16];
        std.mem.writeInt(u64, to[0..8], gpa, .little);
        std.mem.writeInt(u32, to[8..12], length, .little);
        std.mem.writeInt(u16, to[12..14], flags, .little);
        std.mem.writeInt(u16, to[14..16], @intCast(index + 1), .little);
    }

    /// Chain 0 becomes available and the doorbell rings.
    fn offer(self: *Driver, kind: u32, sector: u64) void {
        const memory = self.rig.memory();
        std.mem.writeInt(u32, memory[head_at..][0..4], kind, .little);
        std.mem.writeInt(u64, memory[head_at + 8 ..][0..8], sector, .little);
        memory[status_at] = none;
        std.mem.writeInt(u16, memory[available + 4 + 2 * (self.index % entries) ..][0..2], 0, .little);
        self.index +%= 1;
        @atomicStore(u16, self.word(available + 2), self.index, .release);
        self.set(u16, 0x3000, 0);
    }

    fn word(self: *Driver, at: usize) *u16 {
        return @ptrCast(@alignCast(&self.rig.memory()[at]));
    }

    fn isUsed(self: *Driver) bool {
        return @atomicLoad(u16, self.word(used + 2), .acquire) == self.index;
    }

    /// One request with this much data; its status.
    fn request(self: *Driver, kind: u32, sector: u64, length: u32, direction: Direction) !u8 {
        self.describe(0, head_at, 16, 1);
        self.describe(1, data_at, length, 1 | @intFromEnum(direction));
        self.describe(2, status_at, 1, 2);
        self.offer(kind, sector);
        try rig_room.await(self, isUsed);
        return self.rig.memory()[status_at];
    }
};

const features_all: u32 = @truncate(block.features(false) | 1 << 28);

fn memoryImage() i32 {
    const fd: i32 = @intCast(os.memfd_create("image", 0));
    _ = os.ftruncate(fd, sectors * 512);
    return fd;
}

/// A machine with this image whose vCPU halts.
fn open(fd: i32, read_only: bool) !Rig {
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

fn counted(rig: *Rig, counter: abi.Counter) u64 {
    return rig.node.count.values[@intFromEnum(counter)].load(.monotonic);
}

test "what is written is in the image, and what is in the image is read" {
    const fd = memoryImage();
    defer _ = os.close(fd);
    var rig = try open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(features_all);
    const bytes = 4 * 4096;
    for (rig.memory()[data_at..][0..bytes], 0..) |*byte, i| byte.* = @truncate(i * 7);
    try testing.expectEqual(0, try driver.request(1, 5, bytes, .device_reads));
    var found: [bytes]u8 = undefined;
    try testing.expectEqual(image.Code.SUCCESS, image.read(fd, &found, 5 * 512));
    for (&found, 0..) |byte, i| try testing.expectEqual(@as(u8, @truncate(i * 7)), byte);
    try testing.expectEqual(0, try driver.request(4, 0, 1, .device_writes));
    try testing.expectEqual(image.Code.SUCCESS, image.write(fd, "from the image", 63 * 512));
    try testing.expectEqual(0, try driver.request(0, 63, 512, .device_writes));
    try testing.expectEqualStrings("from the image", rig.memory()[data_at..][0..14]);
    try testing.expectEqual(0, try driver.request(8, 0, 20, .device_writes));
    try testing.expectEqualStrings("giantvm-disk-0", rig.memory()[data_at..][0..14]);
    // Past the end, and an operation that is none.
    try testing.expectEqual(1, try driver.request(0, 64, 512, .device_writes));
    try testing.expectEqual(2, try driver.request(77, 0, 512, .device_writes));
    try rig.stop();
    try testing.expectEqual(1, counted(&rig, .disk_writes));
    try testing.expectEqual(1, counted(&rig, .disk_reads));
    try testing.expectEqual(1, counted(&rig, .disk_flushes));
    try testing.expectEqual(bytes, counted(&rig, .disk_bytes_written));
    try testing.expectEqual(512, counted(&rig, .disk_bytes_read));
    try testing.expectEqual(2, counted(&rig, .disk_errors));
}

test "data is there before the interrupt that tells of it" {
    const fd = memoryImage();
    defer _ = os.close(fd);
    var rig = try Rig.initWith(1, null, &.{.{
        .image = @bitCast(fd),
        .bytes = sectors * 512,
        .read_only = true,
    }});
    defer rig.deinit();
    rig.put(rig_room.start, &.{
        0x0f, 0x01, 0x1c, 0x25, 0x00, 0x68, 0x00, 0x00, //             lidt [0x6800]
        0xbf, 0x00, 0x00, 0xe0, 0xfe, //                               mov  edi,0xfee00000
        0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // mov  [rdi+0xf0],0x1ff
        0xb0, 0x01, 0xe6, 0xf4, //                                     ready
        0xfb, 0xf4, 0xeb, 0xfc, //                               0:    sti; hlt; jmp 0
    });
    rig.put(0x7000, &.{
        0x8a, 0x04, 0x25, 0x00, 0x40, 0x01, 0x00, //                   mov  al,[data]
        0xe6, 0xf4, //                                                 out  0xf4,al
        0xc7, 0x87, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // EOI
        0x48, 0xcf, //                                                 iretq
    });
    const gate = [2]u64{ 0x7000 | 0x10 << 16 | 0x8e00 << 32, 0 };
    rig.put(0x6000 + 0x41 * 16, std.mem.asBytes(&gate));
    rig.put(0x6800, &.{ 0xff, 0x07, 0x00, 0x60, 0, 0, 0, 0, 0, 0 });
    for (0..sectors) |i| {
        const byte: u8 = @intCast(100 + i);
        try testing.expectEqual(image.Code.SUCCESS, image.write(fd, &.{byte}, i * 512));
    }
    try rig.goLong();
    try rig.expectExit(1);
    var driver: Driver = .{ .rig = &rig };
    try driver.start(features_all);
    driver.message(0x41);
    for (0..sectors) |i| {
        try testing.expectEqual(0, try driver.request(0, i, 512, .device_writes));
        try rig.expectExit(100 + i);
    }
    try rig.stop();
}

test "a driver that breaks the rules waits for its reset, and then goes on" {
    const fd = memoryImage();
    defer _ = os.close(fd);
    var rig = try open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    const sentences = [_][]const u8{
        "the guest's driver is faulty, its descriptors break the rules",
    };
    for (0..3) |round| {
        try driver.start(features_all);
        // A loop.
        driver.describe(0, head_at, 16, 1);
        std.mem.writeInt(u16, rig.memory()[descriptors + 14 ..][0..2], 0, .little);
        driver.offer(0, 0);
        try rig_room.await(&driver, needsReset);
        // The user is told once.
        if (round == 0) {
            const told = try rig.event(.disk);
            try testing.expectEqualStrings(sentences[0], told.text[0..told.length]);
        }
        try testing.expectEqual(none, rig.memory()[status_at]);
        try driver.start(features_all);
        try testing.expectEqual(0, try driver.request(1, 0, 512, .device_reads));
    }
    try rig.stop();
}

fn needsReset(driver: *Driver) bool {
    return driver.status() & 0x40 != 0;
}

test "data outside of memory fails its request alone" {
    const fd = memoryImage();
    defer _ = os.close(fd);
    var rig = try open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(features_all);
    for ([_]u16{ 0, 2 }) |direction| {
        driver.describe(0, head_at, 16, 1);
        driver.describe(1, 0xb_f000, 8192, 1 | direction);
        driver.describe(2, status_at, 1, 2);
        driver.offer(if (direction == 0) 1 else 0, 0);
        try rig_room.await(&driver, Driver.isUsed);
        try testing.expectEqual(1, rig.memory()[status_at]);
    }
    try testing.expectEqual(0, try driver.request(0, 0, 512, .device_writes));
    try rig.stop();
}

test "an image that fails is the request's failure, and is told once" {
    const fd: i32 = @intCast(os.open("/dev/null", .{ .ACCMODE = .RDONLY }, 0));
    defer _ = os.close(fd);
    var rig = try open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(features_all);
    for (0..3) |_| {
        try testing.expectEqual(1, try driver.request(1, 0, 512, .device_reads));
        // It ends before its size: nothing is made up.
        try testing.expectEqual(1, try driver.request(0, 0, 512, .device_writes));
    }
    const told = try rig.event(.disk);
    const sentence = "its image failed to write (EBADF)";
    try testing.expectEqualStrings(sentence, told.text[0..told.length]);
    try rig.stop();
    try testing.expectEqual(6, counted(&rig, .disk_errors));
}

test "a read-only disk is never written, a driver that cannot flush has all on the disk" {
    const fd = memoryImage();
    defer _ = os.close(fd);
    {
        var rig = try open(fd, true);
        defer rig.deinit();
        var driver: Driver = .{ .rig = &rig };
        try driver.start(features_all | @as(u32, @truncate(block.feature_read_only)));
        try testing.expectEqual(1, try driver.request(1, 0, 512, .device_reads));
        try testing.expectEqual(0, try driver.request(0, 0, 512, .device_writes));
        try rig.stop();
    }
    var rig = try open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(0);
    try testing.expectEqual(0, try driver.request(1, 0, 512, .device_reads));
    try rig.stop();
    try testing.expectEqual(1, counted(&rig, .disk_flushes));
}

test "a size no disk has" {
    for ([_]u64{ 0, 511, 513 }) |bytes| {
        const outcome = Rig.initWith(1, null, &.{.{ .image = 0, .bytes = bytes, .read_only = true }});
        if (outcome) |_| return error.Accepted else |err| {
            if (err == error.SkipZigTest) return err;
            try testing.expectEqual(error.OutOfRange, err);
        }
    }
}
