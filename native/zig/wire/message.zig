//! Everything that crosses between the data planes of two nodes: coherence (dsm/) and the machine
//! (vm/). One flat tagged union, so that the codec, the trace and the simulator need no second
//! list. The layout on the wire is docs/wire.cddl: a CBOR array, kind first, fields in this order.

const std = @import("std");

pub const NodeId = u8;
/// Index of a 4 KiB page in guest RAM, counted densely (not a guest physical frame number).
pub const Page = u32;

/// Sender's priority; lower leaves first. Invalidations, acks and interrupts never wait for bulk.
pub const Class = enum(u8) { urgent = 0, control = 1, bulk = 2 };

pub const Access = enum(u8) { read = 0, write = 1 };

/// Identifies one request of one node for one page; never reused: node in the top byte.
pub const Tx = u64;

pub const Get = struct {
    page: Page,
    tx: Tx,
    access: Access,
    /// Version of the bytes the requester still holds beside the page, 0 = none.
    version: u64,
    age: u64,
};
pub const Fwd = struct {
    page: Page,
    tx: Tx,
    access: Access,
    requester: NodeId,
    version: u64,
    /// The version the page has after this transaction.
    next: u64,
    age: u64,
};
pub const Content = enum(u8) { bytes = 0, zero = 1, same = 2 };
pub const Data = struct {
    page: Page,
    tx: Tx,
    access: Access,
    version: u64,
    /// InvAcks the requester waits for before it may use the page, as a set of nodes.
    acks: u64,
    content: Content,
    /// Exactly one page when content is bytes, else empty.
    bytes: []const u8,
};
pub const WriteBack = struct {
    page: Page,
    tx: Tx,
    version: u64,
    content: Content,
    bytes: []const u8,
};
pub const Inv = struct { page: Page, tx: Tx, requester: NodeId, version: u64, age: u64 };
pub const InvAck = struct { page: Page, tx: Tx };
pub const Hurry = struct { page: Page, tx: Tx, age: u64 };
pub const Done = struct { page: Page, tx: Tx };
pub const Put = struct { page: Page, tx: Tx, version: u64, content: Content, bytes: []const u8 };
pub const PutAck = struct { page: Page, tx: Tx };

/// Interrupt for vCPUs of the receiving node. `targets`: global vCPU indices.
pub const Ipi = struct {
    /// Delivery mode of Intel SDM vol. 3A 11.6.1: 0 fixed, 1 lowest, 2 SMI, 4 NMI, 5 INIT, 6 SIPI.
    mode: u8,
    vector: u8,
    level: bool,
    targets: []const u8,
};
/// Replicated destination state of one vCPU's local APIC; answered by ApicAck with the same seq.
pub const ApicState = struct {
    vcpu: u8,
    seq: u64,
    base: u64,
    id: u32,
    ldr: u32,
    dfr: u32,
    enabled: bool,
};
pub const ApicAck = struct { vcpu: u8, seq: u64 };
/// End of a level-triggered interrupt, to the node of the I/O APIC.
pub const Eoi = struct { vector: u8 };
pub const Space = enum(u8) { port = 0, mmio = 1 };
/// One forwarded access: `count` units of `size` bytes at `address`; exactly once per (vcpu, seq).
pub const IoRequest = struct {
    vcpu: u8,
    seq: u64,
    space: Space,
    write: bool,
    address: u64,
    size: u8,
    count: u32,
    /// size * count bytes for a write, else empty.
    data: []const u8,
};
pub const IoReply = struct { vcpu: u8, seq: u64, status: u8, data: []const u8 };

pub const Kind = enum(u8) {
    get = 16,
    fwd = 17,
    data = 18,
    write_back = 19,
    inv = 20,
    inv_ack = 21,
    hurry = 22,
    done = 23,
    put = 24,
    put_ack = 25,
    ipi = 32,
    apic_state = 33,
    apic_ack = 34,
    eoi = 35,
    io_request = 36,
    io_reply = 37,
};

pub const Message = union(Kind) {
    get: Get,
    fwd: Fwd,
    data: Data,
    write_back: WriteBack,
    inv: Inv,
    inv_ack: InvAck,
    hurry: Hurry,
    done: Done,
    put: Put,
    put_ack: PutAck,
    ipi: Ipi,
    apic_state: ApicState,
    apic_ack: ApicAck,
    eoi: Eoi,
    io_request: IoRequest,
    io_reply: IoReply,

    pub fn isCoherence(self: *const Message) bool {
        return @intFromEnum(std.meta.activeTag(self.*)) < @intFromEnum(Kind.ipi);
    }

    pub fn classOf(self: *const Message) Class {
        return switch (self.*) {
            .inv, .inv_ack, .hurry, .done, .put_ack, .ipi, .apic_state, .apic_ack, .eoi => .urgent,
            .get, .fwd, .io_request, .io_reply => .control,
            .data => |d| if (d.content == .bytes) .bulk else .urgent,
            .write_back, .put => .bulk,
        };
    }

    /// Messages of one key keep their order between a pair of nodes, across classes. Coherence: the
    /// page. Interrupts: one key per sending node, because INIT must stay before SIPI and an EOI
    /// before the next edge; an answer to an access does not overtake an interrupt that left
    /// before it, as on a bus (PCI Local Bus 3.0, 3.2.5). Accesses: the vCPU.
    pub fn orderKey(self: *const Message) u64 {
        const page_key: u64 = 1 << 32;
        const interrupt_key: u64 = 2 << 32;
        const io_key: u64 = 3 << 32;
        return switch (self.*) {
            .ipi, .apic_state, .apic_ack, .eoi, .io_reply => interrupt_key,
            .io_request => |m| io_key | m.vcpu,
            inline else => |m| page_key | m.page,
        };
    }

    /// One line for traces: kind, page, the low part of the transaction, then what matters.
    pub fn format(self: Message, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        try writer.print("{t}", .{self});
        switch (self) {
            inline else => |body| inline for (@typeInfo(@TypeOf(body)).@"struct".fields) |field| {
                const value = @field(body, field.name);
                switch (@typeInfo(field.type)) {
                    .int => try writer.print(" {s}={x}", .{ field.name, value }),
                    .@"enum" => try writer.print(" {t}", .{value}),
                    .pointer => try writer.print(" {s}[{d}]", .{ field.name, value.len }),
                    else => {},
                }
            },
        }
    }
};
