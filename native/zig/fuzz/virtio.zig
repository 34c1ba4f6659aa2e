//! A virtio block device under a hostile guest: registers at any offset, rings and descriptors of
//! any content, changed at any moment. Each chain ends, and no request reaches outside of the disk.

const std = @import("std");
const block = @import("../devices/virtio/block.zig");
const config = @import("../devices/pci/config.zig");
const queue_room = @import("../devices/virtio/queue.zig");
const rig = @import("../devices/virtio/driver_rig.zig");
const transport = @import("../devices/virtio/transport.zig");
const Effects = @import("../devices/pci/function.zig").Effects;
const Memory = rig.Memory;
const Queue = queue_room.Queue;
const Source = @import("source.zig").Source;

const expect = std.testing.expect;
const sectors = 64;
const disk_config = block.config(sectors);

const Case = struct {
    memory: Memory = .{},
    transport: transport.Transport,
    queue: ?Queue = null,
    generation: u32 = 0,
    chain: queue_room.Chain = .{},
    read_only: bool,
};

pub fn run(_: std.mem.Allocator, input: []const u8) anyerror!void {
    var source: Source = .init(input);
    const read_only = source.boolean();
    var case: Case = .{ .read_only = read_only, .transport = .init(&.{
        .kind = block.kind,
        .class = block.class,
        .features = block.features(read_only),
        .config = &disk_config,
    }) };
    case.transport.function.number = 1;
    start(&case, source.boolean());
    while (source.more()) switch (source.below(8)) {
        0 => registers(&case, &source),
        1 => scribble(&case.memory, &source),
        2, 3 => descriptor(&case.memory, &source),
        4, 5 => rig.offer(&case.memory, source.below(10)),
        6 => rig.offer(&case.memory, source.int(u16)),
        else => try serve(&case),
    };
    try serve(&case);
}

/// What any driver begins with.
fn start(case: *Case, event_index: bool) void {
    const function = &case.transport.function;
    var effects: Effects = .{};
    const command = std.mem.toBytes(@as(u16, config.command_memory | config.command_bus_master));
    function.writeConfig(config.command, &command, &effects);
    const low: u32 = @truncate(block.features(case.read_only) | transport.feature_indirect |
        if (event_index) transport.feature_event_index else 0);
    const layout = &rig.layout;
    const Store = struct { u64, u8, u64 };
    for ([_]Store{
        .{ 8, 4, 0 },
        .{ 12, 4, low },
        .{ 8, 4, 1 },
        .{ 12, 4, 1 },
        .{ 20, 1, 11 },
        .{ 24, 2, layout.size },
        .{ 32, 8, layout.descriptors },
        .{ 40, 8, layout.driver },
        .{ 48, 8, layout.device },
        .{ 28, 2, 1 },
        .{ 20, 1, 15 },
    }) |store| {
        var data: [8]u8 = @bitCast(store[2]);
        function.access(0, store[0], true, data[0..store[1]], &effects);
    }
}

fn registers(case: *Case, source: *Source) void {
    var effects: Effects = .{};
    var data: [8]u8 = @bitCast(source.wide());
    const bytes = data[0 .. 1 + source.below(8)];
    const function = &case.transport.function;
    switch (source.below(4)) {
        0 => function.writeConfig(@as(u12, source.int(u8)), bytes, &effects),
        1 => function.readConfig(@as(u12, source.int(u8)), bytes, &effects),
        2 => function.access(0, source.int(u16) % 0x7ff8, source.boolean(), bytes, &effects),
        else => function.access(0, source.below(64), source.boolean(), bytes, &effects),
    }
}

fn scribble(memory: *Memory, source: *Source) void {
    const at = source.int(u16) % (memory.bytes.len - 64);
    const bytes = source.slice(64);
    @memcpy(memory.bytes[at..][0..bytes.len], bytes);
}

fn descriptor(memory: *Memory, source: *Source) void {
    const table: u64 = if (source.below(3) == 0) 0x7000 else rig.layout.descriptors;
    const near: u64 = 0x4000 + 16 * @as(u64, source.int(u8));
    const gpa = if (source.below(4) == 0) source.wide() else near;
    const lengths = [_]u32{ 16, 1, 512, 1024, 32, 0, 17, 0xffff_ffff };
    const length = lengths[source.below(lengths.len)];
    const index = source.below(9);
    rig.descriptor(memory, table, index, gpa, length, source.below(8), source.below(10));
}

/// As vm/disk.zig does it, without an image.
fn serve(case: *Case) !void {
    const work = case.transport.take() orelse return;
    if (case.queue == null or case.generation != work.generation) {
        case.queue = try Queue.init(work.layout, work.has(transport.feature_event_index));
        case.generation = work.generation;
    }
    all(case, &case.queue.?) catch |err| switch (err) {
        error.Broken, error.BadAddress => {
            var effects: Effects = .{};
            case.transport.fail(&effects);
            try expect(case.transport.take() == null);
        },
        else => return err,
    };
}

fn all(case: *Case, queue: *Queue) !void {
    const memory = &case.memory;
    try queue.quiet(memory);
    // A guest that adds requests for ever is served for ever; this one does not.
    for (0..queue_room.size_max) |_| {
        if (!try queue.pop(memory, &case.chain)) break;
        const parsed = try block.parse(memory, &case.chain, sectors, case.read_only);
        const status = switch (parsed.request) {
            .refused => |status| status,
            .accepted => |accepted| try execute(case, &accepted),
        };
        try memory.write(parsed.status_gpa, &.{@intFromEnum(status)});
        try queue.push(memory, case.chain.head, parsed.writable);
        _ = try queue.wantsInterrupt(memory);
    }
    _ = try queue.listen(memory);
}

fn execute(case: *Case, wanted: *const block.Request) !block.Status {
    switch (wanted.operation) {
        .flush => return .ok,
        .identify => {},
        .read, .write, .discard, .zero => {
            try expect(wanted.offset + wanted.bytes <= sectors * block.sector_bytes);
            try expect(!case.read_only or wanted.operation == .read);
        },
    }
    if (wanted.operation == .discard or wanted.operation == .zero) return .ok;
    var data = wanted.data;
    try expect(data.left >= wanted.bytes);
    var buffer: [block.sector_bytes]u8 = @splat(0x5a);
    var left = wanted.bytes;
    while (left > 0) {
        const part = buffer[0..@min(buffer.len, left)];
        switch (wanted.operation) {
            .write => block.gather(&case.memory, &data, part) catch return .failed,
            else => block.scatter(&case.memory, &data, part) catch return .failed,
        }
        left -= part.len;
    }
    return .ok;
}
