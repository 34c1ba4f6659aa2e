//! How the boot processor starts, by what it finds: registers in protected mode as PVH and
//! multiboot want them, and start states that are none.

const std = @import("std");
const abi = @import("../abi.zig");
const Bare = @import("bare.zig").Bare;
const Rig = @import("rig.zig").Rig;
const testing = std.testing;

test "protected mode: flat, no paging, nothing set but what the protocols name" {
    var bare = try Bare.init(&.{
        0xa3, 0x00, 0x30, 0x00, 0x00, //         mov    [0x3000],eax
        0x89, 0x1d, 0x04, 0x30, 0x00, 0x00, //   mov    [0x3004],ebx
        0x0f, 0x20, 0xc0, //                     mov    eax,cr0
        0xa3, 0x08, 0x30, 0x00, 0x00, //         mov    [0x3008],eax
        0x0f, 0x20, 0xe0, //                     mov    eax,cr4
        0xa3, 0x0c, 0x30, 0x00, 0x00, //         mov    [0x300c],eax
        0xbc, 0x00, 0x80, 0x00, 0x00, //         mov    esp,0x8000
        0x9c, //                                 pushf
        0x8f, 0x05, 0x10, 0x30, 0x00, 0x00, //   pop    dword [0x3010]
        0x0f, 0x01, 0x05, 0x14, 0x30, 0x00, 0x00, // sgdt [0x3014]
        0x8c, 0x0d, 0x1c, 0x30, 0x00, 0x00, //   mov    [0x301c],cs
        0x8c, 0x15, 0x1e, 0x30, 0x00, 0x00, //   mov    [0x301e],ss
        0xc6, 0x05, 0x00, 0x00, 0x00, 0xd0, 0x5a, // mov byte [0xd0000000],0x5a
        0xf4, //                                 hlt
    });
    defer bare.deinit();
    try bare.protectedMode(0x2bad_b002, 0xffff_1234);
    // The data segment reaches all of 4 GiB.
    try bare.expectStore(0xd000_0000, "\x5a");
    try bare.expect(.halt);
    const words: *align(1) const [5]u32 = @ptrCast(bare.memory[0x3000..0x3014]);
    const vm_if_tf: u32 = 1 << 17 | 1 << 9 | 1 << 8;
    try testing.expectEqual(0x2bad_b002, words[0]);
    try testing.expectEqual(0xffff_1234, words[1]);
    try testing.expectEqual(0x11, words[2]);
    try testing.expectEqual(0, words[3]);
    try testing.expectEqual(0, words[4] & vm_if_tf);
    try testing.expectEqualSlices(u8, &.{ 0x1f, 0, 0, 0, 0, 0 }, bare.memory[0x3014..0x301a]);
    try testing.expectEqualSlices(u8, &.{ 0x10, 0, 0x18, 0 }, bare.memory[0x301c..0x3020]);
}

test "a start state that is none is refused" {
    var rig = try Rig.init(1);
    defer rig.deinit();
    const modes = [_]struct { u8, u64 }{
        .{ 3, 0x1000 },
        .{ @intFromEnum(abi.BootMode.real), 0x10_0000 },
        .{ @intFromEnum(abi.BootMode.protected), 1 << 32 },
    };
    for (modes) |mode| {
        const boot = std.mem.zeroInit(abi.Boot, .{ .mode = mode[0], .rip = mode[1] });
        try testing.expectError(error.OutOfRange, rig.node.boot(boot));
    }
}
