//! What a message of another node to this machine must look like: a peer speaks for its own vCPUs,
//! to those of this node, in numbers the devices know. A correct node never fails this, so what
//! does ends the VM with a sentence (dsm/admit.zig is the same for coherence).
//!
//! Not judged here: whether there is a route or somebody waits for an answer. Both change while
//! messages are under way; bus.zig answers "failed" to the one and ignores the other.

const std = @import("std");
const m = @import("../wire/message.zig");
const data_max = @import("bus.zig").data_max;
const Machine = @import("machine.zig").Machine;
const Mode = @import("../apic/destination.zig").Mode;

/// The sentence that ends the VM, or null.
pub fn objection(machine: *Machine, from: m.NodeId, message: *const m.Message) ?[]const u8 {
    switch (message.*) {
        .ipi => |*ipi| {
            if (std.enums.fromInt(Mode, ipi.mode) == null) return "an interrupt of no known mode";
            for (ipi.targets) |index| {
                if (machine.local(index) == null) return "an interrupt for another node's vCPU";
            }
        },
        .apic_state => |*state| if (!owns(machine, from, state.vcpu)) {
            return "an APIC's state told by a node that does not run its vCPU";
        },
        .apic_ack => |*ack| {
            const vcpu = machine.local(ack.vcpu) orelse return "an answer for another node's vCPU";
            if (!vcpu.acks.possible(ack.seq)) return "an acknowledgement of what was not told";
        },
        .eoi => if (machine.board_node != machine.node) return "an EOI for a node without I/O APIC",
        .io_request => |*request| {
            if (!owns(machine, from, request.vcpu)) return "an access by another node's vCPU";
            return size(request);
        },
        .io_reply => |*reply| {
            if (machine.local(reply.vcpu) == null) return "an answer for another node's vCPU";
            if (reply.data.len > data_max) return "an answer longer than any access";
        },
        else => unreachable,
    }
    return null;
}

/// An instruction accesses up to 8 bytes, one that crosses a page what is left of them; string
/// instructions repeat that.
fn size(request: *const m.IoRequest) ?[]const u8 {
    const odd = "an access of a size no instruction has";
    if (request.size == 0 or request.size > 8) return odd;
    if (request.count == 0 or request.count > data_max) return odd;
    const bytes = request.size * request.count;
    if (bytes > data_max) return odd;
    const wanted = if (request.write) bytes else 0;
    return if (request.data.len == wanted) null else odd;
}

fn owns(machine: *const Machine, node: m.NodeId, vcpu: u8) bool {
    return vcpu >= machine.first[node] and vcpu < machine.first[node + 1];
}
