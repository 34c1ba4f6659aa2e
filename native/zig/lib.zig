//! The exports, nothing else: each gvm_ function turns its arguments into Zig types, calls node.zig
//! and turns errors into negative errno. The list and the meaning are in abi.zig.

const std = @import("std");
const abi = @import("abi.zig");
const codec = @import("wire/codec.zig");
const errors = @import("errors.zig");
const image = @import("sys/image.zig");
const panics = @import("panic.zig");
const Bench = @import("engine/bench.zig").Bench;
const Node = @import("node.zig").Node;
const linux = @import("sys/linux.zig");
const probe = @import("sys/probe.zig");
const udp = @import("sys/udp.zig");

pub const std_options: std.Options = .{ .allow_stack_tracing = false, .signal_stack_size = null };
pub const panic = std.debug.FullPanic(panics.onPanic);

comptime {
    for (abi.functions) |f| {
        if (@TypeOf(@field(exports, f.name)) != f.type) @compileError(f.name ++ " drifted");
        @export(&@field(exports, f.name), .{ .name = f.name });
    }
}

const allocator = std.heap.c_allocator;

fn node(handle: abi.Handle) *Node {
    std.debug.assert(handle != 0);
    return @ptrFromInt(handle);
}

fn result(outcome: anyerror!void) i32 {
    outcome catch |err| return errors.negativeErrno(err);
    return 0;
}

fn count(outcome: anyerror!usize) i32 {
    const n = outcome catch |err| return errors.negativeErrno(err);
    return std.math.cast(i32, n) orelse errors.negativeErrno(error.NoBufferSpace);
}

/// Decodes one configuration and hands it to `use`; the bytes live only during the call.
fn with(
    comptime T: type,
    bytes: abi.Bytes,
    length: u64,
    context: anytype,
    comptime use: anytype,
) anyerror!void {
    var arena: std.heap.ArenaAllocator = .init(allocator);
    defer arena.deinit();
    const value = try codec.decodeStruct(T, arena.allocator(), bytes[0..length]);
    return use(context, value);
}

const exports = struct {
    /// The first call of all: nobody has made the terminal raw yet.
    fn gvm_abi() callconv(.c) u64 {
        panics.rememberTerminal();
        return abi.hash;
    }

    fn gvm_monotonic_ns() callconv(.c) u64 {
        return linux.nowNs();
    }

    fn gvm_open(bytes: abi.Bytes, length: u64, out: abi.Out) callconv(.c) i32 {
        return result(with(abi.OpenOptions, bytes, length, out, open));
    }

    fn open(out: abi.Out, options: abi.OpenOptions) anyerror!void {
        const opened = try Node.open(allocator, options);
        std.mem.writeInt(u64, out[0..8], @intFromPtr(opened), .little);
    }

    fn gvm_data_port(handle: abi.Handle) callconv(.c) i32 {
        return node(handle).dataPort();
    }

    fn gvm_event_fd(handle: abi.Handle) callconv(.c) i32 {
        return node(handle).eventFd();
    }

    fn gvm_events(handle: abi.Handle, out: abi.Out, max: u32) callconv(.c) i32 {
        const records: [*]align(1) abi.Event = @ptrCast(out);
        return count(node(handle).takeEvents(records[0..max]));
    }

    fn gvm_console(handle: abi.Handle, out: abi.Out, length: u64) callconv(.c) i32 {
        return count(node(handle).takeConsole(out[0..length]));
    }

    fn gvm_facts(handle: abi.Handle, out: abi.Out, length: u64) callconv(.c) i32 {
        return count(node(handle).facts(out[0..length]));
    }

    fn gvm_probe(out: abi.Out, length: u64) callconv(.c) i32 {
        const found = probe.probe();
        const bytes = codec.encodeStruct(abi.Probe, &found, out[0..length]);
        return count(if (bytes) |b| b.len else error.NoBufferSpace);
    }

    fn gvm_configure(handle: abi.Handle, bytes: abi.Bytes, length: u64) callconv(.c) i32 {
        return result(with(abi.Plan, bytes, length, node(handle), Node.configure));
    }

    fn gvm_load(
        handle: abi.Handle,
        gpa: u64,
        bytes: abi.Bytes,
        length: u64,
        tag: u64,
    ) callconv(.c) i32 {
        return result(node(handle).load(gpa, bytes[0..length], tag));
    }

    fn gvm_boot(handle: abi.Handle, bytes: abi.Bytes, length: u64) callconv(.c) i32 {
        return result(with(abi.Boot, bytes, length, node(handle), Node.boot));
    }

    fn gvm_run(handle: abi.Handle, tsc_zero_ns: u64) callconv(.c) i32 {
        return result(node(handle).run(tsc_zero_ns));
    }

    fn gvm_tsc(handle: abi.Handle, out: abi.Out) callconv(.c) i32 {
        return result(node(handle).tsc(@ptrCast(out)));
    }

    fn gvm_tsc_advance(handle: abi.Handle, from: u64, ticks: u64) callconv(.c) i32 {
        return result(node(handle).advanceTsc(from, ticks));
    }

    fn gvm_stop(handle: abi.Handle) callconv(.c) i32 {
        return result(node(handle).stop());
    }

    fn gvm_console_input(handle: abi.Handle, bytes: abi.Bytes, length: u64) callconv(.c) i32 {
        return count(node(handle).consoleInput(bytes[0..length]));
    }

    fn gvm_io_reply(handle: abi.Handle, id: u64, bytes: abi.Bytes, length: u64) callconv(.c) i32 {
        return result(node(handle).ioReply(id, bytes[0..length]));
    }

    fn gvm_power_button(handle: abi.Handle) callconv(.c) i32 {
        return result(node(handle).powerButton());
    }

    fn gvm_cmos(handle: abi.Handle, out: abi.Out, length: u64) callconv(.c) i32 {
        return count(node(handle).cmos(out[0..length]));
    }

    fn gvm_counters(handle: abi.Handle, out: abi.Out, max: u32) callconv(.c) i32 {
        const values: [*]align(1) u64 = @ptrCast(out);
        return count(node(handle).counters(values[0..max]));
    }

    fn gvm_registers(handle: abi.Handle, vcpu: u32, out: abi.Out, length: u64) callconv(.c) i32 {
        return count(node(handle).registers(vcpu, out[0..length]));
    }

    fn gvm_vcpu(handle: abi.Handle, vcpu: u32, out: abi.Out, length: u64) callconv(.c) i32 {
        return count(node(handle).vcpuState(vcpu, out[0..length]));
    }

    fn gvm_ask(handle: abi.Handle, id: u64, what: u32, gpa: u64, length: u32) callconv(.c) i32 {
        return result(node(handle).ask(id, what, gpa, length));
    }

    fn gvm_write(
        handle: abi.Handle,
        id: u64,
        gpa: u64,
        bytes: abi.Bytes,
        length: u32,
    ) callconv(.c) i32 {
        return result(node(handle).write(id, gpa, bytes[0..length]));
    }

    fn gvm_hot(handle: abi.Handle, out: abi.Out, length: u64) callconv(.c) i32 {
        return count(node(handle).hot(out[0..length]));
    }

    fn gvm_pause(handle: abi.Handle, hold: u32, vcpu: u32) callconv(.c) i32 {
        return result(node(handle).pause(hold != 0, vcpu));
    }

    fn gvm_guest_debug(
        handle: abi.Handle,
        vcpu: u32,
        bytes: abi.Bytes,
        length: u64,
    ) callconv(.c) i32 {
        const target: Node.Target = .{ .node = node(handle), .vcpu = vcpu };
        return result(with(abi.GuestDebug, bytes, length, target, Node.guestDebug));
    }

    fn gvm_set_registers(
        handle: abi.Handle,
        vcpu: u32,
        bytes: abi.Bytes,
        length: u64,
    ) callconv(.c) i32 {
        const target: Node.Target = .{ .node = node(handle), .vcpu = vcpu };
        return result(with(abi.GeneralRegisters, bytes, length, target, Node.setRegisters));
    }

    fn gvm_close(handle: abi.Handle) callconv(.c) i32 {
        return result(node(handle).close());
    }

    fn gvm_image_open(bytes: abi.Bytes, length: u64, out: abi.Out) callconv(.c) i32 {
        var opening: Opening = .{ .out = out };
        with(abi.ImageOptions, bytes, length, &opening, imageOpen) catch |err|
            return errors.negativeErrno(err);
        return negative(opening.code);
    }

    const Opening = struct { out: abi.Out, code: image.Code = .SUCCESS };

    fn imageOpen(opening: *Opening, options: abi.ImageOptions) anyerror!void {
        var buffer: [std.os.linux.PATH_MAX]u8 = undefined;
        if (std.mem.indexOfScalar(u8, options.path, 0) != null) return error.Malformed;
        const path = std.fmt.bufPrintZ(&buffer, "{s}", .{options.path}) catch {
            opening.code = .NAMETOOLONG;
            return;
        };
        var opened: image.Image = undefined;
        opening.code = image.open(path, options.read_only, &opened);
        if (opening.code != .SUCCESS) return;
        std.mem.writeInt(u64, opening.out[0..8], @intCast(opened.fd), .little);
        std.mem.writeInt(u64, opening.out[8..16], opened.bytes, .little);
    }

    fn gvm_image_close(fd: i32) callconv(.c) i32 {
        return negative(image.close(fd));
    }

    fn negative(code: image.Code) i32 {
        return -@as(i32, @intCast(@intFromEnum(code)));
    }

    fn gvm_bench_open(role: u32, out: abi.Out) callconv(.c) i32 {
        return result(benchOpen(role, out));
    }

    fn benchOpen(role: u32, out: abi.Out) anyerror!void {
        if (role > 1) return error.OutOfRange;
        const bench = try Bench.open(allocator, @intCast(role));
        const ports = try bench.ports();
        std.mem.writeInt(u64, out[0..8], @intFromPtr(bench), .little);
        std.mem.writeInt(u64, out[8..16], ports[0], .little);
        std.mem.writeInt(u64, out[16..24], ports[1], .little);
    }

    fn gvm_bench_start(handle: abi.Handle, data: u32, plain: u32, rounds: u32) callconv(.c) i32 {
        const bench: *Bench = @ptrFromInt(handle);
        return result(bench.start(.{ @truncate(data), @truncate(plain) }, rounds));
    }

    fn gvm_bench_result(handle: abi.Handle, out: abi.Out, length: u64) callconv(.c) i32 {
        const bench: *Bench = @ptrFromInt(handle);
        return count(bench.result(out[0..length]));
    }

    fn gvm_socket_buffer(fd: i32, bytes: u32) callconv(.c) i32 {
        return count(udp.setReceiveBuffer(fd, bytes));
    }
};
