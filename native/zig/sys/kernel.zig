//! The one door to the kernel: every system call of sys/, engine/ and vm/ passes through `call`, so
//! that a unit test may answer in the kernel's place (scripted.zig): a failure that a real kernel
//! shows once in a million calls, or none at all, is one line there.
//!
//! What ships has no second kernel: outside of unit tests `call` is the `syscall` instruction, and
//! nothing of the script is compiled. Chosen over a type parameter, which would have to go through
//! every type from Node to Bus for the same effect.
//!
//! Not here: the clock (vDSO, no system call), sigaction (once per process, cannot fail) and what a
//! panic writes, which must not depend on anything.

const std = @import("std");
const builtin = @import("builtin");
const os = std.os.linux;

pub const Number = os.SYS;

/// One system call, as a script sees it.
pub const Call = struct {
    number: Number,
    arguments: [6]usize,

    pub fn fd(self: Call) i32 {
        return @bitCast(@as(u32, @truncate(self.arguments[0])));
    }

    /// Argument `index` as the address of a T.
    pub fn at(self: Call, comptime T: type, index: usize) *T {
        return @ptrFromInt(self.arguments[index]);
    }
};

/// What a call that fails returns.
pub fn failure(code: os.E) usize {
    return @bitCast(-@as(isize, @intFromEnum(code)));
}

/// Answers for the kernel: a value or a negative errno, as the kernel returns them.
pub const Script = struct {
    context: *anyopaque,
    answer: *const fn (context: *anyopaque, made: Call) usize,
};

/// Who answers the calling thread; null = the kernel. A thread that it starts has none.
pub threadlocal var script: ?Script = null;

/// A system call with up to six arguments: integers, pointers, null, flags as packed structures.
/// Returns what the kernel returns (linux.check makes errors of it).
pub inline fn call(comptime number: Number, arguments: anytype) usize {
    if (builtin.is_test) if (script) |s| {
        var made: Call = .{ .number = number, .arguments = @splat(0) };
        inline for (arguments, 0..) |argument, i| made.arguments[i] = word(argument);
        return s.answer(s.context, made);
    };
    const a = arguments;
    return switch (a.len) {
        0 => os.syscall0(number),
        1 => os.syscall1(number, word(a[0])),
        2 => os.syscall2(number, word(a[0]), word(a[1])),
        3 => os.syscall3(number, word(a[0]), word(a[1]), word(a[2])),
        4 => os.syscall4(number, word(a[0]), word(a[1]), word(a[2]), word(a[3])),
        5 => os.syscall5(number, word(a[0]), word(a[1]), word(a[2]), word(a[3]), word(a[4])),
        6 => os.syscall6(
            number,
            word(a[0]),
            word(a[1]),
            word(a[2]),
            word(a[3]),
            word(a[4]),
            word(a[5]),
        ),
        else => @compileError("a system call has at most six arguments"),
    };
}

/// The same for a call whose number is known at run time; for scripts that ask the kernel after
/// all.
pub fn real(made: Call) usize {
    const a = &made.arguments;
    return os.syscall6(made.number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/// Starts a thread; libc makes the calls, so a script sees one, clone3, which it may only refuse.
pub fn spawn(
    stack_bytes: usize,
    comptime run: anytype,
    arguments: anytype,
) std.Thread.SpawnError!std.Thread {
    if (builtin.is_test) if (script) |s| {
        const rc = s.answer(s.context, .{ .number = .clone3, .arguments = @splat(0) });
        std.debug.assert(os.errno(rc) == .AGAIN);
        return error.ThreadQuotaExceeded;
    };
    return std.Thread.spawn(.{ .stack_size = stack_bytes }, run, arguments);
}

/// An argument as the register that carries it.
inline fn word(value: anytype) usize {
    const T = @TypeOf(value);
    return switch (@typeInfo(T)) {
        .comptime_int => if (value < 0) @bitCast(@as(isize, value)) else value,
        .int => |int| if (int.signedness == .signed) @bitCast(@as(isize, value)) else value,
        .pointer => |pointer| if (pointer.size == .slice)
            @compileError("pass address and length")
        else
            @intFromPtr(value),
        .optional => @intFromPtr(value),
        .null => 0,
        .@"struct" => @as(std.meta.Int(.unsigned, @bitSizeOf(T)), @bitCast(value)),
        else => @compileError("not an argument of a system call: " ++ @typeName(T)),
    };
}

test "arguments reach the kernel as its registers hold them" {
    const Seen = struct {
        made: Call = undefined,
        fn answer(context: *anyopaque, made: Call) usize {
            const self: *@This() = @ptrCast(@alignCast(context));
            self.made = made;
            return 7;
        }
    };
    var seen: Seen = .{};
    script = .{ .context = &seen, .answer = Seen.answer };
    defer script = null;
    const value: u64 = 5;
    const nothing: ?*u64 = null;
    const flags: os.MAP = .{ .TYPE = .SHARED, .FIXED = true };
    try std.testing.expectEqual(7, call(.mmap, .{ nothing, &value, flags, @as(i32, -1), 9, null }));
    const expected = [6]usize{ 0, @intFromPtr(&value), 0x11, std.math.maxInt(usize), 9, 0 };
    try std.testing.expectEqual(expected, seen.made.arguments);
    try std.testing.expectEqual(-1, (Call{ .number = .close, .arguments = .{
        @as(u32, @bitCast(@as(i32, -1))), 0, 0, 0, 0, 0,
    } }).fd());
    script = null;
    try std.testing.expectEqual(@as(usize, @intCast(os.getpid())), call(.getpid, .{}));
}
