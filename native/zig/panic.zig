//! What a failed assertion does: say so on stderr, restore the terminal, abort. Continuing with a
//! broken invariant could lose a store; the peers see the closed socket and stop.

const std = @import("std");
const linux = std.os.linux;

var saved: ?linux.termios = null;

/// Remembers the terminal's settings before anyone makes it raw: the first call counts.
pub fn rememberTerminal() void {
    if (saved != null) return;
    var settings: linux.termios = undefined;
    if (linux.errno(linux.tcgetattr(0, &settings)) == .SUCCESS) saved = settings;
}

pub fn onPanic(message: []const u8, first_trace_address: ?usize) noreturn {
    if (saved) |*settings| _ = linux.tcsetattr(0, .FLUSH, settings);
    write("giantvm: internal error in the data plane: ");
    write(message);
    // The place, as a distance from gvm_anchor: `nm libgiantvm.so` and addr2line find the line.
    var text: [64]u8 = undefined;
    const at = @as(i128, first_trace_address orelse @returnAddress()) - @intFromPtr(&anchor);
    write(std.fmt.bufPrint(&text, " (at gvm_anchor {d})\n", .{at}) catch "\n");
    // Bun catches SIGABRT and would blame itself for the crash.
    const default: linux.Sigaction = .{
        .handler = .{ .handler = linux.SIG.DFL },
        .mask = linux.sigemptyset(),
        .flags = 0,
    };
    _ = linux.sigaction(.ABRT, &default, null);
    std.c.abort();
}

/// A symbol to measure from.
fn anchor() callconv(.c) void {}

comptime {
    @export(&anchor, .{ .name = "gvm_anchor" });
}

fn write(text: []const u8) void {
    _ = linux.write(2, text.ptr, text.len);
}
