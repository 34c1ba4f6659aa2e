//! Unit tests of the wire and the transport.

comptime {
    _ = @import("wire/cbor.zig");
    _ = @import("wire/codec.zig");
    _ = @import("wire/vectors_test.zig");
    _ = @import("transport/backlog.zig");
    _ = @import("transport/outgoing.zig");
    _ = @import("transport/header.zig");
    _ = @import("transport/rtt.zig");
    _ = @import("transport/congestion.zig");
    _ = @import("transport/path.zig");
    _ = @import("transport/ranges.zig");
    _ = @import("transport/frame.zig");
    _ = @import("transport/link_test.zig");
    _ = @import("sim/scenarios.zig");
    _ = @import("sim/transport.zig");
}
