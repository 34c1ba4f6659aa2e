//! A bad network between two namespaces, for tests: `relay NS-A NS-B SEED PER-MILLE`. Opens a TUN
//! device `gvm0` in each namespace and carries packets between them; each is lost, sent twice or
//! held back behind later ones, each with the given chance, all from the seed. Prints `ready` when
//! both devices exist, and at the end of its input what it did to how many packets.

const std = @import("std");
const linux = @import("sys/linux.zig");
const os = linux.os;

const packet_max = 2048;
const held_max = 64;
const hold_ns = 3_000_000;

const Request = extern struct { name: [16]u8, flags: u16, padding: [22]u8 = @splat(0) };
const tun_set_iff: u32 = 0x400454ca;
const iff_tun_no_pi = 0x1001;

const Held = struct { at_ns: u64, to: i32, length: usize, bytes: [packet_max]u8 };

const Relay = struct {
    devices: [2]i32,
    random: std.Random.DefaultPrng,
    per_mille: u16,
    held: [held_max]Held = undefined,
    held_count: usize = 0,
    packets: u64 = 0,
    lost: u64 = 0,
    doubled: u64 = 0,
    reordered: u64 = 0,

    fn chance(self: *Relay) bool {
        return self.random.random().uintLessThan(u16, 1000) < self.per_mille;
    }

    fn carry(self: *Relay, to: i32, packet: []const u8, now_ns: u64) void {
        self.packets += 1;
        if (self.chance()) {
            self.lost += 1;
            return;
        }
        if (self.chance() and self.held_count < held_max) {
            self.reordered += 1;
            const slot = &self.held[self.held_count];
            slot.at_ns = now_ns + hold_ns;
            slot.to = to;
            slot.length = packet.len;
            @memcpy(slot.bytes[0..packet.len], packet);
            self.held_count += 1;
            return;
        }
        put(to, packet);
        if (self.chance()) {
            self.doubled += 1;
            put(to, packet);
        }
    }

    fn release(self: *Relay, now_ns: u64) void {
        var i: usize = 0;
        while (i < self.held_count) {
            const slot = &self.held[i];
            if (slot.at_ns > now_ns) {
                i += 1;
                continue;
            }
            put(slot.to, slot.bytes[0..slot.length]);
            self.held_count -= 1;
            self.held[i] = self.held[self.held_count];
        }
    }

    fn run(self: *Relay) void {
        var polls: [3]os.pollfd = undefined;
        for ([_]i32{ self.devices[0], self.devices[1], 0 }, &polls) |fd, *poll| {
            poll.* = .{ .fd = fd, .events = os.POLL.IN, .revents = 0 };
        }
        var packet: [packet_max]u8 = undefined;
        while (true) {
            const wait_ms: i32 = if (self.held_count > 0) 1 else -1;
            _ = os.poll(&polls, polls.len, wait_ms);
            const now_ns = linux.nowNs();
            for (0..2) |i| {
                if (polls[i].revents & os.POLL.IN == 0) continue;
                const rc = os.read(self.devices[i], &packet, packet.len);
                const length = linux.check(rc) catch continue;
                self.carry(self.devices[1 - i], packet[0..length], now_ns);
            }
            self.release(now_ns);
            if (polls[2].revents != 0) return;
        }
    }
};

fn put(fd: i32, packet: []const u8) void {
    // A device that takes nothing loses the packet, as a full queue would.
    _ = os.write(fd, packet.ptr, packet.len);
}

/// Opens the device inside the namespace; the process stays there until the next one.
fn openDevice(namespace: []const u8) !i32 {
    var path: [128]u8 = undefined;
    const text = try std.fmt.bufPrintZ(&path, "/run/netns/{s}", .{namespace});
    const ns = try linux.fdOf(os.open(text, .{ .ACCMODE = .RDONLY, .CLOEXEC = true }, 0));
    defer linux.close(ns);
    const net = 0x4000_0000;
    _ = try linux.check(os.syscall2(.setns, @intCast(ns), net));
    const fd = try linux.fdOf(os.open("/dev/net/tun", .{ .ACCMODE = .RDWR, .CLOEXEC = true }, 0));
    var request: Request = .{ .name = @splat(0), .flags = iff_tun_no_pi };
    @memcpy(request.name[0..4], "gvm0");
    _ = try linux.check(os.ioctl(fd, tun_set_iff, @intFromPtr(&request)));
    return fd;
}

pub fn main(init: std.process.Init.Minimal) !void {
    var arguments = init.args.iterate();
    _ = arguments.next();
    const a = arguments.next() orelse return error.Usage;
    const b = arguments.next() orelse return error.Usage;
    const seed = try std.fmt.parseInt(u64, arguments.next() orelse "1", 10);
    const per_mille = try std.fmt.parseInt(u16, arguments.next() orelse "20", 10);
    var relay: Relay = .{
        .devices = .{ try openDevice(a), try openDevice(b) },
        .random = .init(seed),
        .per_mille = per_mille,
    };
    _ = os.write(1, "ready\n", 6);
    relay.run();
    var text: [160]u8 = undefined;
    const format = "{d} packets, {d} lost, {d} doubled, {d} reordered\n";
    const line = try std.fmt.bufPrint(&text, format, .{
        relay.packets, relay.lost, relay.doubled, relay.reordered,
    });
    _ = os.write(1, line.ptr, line.len);
}
