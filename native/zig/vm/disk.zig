//! The thread of a disk: takes requests from its virtqueue, moves their bytes between guest memory
//! and the image, and interrupts. No vCPU and no engine thread ever waits for the image.
//!
//! Intuition: it touches guest memory as a vCPU does, by faults that the engine resolves, and it
//! holds no lock while it does. So its stores have the order and the visibility of a processor's:
//! data, then the used ring, then the interrupt, whichever node the vCPU is on.
//!
//! What fails is either the image's, which the request's status tells, or the driver's, after which
//! the device waits for a reset. In neither case is a request reported done that is not.

const std = @import("std");
const abi = @import("../abi.zig");
const block = @import("../devices/virtio/block.zig");
const devices = @import("devices.zig");
const image = @import("../sys/image.zig");
const kernel = @import("../sys/kernel.zig");
const limits = @import("../limits.zig");
const linux = @import("../sys/linux.zig");
const queue_room = @import("../devices/virtio/queue.zig");
const transport_room = @import("../devices/virtio/transport.zig");
const Doorbell = @import("doorbell.zig").Doorbell;
const Guest = @import("../engine/guest.zig").Guest;
const Machine = @import("machine.zig").Machine;
const PciEffects = @import("../devices/pci/function.zig").Effects;
const Queue = queue_room.Queue;
const Transport = transport_room.Transport;
const Work = transport_room.Work;
const assert = std.debug.assert;

/// Bytes moved by one call of the kernel.
const buffer_bytes = 128 << 10;
/// Device number of the first disk on bus 0; the others follow.
pub const first_place = 1;

/// The VM's disks, on its device node: each on a place of its own on the bus.
pub fn attach(machine: *Machine, wanted: []const abi.PlanDisk) !void {
    if (wanted.len > limits.disks_max) return error.OutOfRange;
    if (wanted.len > 0 and machine.node != machine.board_node) return error.OutOfRange;
    const disks = try machine.allocator.alloc(Disk, wanted.len);
    errdefer machine.allocator.free(disks);
    errdefer for (machine.disks) |*disk| disk.deinit();
    for (wanted, disks, 0..) |*described, *disk, i| {
        try disk.init(machine, @intCast(i), described);
        machine.disks = disks[0 .. i + 1];
        const place: u5 = @intCast(first_place + i);
        machine.board.pci.attach(place, &disk.transport.function);
        machine.doorbells[place] = &disk.doorbell;
    }
}

/// Their threads must have been told to stop.
pub fn detach(machine: *Machine) void {
    for (machine.disks) |*disk| disk.deinit();
    machine.allocator.free(machine.disks);
}

pub const Disk = struct {
    machine: *Machine,
    /// Number among the VM's disks.
    index: u8,
    fd: i32,
    read_only: bool,
    sectors: u64,
    config: [block.config_bytes]u8,
    transport: Transport,
    doorbell: Doorbell = .{},
    thread: ?std.Thread = null,
    chain: queue_room.Chain = .{},
    buffer: []u8,
    /// What the user was told already: a guest may bring it about without end.
    told_image: bool = false,
    told_driver: bool = false,

    /// `self` must not move afterwards. The image stays the caller's to close.
    pub fn init(self: *Disk, machine: *Machine, index: u8, disk: *const abi.PlanDisk) !void {
        if (disk.bytes == 0 or disk.bytes % block.sector_bytes != 0) return error.OutOfRange;
        const sectors = disk.bytes / block.sector_bytes;
        const buffer = try machine.allocator.alloc(u8, buffer_bytes);
        self.* = .{
            .machine = machine,
            .index = index,
            .fd = @bitCast(disk.image),
            .read_only = disk.read_only,
            .sectors = sectors,
            .config = block.config(sectors),
            .transport = undefined,
            .buffer = buffer,
        };
        self.transport = .init(&.{
            .kind = block.kind,
            .class = block.class,
            .features = block.features(disk.read_only),
            .config = &self.config,
        });
    }

    pub fn deinit(self: *Disk) void {
        if (self.thread) |thread| thread.join();
        self.machine.allocator.free(self.buffer);
    }

    pub fn start(self: *Disk) !void {
        assert(self.thread == null);
        self.thread = try kernel.spawn(1 << 20, run, .{self});
    }

    /// Until the machine stops; a request that was taken is finished first.
    fn run(self: *Disk) void {
        linux.blockSignals(0);
        linux.nameThread("gvm-disk");
        // Its faults run under the slot of threads that have none of their own: a request's pages
        // are touched once, so there is nothing to remember for the next.
        var queue: ?Queue = null;
        var generation: u32 = 0;
        while (true) {
            const rings = self.doorbell.seen();
            // Whoever stops the machine sets this first and rings then.
            if (self.machine.stopping.load(.seq_cst)) break;
            if (self.take()) |work| {
                if (queue == null or generation != work.generation) {
                    const event_index = work.has(transport_room.feature_event_index);
                    // The transport took no other layout from the driver.
                    queue = Queue.init(work.layout, event_index) catch unreachable;
                    generation = work.generation;
                }
                self.serve(&work, &queue.?, rings) catch |err| self.broken(err);
            }
            self.doorbell.wait(rings);
        }
        self.machine.threadEnded();
    }

    fn take(self: *Disk) ?Work {
        self.machine.board_lock.lock();
        defer self.machine.board_lock.unlock();
        return self.transport.take();
    }

    fn guest(self: *const Disk) Guest {
        return .{ .memory = &self.machine.engine.memory };
    }

    /// Everything the driver has made available, until something else may be wanted.
    fn serve(self: *Disk, work: *const Work, queue: *Queue, rings: u32) queue_room.Error!void {
        const memory = self.guest();
        while (true) {
            try queue.quiet(memory);
            while (try queue.pop(memory, &self.chain)) {
                try self.request(work, queue);
                if (try queue.wantsInterrupt(memory)) self.interrupt(work);
                if (self.doorbell.seen() != rings) return;
            }
            if (try queue.listen(memory)) return;
        }
    }

    fn request(self: *Disk, work: *const Work, queue: *Queue) queue_room.Error!void {
        const memory = self.guest();
        const parsed = try block.parse(memory, &self.chain, self.sectors, self.read_only);
        const status = switch (parsed.request) {
            .refused => |status| status,
            .accepted => |accepted| self.execute(work, &accepted),
        };
        try memory.write(parsed.status_gpa, &.{@intFromEnum(status)});
        try queue.push(memory, self.chain.head, parsed.writable);
        if (status != .ok) self.machine.counters.add(.disk_errors, 1);
    }

    fn execute(self: *Disk, work: *const Work, wanted: *const block.Request) block.Status {
        var data = wanted.data;
        switch (wanted.operation) {
            .read => {
                self.machine.counters.add(.disk_reads, 1);
                return self.move(wanted, &data);
            },
            .write => {
                self.machine.counters.add(.disk_writes, 1);
                const status = self.move(wanted, &data);
                // 5.2.6.2: who cannot flush is promised that what is done is on the disk.
                const through = !work.has(block.feature_flush);
                return if (status == .ok and through) self.flush() else status;
            },
            .flush => return self.flush(),
            .discard => return self.discard(wanted),
            .zero => return self.zero(wanted),
            .identify => {
                var id: [block.id_bytes]u8 = @splat(0);
                _ = std.fmt.bufPrint(&id, "giantvm-disk-{d}", .{self.index}) catch unreachable;
                block.scatter(self.guest(), &data, &id) catch return .failed;
                return .ok;
            },
        }
    }

    /// Moves a request's bytes, a buffer at a time.
    fn move(self: *Disk, wanted: *const block.Request, data: *block.Part) block.Status {
        assert(wanted.offset + wanted.bytes <= self.sectors * block.sector_bytes);
        const memory = self.guest();
        const reads = wanted.operation == .read;
        var done: u64 = 0;
        while (done < wanted.bytes) {
            const length: usize = @intCast(@min(self.buffer.len, wanted.bytes - done));
            const bytes = self.buffer[0..length];
            const offset = wanted.offset + done;
            if (reads) {
                if (!self.succeeded("read", image.read(self.fd, bytes, offset))) return .failed;
                block.scatter(memory, data, bytes) catch return .failed;
            } else {
                block.gather(memory, data, bytes) catch return .failed;
                if (!self.succeeded("write", image.write(self.fd, bytes, offset))) return .failed;
            }
            done += length;
        }
        const counter: abi.Counter = if (reads) .disk_bytes_read else .disk_bytes_written;
        self.machine.counters.add(counter, done);
        return .ok;
    }

    /// A hint: where the host cannot follow it, nothing is lost.
    fn discard(self: *Disk, wanted: *const block.Request) block.Status {
        if (wanted.bytes == 0) return .ok;
        const code = image.discard(self.fd, wanted.offset, wanted.bytes);
        return if (code == .OPNOTSUPP or self.succeeded("discard", code)) .ok else .failed;
    }

    fn zero(self: *Disk, wanted: *const block.Request) block.Status {
        if (wanted.bytes == 0) return .ok;
        const code = image.zero(self.fd, wanted.offset, wanted.bytes);
        if (code != .OPNOTSUPP) return if (self.succeeded("zero", code)) .ok else .failed;
        @memset(self.buffer, 0);
        var done: u64 = 0;
        while (done < wanted.bytes) {
            const part = self.buffer[0..@intCast(@min(self.buffer.len, wanted.bytes - done))];
            const written = image.write(self.fd, part, wanted.offset + done);
            if (!self.succeeded("zero", written)) return .failed;
            done += part.len;
        }
        return .ok;
    }

    fn flush(self: *Disk) block.Status {
        self.machine.counters.add(.disk_flushes, 1);
        return if (self.succeeded("flush", image.sync(self.fd))) .ok else .failed;
    }

    fn succeeded(self: *Disk, what: []const u8, code: image.Code) bool {
        if (code == .SUCCESS) return true;
        self.tell(&self.told_image, "its image failed to {s} (E{t})", .{ what, code });
        return false;
    }

    fn broken(self: *Disk, err: queue_room.Error) void {
        const why = switch (err) {
            error.Broken => "its descriptors break the rules",
            error.BadAddress => "it names addresses that are no memory",
        };
        self.tell(&self.told_driver, "the guest's driver is faulty, {s}", .{why});
        devices.change(self.machine, self, fail);
    }

    fn fail(self: *Disk, effects: *PciEffects) void {
        self.transport.fail(effects);
    }

    /// Once per reason.
    fn tell(self: *Disk, told: *bool, comptime format: []const u8, arguments: anytype) void {
        if (told.*) return;
        told.* = true;
        var text: [160]u8 = undefined;
        const sentence = std.fmt.bufPrint(&text, format, arguments) catch "it failed";
        self.machine.events.text(.disk, self.index, sentence);
    }

    fn interrupt(self: *Disk, work: *const Work) void {
        devices.change(self.machine, &Done{ .disk = self, .work = work }, Done.raise);
    }
};

/// Requests of this work were given back.
const Done = struct {
    disk: *Disk,
    work: *const Work,

    fn raise(self: *const Done, effects: *PciEffects) void {
        self.disk.transport.interrupt(self.work.generation, effects);
    }
};
