//! Rules of the transport that tests can switch off one at a time, to see the checks notice. In any
//! program that does not ask for it (`pub const mutants` in its root file) they are constants.

const builtin = @import("builtin");
const root = @import("root");

pub const switchable = builtin.is_test or @hasDecl(root, "mutants");

pub const Guard = enum {
    /// A message that was delivered is not delivered again.
    duplicate_suppression,
    /// A message waits for the one before it of its key.
    key_order,
    /// And for that one only.
    keys_apart,
    /// A datagram of another epoch is dropped.
    epoch_check,
    /// What a lost packet carried is sent again.
    retransmission,
    /// As soon as later packets are acknowledged.
    fast_retransmit,
    /// An acknowledgement covers the packets it names, not those between them.
    exact_acks,
    /// A message is delivered when its last part has come.
    all_parts,
    /// What waits for room is not overtaken by what comes when there is some.
    backlog_first,
    /// Urgent before control before bulk, in every datagram.
    urgent_first,
};

pub var off: ?Guard = null;

pub inline fn on(comptime guard: Guard) bool {
    return if (switchable) off != guard else true;
}
