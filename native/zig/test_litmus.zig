//! Unit tests of the litmus shapes.

comptime {
    _ = @import("litmus/litmus.zig");
    _ = @import("litmus/shapes.zig");
    _ = @import("litmus/outcome.zig");
    _ = @import("litmus/model.zig");
    _ = @import("litmus/body.zig");
    _ = @import("litmus/layout.zig");
    _ = @import("litmus/report.zig");
    _ = @import("litmus/race.zig");
    _ = @import("litmus/request.zig");
    _ = @import("litmus/session.zig");
}
