//! A check: run by every vCPU at once between two barriers; each leaves its result.

const context = @import("context.zig");

pub const Check = struct {
    name: []const u8,
    /// What the cost means; the first word is its unit.
    unit: []const u8,
    /// Equal parts of one measured operation, when the cost is told for one part.
    parts: u64 = 1,
    run: *const fn (*context.Context) context.Failed!void,
};
