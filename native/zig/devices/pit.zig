//! 8254 interval timer (Intel 8254 data sheet): three channels that count because time passes, so a
//! kernel can calibrate its clock. Channel 0 raises IRQ 0 at each rise of its output; channel 2 is
//! gated and read back through port 0x61.

const std = @import("std");

const rate_hz = 1_193_182;

const Channel = struct {
    mode: u3 = 3,
    access: u2 = 3,
    reload: u32 = 0x1_0000,
    start_ns: u64 = 0,
    gate: bool = true,
    /// It does not count since then: the gate is low, or has not triggered it yet.
    stopped_ns: ?u64 = null,
    latched: ?u16 = null,
    status_latched: ?u8 = null,
    write_low: ?u8 = null,
    read_high: bool = false,
    loaded: bool = false,
    /// Rises of the output that were told, of those since the start.
    told: u64 = 0,

    fn ticks(self: *const Channel, now_ns: u64) u64 {
        const until_ns = self.stopped_ns orelse now_ns;
        const elapsed: u128 = until_ns -| self.start_ns;
        return @intCast(elapsed * rate_hz / std.time.ns_per_s);
    }

    fn count(self: *const Channel, now_ns: u64) u16 {
        const t = self.ticks(now_ns);
        return switch (self.mode) {
            2, 6 => @truncate(self.reload - t % self.reload),
            // Counts by two, twice a period.
            3, 7 => @truncate(self.reload - (2 * t) % self.reload & 0x1_fffe),
            else => @truncate(@as(u64, self.reload) -% t),
        };
    }

    fn output(self: *const Channel, now_ns: u64) bool {
        const t = self.ticks(now_ns);
        const stopped = self.stopped_ns != null;
        return switch (self.mode) {
            2, 6 => stopped or t % self.reload != self.reload - 1,
            3, 7 => stopped or t % self.reload < (self.reload + 1) / 2,
            1, 5 => stopped or t >= self.reload,
            0, 4 => self.loaded and t >= self.reload,
        };
    }

    /// What read-back shows: output, null count (none was written since the mode), access, mode.
    fn statusByte(self: *const Channel, now_ns: u64) u8 {
        const out: u8 = if (self.output(now_ns)) 0x80 else 0;
        const empty: u8 = if (self.loaded) 0 else 0x40;
        return out | empty | @as(u8, self.access) << 4 | @as(u8, self.mode) << 1;
    }

    /// How often the output has risen by itself since the start: at each end of a period in modes
    /// 2 and 3, once at the end of the count in the others.
    fn rises(self: *const Channel, now_ns: u64) u64 {
        if (!self.loaded) return 0;
        const periods = self.ticks(now_ns) / self.reload;
        return if (self.periodic()) periods else @min(periods, 1);
    }

    fn periodic(self: *const Channel) bool {
        return self.mode & 2 != 0;
    }

    /// A rise of the gate starts the count, and its level says nothing.
    fn triggered(self: *const Channel) bool {
        return self.mode == 1 or self.mode == 5;
    }

    /// Figure 21 of the data sheet: a low gate stops what is not triggered by it; a rise goes on in
    /// modes 0 and 4, and begins anew in the others.
    fn setGate(self: *Channel, gate: bool, now_ns: u64) void {
        if (gate == self.gate) return;
        self.gate = gate;
        if (!gate) {
            if (!self.triggered()) self.stopped_ns = now_ns;
            return;
        }
        const goes_on = !self.periodic() and !self.triggered();
        const before_ns = if (goes_on) (self.stopped_ns orelse now_ns) -| self.start_ns else 0;
        self.start_ns = now_ns - before_ns;
        self.stopped_ns = null;
    }

    /// From the whole count, as soon as the gate lets it.
    fn begin(self: *Channel, now_ns: u64) void {
        self.start_ns = now_ns;
        self.stopped_ns = if (self.gate and !self.triggered()) null else now_ns;
    }

    /// When the next rise that nobody was told of happens.
    fn nextRise(self: *const Channel) ?u64 {
        if (!self.loaded or self.stopped_ns != null) return null;
        if (!self.periodic() and self.told > 0) return null;
        const ticks_then: u128 = @as(u128, self.told + 1) * self.reload;
        const after_ns = std.math.divCeil(u128, ticks_then * std.time.ns_per_s, rate_hz) catch
            unreachable;
        return self.start_ns + @as(u64, @intCast(after_ns));
    }

    fn command(self: *Channel, value: u8, now_ns: u64) void {
        const access: u2 = @truncate(value >> 4);
        if (access == 0) {
            if (self.latched == null) self.latched = self.count(now_ns);
            return;
        }
        self.* = .{ .mode = @truncate(value >> 1), .access = access, .gate = self.gate };
        self.begin(now_ns);
    }

    fn write(self: *Channel, value: u8, now_ns: u64) void {
        const reload: u16 = switch (self.access) {
            1 => value,
            2 => @as(u16, value) << 8,
            else => blk: {
                const low = self.write_low orelse {
                    self.write_low = value;
                    return;
                };
                self.write_low = null;
                break :blk @as(u16, value) << 8 | low;
            },
        };
        self.reload = if (reload == 0) 0x1_0000 else reload;
        self.begin(now_ns);
        self.loaded = true;
        self.told = 0;
    }

    fn read(self: *Channel, now_ns: u64) u8 {
        if (self.status_latched) |latched| {
            self.status_latched = null;
            return latched;
        }
        const value = self.latched orelse self.count(now_ns);
        if (self.access == 1 or (self.access == 3 and !self.read_high)) {
            if (self.access == 3) self.read_high = true else self.latched = null;
            return @truncate(value);
        }
        self.read_high = false;
        self.latched = null;
        return @truncate(value >> 8);
    }
};

pub const Pit = struct {
    channels: [3]Channel = .{ .{}, .{}, .{ .gate = false, .stopped_ns = 0 } },
    /// Bits 0 and 1 of port 0x61: gate of channel 2, speaker.
    control: u8 = 0,
    /// The refresh bit that ever toggles.
    refresh: bool = false,

    /// Ports 0x40 to 0x43.
    pub fn read(self: *Pit, port: u2, now_ns: u64) u8 {
        if (port == 3) return 0xff;
        return self.channels[port].read(now_ns);
    }

    pub fn write(self: *Pit, port: u2, value: u8, now_ns: u64) void {
        if (port < 3) return self.channels[port].write(value, now_ns);
        const select = value >> 6;
        if (select < 3) return self.channels[select].command(value, now_ns);
        // Read-back: bit 5 clear latches counts, bit 4 clear latches status.
        for (&self.channels, 0..) |*channel, i| {
            if (value & (@as(u8, 2) << @intCast(i)) == 0) continue;
            if (value & 0x20 == 0 and channel.latched == null) {
                channel.latched = channel.count(now_ns);
            }
            if (value & 0x10 == 0 and channel.status_latched == null) {
                channel.status_latched = channel.statusByte(now_ns);
            }
        }
    }

    /// Whether channel 0's output has risen since the last call; several rises count as one, since
    /// a line can only be raised once at a time.
    pub fn tick(self: *Pit, now_ns: u64) bool {
        const channel = &self.channels[0];
        const rises = channel.rises(now_ns);
        defer channel.told = @max(channel.told, rises);
        return rises > channel.told;
    }

    /// When tick has something to tell next.
    pub fn deadline(self: *const Pit) ?u64 {
        return self.channels[0].nextRise();
    }

    pub fn readControl(self: *Pit, now_ns: u64) u8 {
        self.refresh = !self.refresh;
        const out: u8 = if (self.channels[2].output(now_ns)) 0x20 else 0;
        return (self.control & 3) | @as(u8, @intFromBool(self.refresh)) << 4 | out;
    }

    pub fn writeControl(self: *Pit, value: u8, now_ns: u64) void {
        self.channels[2].setGate(value & 1 != 0, now_ns);
        self.control = value & 3;
    }
};
