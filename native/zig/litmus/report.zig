//! A case's result in the words of litmus7, and one line for programs:
//! `litmus NAME model=tso|sc iterations=N moved=N condition=N forbidden=N`.
//!
//! `out` has text, number and hex, as the console of the built-in guest.

const std = @import("std");
const outcome_room = @import("outcome.zig");
const shapes = @import("shapes.zig");
const Case = shapes.Case;
const Histogram = outcome_room.Histogram;
const Order = @import("model.zig").Order;
const Outcome = outcome_room.Outcome;

pub const Result = struct {
    case: *const Case,
    order: Order,
    seen: *const Histogram,
    allowed: *const Histogram,
    /// Iterations in which a page was moved.
    moved: u64,
};

pub fn print(out: anytype, result: *const Result) void {
    const case = result.case;
    const seen = result.seen;
    const forbidden = seen.outside(result.allowed);
    var positive: u64 = 0;
    out.text("Test ");
    name(out, case);
    out.text(" Allowed\nHistogram (");
    out.number(seen.length);
    out.text(" states)\n");
    for (seen.slice()) |*state| {
        const holds = state.outcome.satisfies(case.shape, outcome_room.unitOf(case.placement));
        if (holds) positive += state.count;
        out.number(state.count);
        out.text(if (holds) " *>" else " :>");
        const forbids = !result.allowed.has(&state.outcome);
        values(out, case, &state.outcome, forbids);
        out.text(if (forbids) " (forbidden)\n" else "\n");
    }
    out.text(if (positive > 0) "Ok\n\n" else "No\n\n");
    out.text("Witnesses\nPositive: ");
    out.number(positive);
    out.text(", Negative: ");
    out.number(seen.total() - positive);
    out.text("\nCondition ");
    condition(out, case);
    out.text(if (positive > 0) " is validated\n" else " is NOT validated\n");
    observation(out, result, positive);
    out.text("litmus ");
    name(out, case);
    out.text(if (result.order == .tso) " model=tso" else " model=sc");
    field(out, " iterations=", seen.total());
    field(out, " moved=", result.moved);
    field(out, " condition=", positive);
    field(out, " forbidden=", forbidden);
    out.text("\n");
}

fn observation(out: anytype, result: *const Result, positive: u64) void {
    const negative = result.seen.total() - positive;
    out.text("Observation ");
    name(out, result.case);
    out.text(if (positive == 0) " Never" else if (negative == 0) " Always" else " Sometimes");
    field(out, " ", positive);
    field(out, " ", negative);
    out.text("\n");
}

fn field(out: anytype, label: []const u8, count: u64) void {
    out.text(label);
    out.number(count);
}

/// As the catalogue builds names, e.g. SB+mfences, then where the locations lie.
pub fn name(out: anytype, case: *const Case) void {
    out.text(case.shape.name);
    out.text(switch (case.sync) {
        .plain => "",
        .mfences => "+mfences",
        .locked => "+locks",
    });
    out.text(switch (case.placement) {
        .same_page => "+page",
        .two_pages => "+pages",
        .across => "+across",
        .border => "+border",
    });
}

fn values(out: anytype, case: *const Case, outcome: *const Outcome, forbidden: bool) void {
    var first = true;
    for (case.shape.threads, 0..) |ops, thread| for (ops) |op| if (op == .load) {
        if (!first) out.text(" ");
        first = false;
        register(out, thread, op.load.into);
        value(out, case, op.load.from, //
            outcome.registers[thread][@intFromEnum(op.load.into)]);
        out.text(";");
    };
    if (!case.shape.showsMemory() and !forbidden) return;
    for ([_]shapes.Location{ .x, .y }) |location| {
        if (!first) out.text(" ");
        first = false;
        out.text(@tagName(location));
        out.text("=");
        value(out, case, location, outcome.memory[@intFromEnum(location)]);
        out.text(";");
    }
}

fn register(out: anytype, thread: usize, which: shapes.Register) void {
    out.number(thread);
    out.text(if (which == .eax) ":EAX=" else ":EBX=");
}

/// Both halves of x show where it lies across pages.
fn value(out: anytype, case: *const Case, location: shapes.Location, v: u32) void {
    if (case.placement.splits() and location == .x) out.hex(v) else out.number(v);
}

fn condition(out: anytype, case: *const Case) void {
    const unit = outcome_room.unitOf(case.placement);
    out.text("exists (");
    for (case.shape.condition, 0..) |term, i| {
        if (i > 0) out.text(" /\\ ");
        switch (term) {
            .memory => |wanted| {
                out.text(@tagName(wanted.location));
                out.text("=");
                const v = wanted.value * outcome_room.scale(wanted.location, unit);
                value(out, case, wanted.location, v);
            },
            .register => |wanted| {
                register(out, wanted.thread, wanted.register);
                const from = outcome_room.source(case.shape, wanted.thread, wanted.register);
                value(out, case, from, wanted.value * outcome_room.scale(from, unit));
            },
        }
    }
    out.text(")");
}

/// Text in memory, for tests and for a program that writes it out.
pub const Text = struct {
    bytes: [32 << 10]u8 = undefined,
    length: usize = 0,

    pub fn slice(out: *const Text) []const u8 {
        return out.bytes[0..out.length];
    }

    pub fn text(out: *Text, more: []const u8) void {
        @memcpy(out.bytes[out.length..][0..more.len], more);
        out.length += more.len;
    }

    pub fn number(out: *Text, v: u64) void {
        out.formatted("{d}", v);
    }

    pub fn hex(out: *Text, v: u64) void {
        out.formatted("0x{x}", v);
    }

    fn formatted(out: *Text, comptime format: []const u8, v: u64) void {
        const rest = out.bytes[out.length..];
        out.length += (std.fmt.bufPrint(rest, format, .{v}) catch unreachable).len;
    }
};

test "the words of litmus7" {
    var seen: Histogram = .{};
    var allowed: Histogram = .{};
    var outcome: Outcome = .{ .memory = .{ 1, 1 } };
    seen.add(&outcome, 1);
    outcome.registers[1][0] = 1;
    seen.add(&outcome, 3);
    allowed.add(&outcome, 1);
    const sb: Case = .{ .shape = shapes.named("SB").?, .sync = .mfences, .placement = .two_pages };
    var out: Text = .{};
    print(&out, &.{ .case = &sb, .order = .sc, .seen = &seen, .allowed = &allowed, .moved = 2 });
    try std.testing.expectEqualStrings(
        \\Test SB+mfences+pages Allowed
        \\Histogram (2 states)
        \\1 *>0:EAX=0; 1:EAX=0; x=1; y=1; (forbidden)
        \\3 :>0:EAX=0; 1:EAX=1;
        \\Ok
        \\
        \\Witnesses
        \\Positive: 1, Negative: 3
        \\Condition exists (0:EAX=0 /\ 1:EAX=0) is validated
        \\Observation SB+mfences+pages Sometimes 1 3
        \\litmus SB+mfences+pages model=sc iterations=4 moved=2 condition=1 forbidden=1
        \\
    , out.slice());
}

test "final memory and halves of x" {
    var seen: Histogram = .{};
    const outcome: Outcome = .{
        .memory = .{ 0x10002, 1 },
        .registers = .{ .{ 0, 0 }, .{ 1, 0 }, .{ 0, 0 }, .{ 0, 0 } },
    };
    seen.add(&outcome, 5);
    const s: Case = .{ .shape = shapes.named("S").?, .sync = .locked, .placement = .across };
    var out: Text = .{};
    print(&out, &.{ .case = &s, .order = .tso, .seen = &seen, .allowed = &seen, .moved = 5 });
    const found = std.mem.indexOf(u8, out.slice(), "5 :>1:EAX=1; x=0x10002; y=1;\nNo\n");
    try std.testing.expect(found != null);
    const wanted = "exists (x=0x20002 /\\ 1:EAX=1) is NOT validated\nObservation S+locks+across ";
    try std.testing.expect(std.mem.indexOf(u8, out.slice(), wanted) != null);
}
