//! How the engine's thread sleeps and is woken, on a scripted kernel: the test is what happens
//! inside of epoll_pwait2.

const std = @import("std");
const engine_room = @import("engine.zig");
const kernel_room = @import("../sys/kernel.zig");
const script_rig = @import("script_rig.zig");
const scripted = @import("../sys/scripted.zig");
const uffd = @import("../sys/uffd.zig");
const Call = kernel_room.Call;
const Rig = script_rig.Rig;
const Scripted = scripted.Scripted;
const os = std.os.linux;
const testing = std.testing;

fn rigOf(kernel: *Scripted) *Rig {
    return @ptrCast(@alignCast(kernel.context.?));
}

/// A vCPU sends while the engine sleeps; the eventfd becomes readable.
fn sendWhileAsleep(kernel: *Scripted, made: Call) usize {
    const fabric = &rigOf(kernel).engine.fabric;
    const rings = kernel.count(.{ .call = .write });
    fabric.send(1, .{ .eoi = .{ .vector = 7 } });
    if (kernel.count(.{ .call = .write }) != rings + 1) @panic("nobody rang");
    return tell(made, engine_room.tag_fabric);
}

/// Ends the thread; by now everything queued must have left.
fn end(kernel: *Scripted, _: Call) usize {
    const rig = rigOf(kernel);
    if (rig.engine.fabric.length != 0) @panic("the engine sleeps over a message");
    rig.engine.stopping.store(true, .release);
    return 0;
}

fn tell(made: Call, tag: u64) usize {
    made.at(os.epoll_event, 1).* = .{ .events = os.EPOLL.IN, .data = .{ .u64 = tag } };
    return 1;
}

fn faultWhileAsleep(kernel: *Scripted, made: Call) usize {
    rigOf(kernel).fault(script_rig.own_page, uffd.flag_write);
    kernel.calls = .empty;
    return tell(made, engine_room.tag_uffd);
}

fn requestWhileAsleep(kernel: *Scripted, made: Call) usize {
    const rig = rigOf(kernel);
    // The fault, and nothing but the fault, was looked for.
    if (rig.engine.dsm.state(script_rig.own_page) != .modified) @panic("the fault was left");
    if (kernel.count(datagrams) != 0) @panic("the socket had said nothing");
    rig.peer.want(script_rig.own_page, .write) catch @panic("the peer's link is full");
    kernel.calls = .empty;
    return tell(made, engine_room.tag_udp);
}

fn endAfterRequest(kernel: *Scripted, made: Call) usize {
    const rig = rigOf(kernel);
    if (rig.engine.dsm.state(script_rig.own_page) != .invalid) @panic("the request was left");
    // One datagram, and that there is no other.
    if (kernel.count(datagrams) != 2) @panic("the socket was asked too often");
    if (kernel.count(.{ .call = .read }) != 0) @panic("there was no fault");
    return end(kernel, made);
}

const datagrams: scripted.What = .{ .call = .recvfrom };

test "an engine that slept looks only at what has something for it" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    const sleep: scripted.What = .{ .call = .epoll_pwait2 };
    rig.kernel.next(.{ .call = .sched_setscheduler }, .{ .fails = .PERM }, 1);
    rig.kernel.next(sleep, .{ .does = faultWhileAsleep }, 1);
    rig.kernel.next(sleep, .{ .does = requestWhileAsleep }, 1);
    rig.kernel.next(sleep, .{ .does = endAfterRequest }, 1);
    rig.engine.run();
    try testing.expectEqual(1, rig.kernel.count(sleep));
}

/// A thread of this node that has something to send whenever something has just left.
fn sendOn(kernel: *Scripted, made: Call) usize {
    const rig = rigOf(kernel);
    const engine = rig.engine;
    const sent = kernel.count(.{ .call = .sendto });
    if (sent == 1) rig.fault(script_rig.own_page, uffd.flag_write);
    if (engine.dsm.state(script_rig.own_page) == .modified) {
        engine.stopping.store(true, .release);
    } else {
        if (sent == 10) @panic("the fault is left while others send");
        engine.fabric.send(1, .{ .eoi = .{ .vector = 7 } });
    }
    return kernel.usual(made);
}

test "messages without end do not keep the engine from faults" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    rig.kernel.next(.{ .call = .sched_setscheduler }, .{ .fails = .PERM }, 1);
    rig.kernel.next(.{ .call = .sendto }, .{ .does = sendOn }, 20);
    rig.engine.fabric.send(1, .{ .eoi = .{ .vector = 7 } });
    rig.engine.run();
    try testing.expectEqual(.modified, rig.engine.dsm.state(script_rig.own_page));
    rig.kernel.net.sent = .empty;
}

test "a sleeping engine is rung, and sends before it sleeps again" {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    const sleep: scripted.What = .{ .call = .epoll_pwait2 };
    rig.kernel.next(.{ .call = .sched_setscheduler }, .{ .fails = .PERM }, 1);
    rig.kernel.next(sleep, .{ .fails = .INTR }, 2);
    rig.kernel.next(sleep, .{ .does = sendWhileAsleep }, 1);
    rig.kernel.next(sleep, .{ .does = end }, 1);
    rig.engine.run();
    try testing.expectEqual(4, rig.kernel.count(sleep));
    // The doorbell was taken back: else every later sleep would end at once.
    try testing.expectEqual(1, rig.doorbellReads());
    rig.turn();
    try testing.expectEqual(1, rig.peer.link.stats.messages_received);
}
