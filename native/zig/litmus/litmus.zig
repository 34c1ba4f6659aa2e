//! The room's front door, for the built-in guest (which has it as the module "litmus") and for the
//! native program.

pub const layout = @import("layout.zig");
pub const model = @import("model.zig");
pub const race = @import("race.zig");
pub const report = @import("report.zig");
pub const request = @import("request.zig");
pub const session = @import("session.zig");
