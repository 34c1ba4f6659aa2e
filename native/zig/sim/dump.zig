//! What every node has under way when a traced run fails: a stalled request shows here as a chain
//! of who waits for whom (docs/simulator.md).

const std = @import("std");
const Dsm = @import("../dsm/dsm.zig").Dsm;
const Sim = @import("coherence.zig").Sim;

const print = std.debug.print;

pub fn dump(sim: *Sim) void {
    for (sim.nodes, 0..) |*node, i| {
        tables(&node.dsm, i);
        for (node.threads, 0..) |*thread, number| {
            const believed = node.dsm.gathers.threads[number];
            const age = believed.records[believed.current].age;
            print("node {d} thread {d} left={d} waits={?x} believed={?x} age={x}\n", .{
                i, number, thread.left, thread.waits_for, believed.waits_for, age,
            });
        }
    }
}

fn tables(d: *Dsm, node: usize) void {
    for (d.busy.slice()) |*busy| print("node {d} busy {x} tx={x} age={x} done={} back={}\n", .{
        node,
        busy.page,
        busy.current.tx,
        busy.age,
        !busy.wait_done,
        !busy.wait_write_back,
    });
    for (d.pending.slice()) |*item| print("node {d} pending {x} tx={x} age={x} data={}\n", .{
        node, item.page, item.tx, item.age, item.have_data,
    });
    for (d.deferred.slice()) |*item| print("node {d} deferred {x} {t} age={x} thread={d}/{d}\n", .{
        node, item.page, item.order, item.age, item.holder.thread, item.holder.index,
    });
    for (d.parked.slice()) |*item| print("node {d} parked {x} {t}\n", .{
        node, item.page, item.access,
    });
    for (d.evicting.slice()) |*item| print("node {d} evicting {x} tx={x}\n", .{
        node, item.page, item.tx,
    });
}
