//! A whole run: every case of every shape asked for, in batches. All threads call `run`; the first
//! one also adds up and prints.
//!
//! A batch: all run its instances; one thread, another each time, reads what x and y ended as and
//! clears them; the first adds up what all saw while the others go on to the next gate. Roles
//! rotate too, so that each of a shape's threads runs on each vCPU.

const std = @import("std");
const body = @import("body.zig");
const layout_room = @import("layout.zig");
const model = @import("model.zig");
const outcome_room = @import("outcome.zig");
const race = @import("race.zig");
const report = @import("report.zig");
const shapes = @import("shapes.zig");
const Case = shapes.Case;
const Histogram = outcome_room.Histogram;
const Layout = layout_room.Layout;
const Request = @import("request.zig").Request;

/// Shared by all threads; zero at first.
pub const Control = extern struct {
    gate: race.Gate,
    pace: [shapes.Placement.all.len][2]u64,
    rest: [layout_room.page - shapes.Placement.all.len * 16]u8,
};

/// For the first thread's sums alone.
pub const Work = struct {
    search: model.Search,
    allowed: Histogram,
    seen: Histogram,
};

pub const Setup = struct {
    request: *const Request,
    /// Memory of the instances, one region per node, zero at first.
    regions: []const u64,
    /// Where one node's memory ends and the next's begins; zero at first around them.
    borders: []const u64,
    control: *Control,
    privates: []const *race.Private,
    /// What the threads' places on the nodes promise.
    order: model.Order,
    /// No page comes from another node in so few ticks.
    slow_ticks: u64,
    /// From the last arrival at a gate to the start.
    lead_ticks: u64,
};

/// Every so many batches are scattered, the first one included; odd, so that roles rotate in those,
/// too.
const scattered_every = 5;
/// Cases across pages have a quarter of the others' iterations: each moves pages.
const across_share = 4;
/// Cases at a border of two nodes' memories have a batch for each iteration.
const border_share = 1000;
const cases_whole = 6;
const cases_across = 3;

fn iterationsOf(request: *const Request, placement: shapes.Placement) u64 {
    if (placement == .border) return request.iterations / border_share + 1;
    const parts = across_share * cases_whole + cases_across;
    const across = request.iterations / parts + 1;
    return if (placement == .across) across else across * across_share;
}

/// One thread of a run. `host` waits (`patience()`), and prints (`out()`) on the first.
pub fn Thread(comptime Host: type) type {
    return struct {
        host: Host,
        setup: *const Setup,
        me: usize,
        /// Only on the first.
        work: ?*Work,
        random: layout_room.Random,
        round: u64 = 0,
        /// Batches so far, of all cases: roles and who collects go by it.
        turn: usize = 0,
        moved: u64 = 0,
        /// Outcomes no correct machine shows, in all cases so far.
        forbidden: u64 = 0,

        const Self = @This();

        pub fn run(self: *Self) !void {
            const first = 2 * self.setup.slow_ticks;
            if (self.work != null) self.setup.control.pace = @splat(@splat(first));
            var wanted = self.setup.request.wanted.iterator(.{});
            while (wanted.next()) |index| {
                for (shapes.Sync.all) |sync| for (shapes.Placement.all) |placement| {
                    if (placement == .border and self.setup.borders.len == 0) continue;
                    const shape = &shapes.all[index];
                    try self.runCase(&.{ .shape = shape, .sync = sync, .placement = placement });
                };
            }
        }

        fn runCase(self: *Self, case: *const Case) !void {
            const setup = self.setup;
            var layout: Layout = .{
                .regions = setup.regions,
                .borders = setup.borders,
                .placement = case.placement,
                .style = .scattered,
            };
            const iterations = iterationsOf(setup.request, case.placement);
            const size = layout.batchOf(iterations);
            if (self.work) |work| {
                work.search.run(case, setup.order, &work.allowed);
                work.seen.length = 0;
                work.seen.others = 0;
                self.moved = 0;
            }
            const batches = (iterations + size - 1) / size;
            for (0..@intCast(batches)) |index| {
                layout.style = if (index % scattered_every == 0) .scattered else .page_by_page;
                try self.runBatch(case, &layout, size);
                self.turn += 1;
            }
            if (self.work) |work| self.conclude(case, work);
        }

        fn runBatch(
            self: *Self,
            case: *const Case,
            layout: *const Layout,
            size: usize,
        ) !void {
            const setup = self.setup;
            const all = setup.privates.len;
            const mine = setup.privates[self.me];
            const seed = (setup.request.seed +% self.round) *% 0x9e3779b97f4a7c15;
            layout.visit(seed, mine.order[0..size]);
            const start = try self.pass();
            const gap = self.pace(layout).*;
            race.run(&.{
                .layout = layout,
                .body = body.of(case, (self.me + self.turn) % all),
                .size = size,
                .start = start,
                .pace = gap,
                .jitter = race.jitterOf(layout, gap),
                .slow_ticks = setup.slow_ticks,
            }, mine, &self.random);
            _ = try self.pass();
            const collector = self.turn % all;
            if (self.me == collector) race.collect(layout, size, mine);
            _ = try self.pass();
            if (self.work) |work| {
                self.addUp(work, size);
                const p = self.pace(layout);
                p.* = race.paceAfter(p.*, layout.hops(), self.waitOf(), setup.slow_ticks);
            }
        }

        fn pace(self: *const Self, layout: *const Layout) *u64 {
            const paces = &self.setup.control.pace;
            return &paces[@intFromEnum(layout.placement)][@intFromEnum(layout.style)];
        }

        fn pass(self: *Self) !u64 {
            self.round += 1;
            const setup = self.setup;
            var patience = self.host.patience();
            const all = setup.privates.len;
            return setup.control.gate.pass(all, self.round, setup.lead_ticks, &patience);
        }

        fn addUp(self: *Self, work: *Work, size: usize) void {
            const privates = self.setup.privates;
            const collector = privates[self.turn % privates.len];
            for (0..size) |instance| {
                var outcome: outcome_room.Outcome = .{ .memory = collector.memory[instance] };
                var slow: u8 = 0;
                for (privates, 0..) |private, thread| {
                    const role = (thread + self.turn) % privates.len;
                    outcome.registers[role] = private.registers[instance];
                    slow |= private.slow[instance];
                }
                work.seen.add(&outcome, 1);
                self.moved += slow;
            }
        }

        /// What a wait for a page took in the last batch; 0 when nobody waited.
        fn waitOf(self: *const Self) u64 {
            var waits: u64 = 0;
            var waited: u64 = 0;
            for (self.setup.privates) |private| {
                waits += private.waits;
                waited += private.waited;
            }
            return waited / @max(waits, 1);
        }

        fn conclude(self: *Self, case: *const Case, work: *Work) void {
            self.forbidden += work.seen.outside(&work.allowed);
            report.print(self.host.out(), &.{
                .case = case,
                .order = self.setup.order,
                .seen = &work.seen,
                .allowed = &work.allowed,
                .moved = self.moved,
            });
        }
    };
}
