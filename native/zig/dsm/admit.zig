//! What a message of another node must look like before any role sees it: said by the one who may
//! say it, about a page, nodes and numbers there are. A correct node never fails this, so what does
//! ends the VM with a sentence, as every broken invariant does, and no assertion behind it depends
//! on a peer.
//!
//! Intuition: who may say what follows from the page's home, which both sides know. What depends on
//! the state of the transaction is judged by the role that keeps it (Dsm.refuse).

const std = @import("std");
const limits = @import("../limits.zig");
const age_youngest = @import("gather.zig").age_youngest;
const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;

/// Ages count gathers and versions count grants: neither gets this far, and there is as much room
/// again before the fields that hold them wrap.
const count_max = 1 << 46;

/// The sentence that ends the VM, or null.
pub fn objection(d: *const Dsm, from: m.NodeId, message: *const m.Message) ?[]const u8 {
    switch (message.*) {
        .ipi, .apic_state, .apic_ack, .eoi, .io_request, .io_reply => {
            return "not a message of coherence";
        },
        inline else => |*body, kind| {
            if (body.page >= d.local.len) return "a page outside RAM";
            const home = d.homeOf(body.page);
            if (wrongWay(d, kind, from, home, body.tx)) |reason| return reason;
            return fields(d, body);
        },
    }
}

fn wrongWay(
    d: *const Dsm,
    kind: m.Kind,
    from: m.NodeId,
    home: m.NodeId,
    tx: m.Tx,
) ?[]const u8 {
    const of: u64 = tx >> 56;
    switch (kind) {
        .get, .put => {
            if (home != d.node) return "a request for a page of another home";
            if (of != from) return "a request under another node's name";
        },
        .done => {
            if (home != d.node) return "a Done for a page of another home";
            if (of != from) return "a Done under another node's name";
        },
        .write_back => if (home != d.node) return "a WriteBack for a page of another home",
        .fwd, .inv => if (home != from) return "an order from a node that is not the page's home",
        .put_ack => {
            if (home != from) return "a PutAck from a node that is not the page's home";
            if (of != d.node) return "a PutAck for another node's Put";
        },
        .data, .inv_ack => if (of != d.node) return "an answer to another node's request",
        .hurry => if (home != from and (home != d.node or of != from)) {
            return "a Hurry from a node that neither asks nor is the page's home";
        },
        .ipi, .apic_state, .apic_ack, .eoi, .io_request, .io_reply => unreachable,
    }
    return null;
}

fn fields(d: *const Dsm, body: anytype) ?[]const u8 {
    const Body = @TypeOf(body.*);
    if (@hasField(Body, "version") and body.version >= count_max) return "an impossible version";
    if (@hasField(Body, "next") and body.next >= count_max) return "an impossible version";
    // What is fetched ahead is of no gather.
    if (@hasField(Body, "age") and body.age != age_youngest and body.age >> 16 >= count_max) {
        return "an impossible age";
    }
    if (@hasField(Body, "requester")) {
        if (body.requester >= d.nodes or body.requester == d.node) return "an order for nobody";
        if (body.tx >> 56 != body.requester) return "an order for another node's request";
    }
    if (@hasField(Body, "acks")) {
        const others = (@as(u64, std.math.maxInt(u64)) >> @intCast(64 - @as(u8, d.nodes))) &
            ~(@as(u64, 1) << @intCast(d.node));
        if (body.acks & ~others != 0) return "acknowledgements of nodes there are not";
    }
    if (@hasField(Body, "content")) {
        const wanted: usize = if (body.content == .bytes) limits.page_size else 0;
        if (body.bytes.len != wanted) return "a page of another size";
        // Only a requester can hold the bytes already.
        if (body.content == .same and Body != m.Data) return "a page handed back without its bytes";
    }
    return null;
}
