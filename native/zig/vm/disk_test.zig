//! A disk of a real machine: the test is the driver (disk_rig.zig), and where an interrupt is
//! awaited a guest takes it. What is awaited are bytes and events.

const std = @import("std");
const abi = @import("../abi.zig");
const block = @import("../devices/virtio/block.zig");
const disk_rig = @import("disk_rig.zig");
const image = @import("../sys/image.zig");
const linux = @import("../sys/linux.zig");
const rig_room = @import("rig.zig");
const Driver = disk_rig.Driver;
const Rig = rig_room.Rig;
const os = linux.os;
const testing = std.testing;

test "what is written is in the image, and what is in the image is read" {
    const fd = disk_rig.memoryImage();
    defer _ = os.close(fd);
    var rig = try disk_rig.open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(disk_rig.features_all);
    const bytes = 4 * 4096;
    for (rig.memory()[disk_rig.data_at..][0..bytes], 0..) |*byte, i| byte.* = @truncate(i * 7);
    try testing.expectEqual(0, try driver.request(1, 5, bytes, .device_reads));
    var found: [bytes]u8 = undefined;
    try testing.expectEqual(image.Code.SUCCESS, image.read(fd, &found, 5 * 512));
    for (&found, 0..) |byte, i| try testing.expectEqual(@as(u8, @truncate(i * 7)), byte);
    try testing.expectEqual(0, try driver.request(4, 0, 1, .device_writes));
    try testing.expectEqual(image.Code.SUCCESS, image.write(fd, "from the image", 63 * 512));
    try testing.expectEqual(0, try driver.request(0, 63, 512, .device_writes));
    try testing.expectEqualStrings("from the image", rig.memory()[disk_rig.data_at..][0..14]);
    // Sector 5 is zeroed and sector 6 discarded; what follows stays.
    for ([_][2]u32{ .{ 13, 5 }, .{ 11, 6 } }) |range| {
        std.mem.writeInt(u64, rig.memory()[disk_rig.data_at..][0..8], range[1], .little);
        std.mem.writeInt(u64, rig.memory()[disk_rig.data_at + 8 ..][0..8], 1, .little);
        try testing.expectEqual(0, try driver.request(range[0], 0, 16, .device_reads));
    }
    try testing.expectEqual(image.Code.SUCCESS, image.read(fd, found[0..2048], 5 * 512));
    for (found[0..1024]) |byte| try testing.expectEqual(0, byte);
    for (found[1024..2048], 1024..) |byte, i| {
        try testing.expectEqual(@as(u8, @truncate(i * 7)), byte);
    }
    try testing.expectEqual(0, try driver.request(8, 0, 20, .device_writes));
    try testing.expectEqualStrings("giantvm-disk-0", rig.memory()[disk_rig.data_at..][0..14]);
    // Past the end, and an operation that is none.
    try testing.expectEqual(1, try driver.request(0, 64, 512, .device_writes));
    try testing.expectEqual(2, try driver.request(77, 0, 512, .device_writes));
    try rig.stop();
    try testing.expectEqual(1, disk_rig.counted(&rig, .disk_writes));
    try testing.expectEqual(1, disk_rig.counted(&rig, .disk_reads));
    try testing.expectEqual(1, disk_rig.counted(&rig, .disk_flushes));
    try testing.expectEqual(bytes, disk_rig.counted(&rig, .disk_bytes_written));
    try testing.expectEqual(512, disk_rig.counted(&rig, .disk_bytes_read));
    try testing.expectEqual(2, disk_rig.counted(&rig, .disk_errors));
}

test "data is there before the interrupt that tells of it" {
    const fd = disk_rig.memoryImage();
    defer _ = os.close(fd);
    var rig = try Rig.initWith(1, null, &.{.{
        .image = @bitCast(fd),
        .bytes = disk_rig.sectors * 512,
        .read_only = false,
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
    for (0..disk_rig.sectors) |i| {
        const byte: u8 = @intCast(100 + i);
        try testing.expectEqual(image.Code.SUCCESS, image.write(fd, &.{byte}, i * 512));
    }
    try rig.goLong();
    try rig.expectExit(1);
    var driver: Driver = .{ .rig = &rig };
    try driver.start(disk_rig.features_all);
    driver.message(0x41);
    for (0..disk_rig.sectors) |i| {
        try testing.expectEqual(0, try driver.request(0, i, 512, .device_writes));
        try rig.expectExit(100 + i);
    }
    try rig.stop();
}

test "a driver that breaks the rules waits for its reset, and then goes on" {
    const fd = disk_rig.memoryImage();
    defer _ = os.close(fd);
    var rig = try disk_rig.open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    const sentences = [_][]const u8{
        "the guest's driver is faulty, its descriptors break the rules",
    };
    for (0..3) |round| {
        try driver.start(disk_rig.features_all);
        // A loop.
        driver.describe(0, disk_rig.head_at, 16, 1);
        std.mem.writeInt(u16, rig.memory()[disk_rig.descriptors + 14 ..][0..2], 0, .little);
        driver.offer(0, 0);
        try rig_room.await(&driver, needsReset);
        // The user is told once.
        if (round == 0) {
            const told = try rig.event(.disk);
            try testing.expectEqualStrings(sentences[0], told.text[0..told.length]);
        }
        try testing.expectEqual(disk_rig.none, rig.memory()[disk_rig.status_at]);
        try driver.start(disk_rig.features_all);
        try testing.expectEqual(0, try driver.request(1, 0, 512, .device_reads));
    }
    try rig.stop();
}

fn needsReset(driver: *Driver) bool {
    return driver.status() & 0x40 != 0;
}

test "data outside of memory fails its request alone" {
    const fd = disk_rig.memoryImage();
    defer _ = os.close(fd);
    var rig = try disk_rig.open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(disk_rig.features_all);
    for ([_]u16{ 0, 2 }) |direction| {
        driver.describe(0, disk_rig.head_at, 16, 1);
        driver.describe(1, 0xb_f000, 8192, 1 | direction);
        driver.describe(2, disk_rig.status_at, 1, 2);
        driver.offer(if (direction == 0) 1 else 0, 0);
        try rig_room.await(&driver, Driver.isUsed);
        try testing.expectEqual(1, rig.memory()[disk_rig.status_at]);
    }
    try testing.expectEqual(0, try driver.request(0, 0, 512, .device_writes));
    try rig.stop();
}

test "an image that fails is the request's failure, and is told once" {
    const fd: i32 = @intCast(os.open("/dev/null", .{ .ACCMODE = .RDONLY }, 0));
    defer _ = os.close(fd);
    var rig = try disk_rig.open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(disk_rig.features_all);
    for (0..3) |_| {
        try testing.expectEqual(1, try driver.request(1, 0, 512, .device_reads));
        // It ends before its size: nothing is made up.
        try testing.expectEqual(1, try driver.request(0, 0, 512, .device_writes));
    }
    const told = try rig.event(.disk);
    const sentence = "its image failed to write (EBADF)";
    try testing.expectEqualStrings(sentence, told.text[0..told.length]);
    try rig.stop();
    try testing.expectEqual(6, disk_rig.counted(&rig, .disk_errors));
}

test "a read-only disk is never written, a driver that cannot flush has all on the disk" {
    const fd = disk_rig.memoryImage();
    defer _ = os.close(fd);
    {
        var rig = try disk_rig.open(fd, true);
        defer rig.deinit();
        var driver: Driver = .{ .rig = &rig };
        try driver.start(@truncate(block.features(true)));
        try testing.expectEqual(1, try driver.request(1, 0, 512, .device_reads));
        try testing.expectEqual(0, try driver.request(0, 0, 512, .device_writes));
        try rig.stop();
    }
    var rig = try disk_rig.open(fd, false);
    defer rig.deinit();
    var driver: Driver = .{ .rig = &rig };
    try driver.start(0);
    try testing.expectEqual(0, try driver.request(1, 0, 512, .device_reads));
    try rig.stop();
    try testing.expectEqual(1, disk_rig.counted(&rig, .disk_flushes));
}

test "a size no disk has" {
    for ([_]u64{ 0, 511, 513 }) |bytes| {
        const odd: abi.PlanDisk = .{ .image = 0, .bytes = bytes, .read_only = true };
        const outcome = Rig.initWith(1, null, &.{odd});
        if (outcome) |_| return error.Accepted else |err| {
            if (err == error.SkipZigTest) return err;
            try testing.expectEqual(error.OutOfRange, err);
        }
    }
}
