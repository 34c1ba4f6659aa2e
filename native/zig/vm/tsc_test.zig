//! Steps of the guest's TSC between vCPUs that tell each other the time: threads that behave as
//! vCPUs do, and two vCPUs of a few guest bytes.

const std = @import("std");
const clock = @import("clock.zig");
const linux = @import("../sys/linux.zig");
const machine_test = @import("machine_test.zig");
const mailbox = @import("mailbox.zig");
const rig_room = @import("rig.zig");
const tsc_room = @import("tsc.zig");
const Counters = @import("../engine/counters.zig").Counters;
const Rig = rig_room.Rig;
const Tsc = tsc_room.Tsc;
const await = rig_room.await;
const testing = std.testing;
const wrmsr = machine_test.wrmsr;

const step_ticks = 1_000_000;

/// What a vCPU is to its gate.
const Actor = struct {
    world: *World,
    mailbox: mailbox.Mailbox = .{},
    kvm: Offset = .{},
    tsc_applied: u64 = 0,

    const Offset = struct {
        value: u64 = 0,

        pub fn tscOffset(self: *const Offset) !u64 {
            return self.value;
        }
        pub fn setTscOffset(self: *Offset, value: u64) !void {
            self.value = value;
        }
    };

    pub fn kick(self: *Actor) void {
        self.mailbox.nudge();
    }

    /// In and out of the guest, where it reads the time and compares it with what it was told.
    fn run(self: *Actor) void {
        while (!self.world.over.load(.acquire)) self.turn();
    }

    fn turn(self: *Actor) void {
        const world = self.world;
        self.mailbox.inside.store(true, .seq_cst);
        const seen = self.mailbox.kicks.load(.seq_cst);
        if (world.tsc.closed()) {
            self.goOut();
            if (world.tsc.closed()) {
                linux.futexWait(&self.mailbox.kicks, seen, world.tsc.until_ns.load(.monotonic) + 1);
            }
            return world.tsc.giveUp(&world.actors, linux.nowNs());
        }
        world.tsc.apply(self) catch unreachable;
        for (0..50) |_| world.tell(self.kvm.value);
        self.goOut();
    }

    fn goOut(self: *Actor) void {
        self.mailbox.inside.store(false, .seq_cst);
        self.world.tsc.left(&self.world.actors, linux.nowNs());
    }
};

const World = struct {
    counters: Counters = .{},
    tsc: Tsc,
    actors: [3]Actor,
    lock: linux.Lock = .{},
    last: u64 = 0,
    went_back: bool = false,
    over: std.atomic.Value(bool) = .init(false),

    fn init(self: *World) void {
        self.* = .{
            .tsc = .{ .counters = &self.counters, .khz = 1, .base = .{ .rule = .offset } },
            .actors = @splat(.{ .world = self }),
        };
    }

    /// A time stamp as it passes from one to another.
    fn tell(self: *World, offset: u64) void {
        self.lock.lock();
        defer self.lock.unlock();
        const time = clock.hostTicks() +% offset;
        if (time < self.last) self.went_back = true;
        self.last = time;
    }

    fn want(self: *World, from: u64) !void {
        try self.tsc.advance(&self.actors, from, step_ticks, linux.nowNs());
    }

    fn count(self: *World, comptime counter: @import("../abi.zig").Counter) u64 {
        return self.counters.values[@intFromEnum(counter)].load(.monotonic);
    }
};

/// A step that is wanted until it is made.
fn Step(comptime Owner: type) type {
    return struct {
        owner: *Owner,
        from: u64,

        fn made(self: *const @This()) bool {
            self.owner.want(self.from) catch |err| if (err != error.Busy) unreachable;
            return self.owner.tsc.advanced.load(.seq_cst) != self.from;
        }
    };
}

test "no stamp that one vCPU gives another is later than what that reads, whatever steps" {
    var world: World = undefined;
    world.init();
    var threads: [3]std.Thread = undefined;
    for (&threads, &world.actors) |*thread, *actor| {
        thread.* = try std.Thread.spawn(.{}, Actor.run, .{actor});
    }
    for (0..200) |i| {
        const step: Step(World) = .{ .owner = &world, .from = i * step_ticks };
        try await(&step, Step(World).made);
    }
    world.over.store(true, .release);
    for (threads) |thread| thread.join();
    try testing.expect(!world.went_back);
    try testing.expectEqual(200 * step_ticks, world.tsc.advanced.load(.seq_cst));
    try testing.expectEqual(200, world.count(.tsc_steps));
    try testing.expectEqual(200 * step_ticks, world.count(.tsc_ticks_advanced));
}

fn givenUp(world: *World) bool {
    return world.count(.tsc_steps_given_up) == 1;
}

test "a vCPU that stays inside holds the others back for a while, and the step is not made" {
    var world: World = undefined;
    world.init();
    // It waits for a page.
    world.actors[2].mailbox.inside.store(true, .seq_cst);
    const threads: [2]std.Thread = .{
        try std.Thread.spawn(.{}, Actor.run, .{&world.actors[0]}),
        try std.Thread.spawn(.{}, Actor.run, .{&world.actors[1]}),
    };
    try world.want(0);
    try await(&world, givenUp);
    // The page is there, too late.
    world.actors[2].goOut();
    world.over.store(true, .release);
    for (threads) |thread| thread.join();
    try testing.expectEqual(0, world.tsc.advanced.load(.seq_cst));
    try testing.expect(!world.tsc.closed());
}

test "without a vCPU outside nobody waits, and who comes out too late steps no more" {
    var world: World = undefined;
    world.init();
    for (&world.actors) |*actor| actor.mailbox.inside.store(true, .seq_cst);
    const now_ns = linux.nowNs();
    try world.tsc.advance(&world.actors, 0, step_ticks, now_ns);
    const again = world.tsc.advance(&world.actors, 0, step_ticks, now_ns);
    try testing.expectError(error.Busy, again);
    const late_ns = now_ns + tsc_room.wait_max_ns + 1;
    for (&world.actors) |*actor| {
        try testing.expect(world.tsc.closed());
        actor.mailbox.inside.store(false, .seq_cst);
        world.tsc.left(&world.actors, late_ns);
    }
    try testing.expectEqual(0, world.tsc.advanced.load(.seq_cst));
    try testing.expect(givenUp(&world) and !world.tsc.closed());
    // The next one is made at once: all are outside.
    try world.want(0);
    try testing.expectEqual(step_ticks, world.tsc.advanced.load(.seq_cst));
    try testing.expectError(error.Busy, world.want(0));
}

test "what cannot step says so, and so does what does not run" {
    var world: World = undefined;
    world.init();
    world.tsc.base = .{};
    try testing.expectError(error.BadState, world.want(0));
    try testing.expectError(error.BadState, world.tsc.read());
    for ([_]clock.Base.Rule{ .host, .other }) |rule| {
        world.tsc.base = .{ .rule = rule };
        try testing.expectError(error.Unsupported, world.want(0));
    }
}

const stop_flag = 0x5014;
const told = 0x5018;

/// Takes turns at telling the time: exits with 0x66 when it is earlier than what was told.
const teller = [_]u8{
    0xb0, 0x01, //                           L:      mov    al,1
    0x86, 0x06, 0x10, 0x50, //                       xchg   al,[0x5010]
    0x84, 0xc0, //                                   test   al,al
    0x75, 0xf6, //                                   jne    L
    0x0f, 0xa2, //                                   cpuid: what follows is later
    0x0f, 0x31, //                                   rdtsc
    0x66, 0x3b, 0x16, 0x1c, 0x50, //                 cmp    edx,[0x501c]
    0x77, 0x09, //                                   ja     1
    0x72, 0x23, //                                   jb     2
    0x66, 0x3b, 0x06, 0x18, 0x50, //                 cmp    eax,[0x5018]
    0x72, 0x1c, //                                   jb     2
    0x66, 0x89, 0x16, 0x1c, 0x50, //         1:      mov    [0x501c],edx
    0x66, 0xa3, 0x18, 0x50, //                       mov    [0x5018],eax
    0xc6, 0x06, 0x10, 0x50, 0x00, //                 mov    byte [0x5010],0
    0x80, 0x3e, 0x14, 0x50, 0x00, //                 cmp    byte [0x5014],0
    0x74, 0xcd, //                                   je     L
    0xb0, 0x77, //                                   mov    al,0x77
    0xe6, 0xf4, //                                   out    0xf4,al
    0xf4, //                                         hlt
    0xeb, 0xfd, //                                   jmp    the hlt
    0xb0, 0x66, //                           2:      mov    al,0x66
    0xe6, 0xf4, //                                   out    0xf4,al
    0xf4, //                                         hlt
    0xeb, 0xfd, //                                   jmp    the hlt
};

const Guest = struct {
    rig: *Rig,
    tsc: *Tsc,
    /// What the guest is to have read.
    until: u64 = 0,

    fn want(self: *Guest, from: u64) !void {
        try self.tsc.advance(self.rig.machine().vcpus, from, step_ticks, linux.nowNs());
    }

    fn reached(self: *Guest) bool {
        const words: *const volatile [2]u32 = @ptrCast(@alignCast(&self.rig.memory()[told]));
        return @as(u64, words[1]) << 32 | words[0] >= self.until;
    }
};

test "two vCPUs that tell each other the time read every step, and never one back" {
    var rig = try Rig.init(2);
    defer rig.deinit();
    const start = machine_test.x2apic_on ++
        wrmsr(0x830, 0x4500, 1) ++ //            INIT to 1
        wrmsr(0x830, 0x4602, 1); //              SIPI, page 2
    rig.put(rig_room.start, &(start ++ teller));
    rig.put(0x2000, &teller);
    try rig.go();
    const tsc = &rig.machine().tsc;
    // Ring 0 reads the offset also where KVM emulates it, on PVM.
    if (tsc.base.rule == .host) tsc.base.rule = .offset;
    try testing.expectEqual(clock.Base.Rule.offset, tsc.base.rule);
    var guest: Guest = .{ .rig = &rig, .tsc = tsc };
    for (0..50) |i| {
        const step: Step(Guest) = .{ .owner = &guest, .from = i * step_ticks };
        try await(&step, Step(Guest).made);
    }
    const reading = try tsc.read();
    guest.until = reading.count +% reading.advanced;
    try await(&guest, Guest.reached);
    rig.put(stop_flag, &.{1});
    try rig.expectExit(0x77);
    try rig.expectExit(0x77);
    try rig.stop();
}
