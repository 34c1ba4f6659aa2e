//! Text out, one byte per store to the probe device: works from ring 3 and ring 0, on any node,
//! and needs no memory that another vCPU could hold. Waits while nobody takes what was printed.

const Info = @import("info.zig").Info;

/// Offsets in the probe device (native/zig/devices).
const console_offset = 0x80;
/// Bytes that may be printed after the device said once that there is room.
const piece = 16;
const power_offset = 0x88;

pub const Console = struct {
    info: *const Info,

    pub fn text(console: Console, bytes: []const u8) void {
        const out: *volatile u8 = @ptrFromInt(console.info.probe_gpa + console_offset);
        for (bytes, 0..) |byte, i| {
            if (i % piece == 0) while (out.* == 0) asm volatile ("pause" ::: .{ .memory = true });
            out.* = byte;
        }
    }

    pub fn number(console: Console, value: u64) void {
        console.digits(value, 10, 1);
    }

    pub fn hex(console: Console, value: u64) void {
        console.text("0x");
        console.digits(value, 16, 1);
    }

    /// Thousandths as a decimal fraction: 1234 is "1.23".
    pub fn thousandths(console: Console, value: u64) void {
        console.number(value / 1000);
        console.text(".");
        console.digits(value % 1000 / 10, 10, 2);
    }

    fn digits(console: Console, value: u64, base: u64, width: usize) void {
        var buffer: [20]u8 = undefined;
        var rest = value;
        var at: usize = buffer.len;
        while (rest != 0 or buffer.len - at < width) {
            at -= 1;
            const digit: u8 = @truncate(rest % base);
            buffer[at] = if (digit < 10) '0' + digit else 'a' + digit - 10;
            rest /= base;
        }
        console.text(buffer[at..]);
    }
};

/// Ends the machine with the verdict: 0 passed, 1 failed.
pub fn powerOff(info: *const Info, code: u32) noreturn {
    const register: *volatile u32 = @ptrFromInt(info.probe_gpa + power_offset);
    register.* = code;
    while (true) asm volatile ("pause" ::: .{ .memory = true });
}
