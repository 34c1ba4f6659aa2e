//! Every bound of the data plane in one place, with the relations between them checked at compile
//! time. A queue that has no line here has no business existing.

const std = @import("std");

pub const page_size = 4096;
pub const nodes_max = 64;
pub const vcpus_max = 255;
/// Local threads that may fault: vCPUs, the image loader, native test threads.
pub const threads_max = 256;
/// The slot of every thread that has none of its own: several may fault under it at once.
pub const unknown_thread = threads_max - 1;

comptime {
    if (threads_max < vcpus_max + 1) @compileError("each vCPU and the loader need a thread slot");
}

/// Messages one link keeps until they are acknowledged, and the receiver's window for them. More
/// than that wait their turn (transport/backlog.zig).
pub const link_messages = 4096;
/// Of these, what vCPUs and devices may take, whose guest sends as many interrupts as it likes;
/// beyond it they wait (engine/fabric.zig).
pub const fabric_messages = link_messages / 2;
/// Packets in flight per link.
pub const link_packets = 2048;
/// A page below the smallest path MTU worth serving (IPv6's 1280) takes 4 fragments.
pub const fragments_max = 4;
/// Messages or fragments one datagram may carry.
pub const frames_per_packet = 24;
/// How far ahead of all before it a packet number may be: more than a peer can send while none of
/// it arrives, and few enough that no number wraps.
pub const packet_jump_max = 1 << 32;
/// Received packet ranges remembered for acknowledgements.
pub const ack_ranges = 32;
pub const datagram_bytes_max = 65_000;
pub const mtu_min = 1280;
pub const rto_min_ns = 5 * ns_per_ms;
pub const rto_max_ns = 250 * ns_per_ms;
pub const ack_delay_ns = ns_per_ms;
pub const ns_per_ms = 1_000_000;
/// A port that refuses after it answered is noticed within this time however long silence may last;
/// counters are as old.
pub const watch_ns = 250 * ns_per_ms;
/// What the guest printed and nobody has taken. From three quarters on printers are told to wait.
pub const console_bytes = 256 * 1024;

comptime {
    // The built-in guest asks once for 16 bytes, and all its vCPUs may have asked.
    if (console_bytes / 4 < vcpus_max * 16) @compileError("vCPUs could print into no room");
}

/// Disks of the VM, each with a thread on the device node.
pub const disks_max = 8;
/// A peer that was heard may be silent for so long while no guest runs, or for its silence where
/// that is longer: nothing is lost then, and images may take their time.
pub const calm_silence_ns = 10_000 * ns_per_ms;
/// Whoever looks so late at its peers was held up itself, and they perhaps with it.
pub const stall_ns = 100 * ns_per_ms;
/// A peer whose engine was never heard, or refuses and never answered, is lost by then, or after
/// its silence where that is longer: all engines are started by one agreement.
pub const first_word_ns = 30_000 * ns_per_ms;
/// A device that has not answered a vCPU by then never will.
pub const io_patience_ns = 30_000 * ns_per_ms;

comptime {
    if (ack_delay_ns * 4 > rto_min_ns) @compileError("an acknowledgement must beat the time-out");
    if (link_messages & (link_messages - 1) != 0) @compileError("the window is indexed by mask");
    if (link_packets & (link_packets - 1) != 0) @compileError("the window is indexed by mask");
}

/// Requests for faults that one node may have outstanding: one kept for each local thread, the
/// loader and devices included, and as many again for faults that a signal withdrew while their
/// request was out.
pub const requests_max = 2 * threads_max;
/// Requests beside them for the other pages of gangs, and for what is fetched ahead.
pub const gang_requests_max = 256;
/// Pages a thread's gang remembers.
pub const gang_members_max = 256;
/// Write-backs of evicted pages one node may have outstanding.
pub const puts_max = 64;
/// Pages one gather may be granted: more than one instruction with its kernel entry needs.
pub const gather_pages_max = 1024;
/// Messages of a node to itself within one step; each is the consequence of one request.
pub const inbox_max = 1024;
/// Faults that wait for a request to end before they can become one themselves.
pub const parked_max = 4 * threads_max;
/// MSI-X vectors of one PCI function.
pub const msix_vectors_max = 64;

/// Page events a node remembers, 32 bytes each: a second or more of the busiest node.
pub const page_events = 1 << 16;
/// Questions of the control plane that wait for the engine, and as many for their page.
pub const questions_max = 16;
/// A page that has not come to a reader by then is said not to come.
pub const question_patience_ns = 5_000 * ns_per_ms;
/// Bytes of guest memory that one question stores.
pub const write_bytes_max = 256;
/// Int3s that a debugger may have in guest memory at once.
pub const int3s_max = 64;
/// Pages in one answer about the hottest.
pub const hot_pages_max = 512;
