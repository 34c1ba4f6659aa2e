//! The rules that keep memory coherent, each with a switch: tests turn one off and must see the
//! checkers notice. All are on in every real run.

const std = @import("std");

pub const Guards = packed struct(u18) {
    /// A busy page serves one transaction at a time.
    defer_while_busy: bool = true,
    /// A writer waits until every old copy is gone.
    wait_all_acks: bool = true,
    /// Copies are told to go at all.
    invalidate_sharers: bool = true,
    /// A forwarded read keeps the page busy until the bytes are home.
    write_back_before_done_complete: bool = true,
    /// The version changes with every grant of the right to write.
    version_bump: bool = true,
    /// Also with the one that costs no message, home memory that nobody else uses.
    version_bump_alone: bool = true,
    /// "You hold these bytes already" is said only of equal versions.
    version_check: bool = true,
    /// The owner's mapping is made read-only before its bytes are read.
    protect_before_read: bool = true,
    /// A copy that must go is unmapped before anyone hears that it is gone.
    drop_before_answer: bool = true,
    /// What was deferred is answered before an own request for the same page leaves.
    answer_before_request: bool = true,
    /// Holders learn that an older request waits.
    hurry: bool = true,
    /// Pages stay with their gather for a while.
    residency: bool = true,
    /// A gather gives its pages to older ones.
    gather_age: bool = true,
    /// An evicted page's bytes answer until the home has acknowledged.
    put_kept: bool = true,
    /// A Put that meets a busy page gives nothing: the transaction has the bytes, or will.
    busy_put_ignored: bool = true,
    /// A page on its way home is asked for again only after the PutAck.
    put_ack: bool = true,
    /// Waiting requests are served by age.
    oldest_first: bool = true,
    /// Bytes with which somebody may be answered are not forgotten.
    bytes_kept: bool = true,

    pub fn allOn(self: Guards) bool {
        return self == Guards{};
    }

    /// All on but the named one; null for an unknown name. "" switches nothing off.
    pub fn without(name: []const u8) ?Guards {
        var guards: Guards = .{};
        if (name.len == 0) return guards;
        inline for (@typeInfo(Guards).@"struct".fields) |field| {
            if (std.mem.eql(u8, field.name, name)) {
                @field(guards, field.name) = false;
                return guards;
            }
        }
        return null;
    }
};

test "a guard is found by its name" {
    try std.testing.expect(!Guards.without("hurry").?.hurry);
    try std.testing.expect(!Guards.without("hurry").?.allOn());
    try std.testing.expect(Guards.without("").?.allOn());
    try std.testing.expectEqual(null, Guards.without("nonsense"));
}
