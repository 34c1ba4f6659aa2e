//! Zig errors to the negative errno of the C contract (abi.zig).

const std = @import("std");
const E = std.os.linux.E;

pub fn negativeErrno(err: anyerror) i32 {
    const code: E = switch (err) {
        error.OutOfMemory => .NOMEM,
        error.NoBufferSpace => .NOBUFS,
        error.AccessDenied, error.PermissionDenied => .ACCES,
        error.NotFound, error.FileNotFound, error.NoDevice => .NOENT,
        error.AddressInUse => .ADDRINUSE,
        error.AddressNotAvailable => .ADDRNOTAVAIL,
        error.Busy => .BUSY,
        error.Again, error.ThreadQuotaExceeded, error.SystemResources => .AGAIN,
        error.Unsupported => .OPNOTSUPP,
        error.BadState => .ALREADY,
        error.OutOfRange => .RANGE,
        else => .INVAL,
    };
    return -@as(i32, @intCast(@intFromEnum(code)));
}

test "every known error keeps its own code" {
    try std.testing.expectEqual(@as(i32, -12), negativeErrno(error.OutOfMemory));
    try std.testing.expectEqual(@as(i32, -98), negativeErrno(error.AddressInUse));
    try std.testing.expectEqual(@as(i32, -22), negativeErrno(error.Malformed));
}
