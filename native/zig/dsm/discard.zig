//! Bytes that nobody needs: those of pages this node has lost. It forgets them, and its host gives
//! the memory back.

const m = @import("../wire/message.zig");
const Dsm = @import("dsm.zig").Dsm;
const nobody = @import("home.zig").nobody;

/// False where the page is held, nothing is kept of it, or somebody may still be answered with it.
pub fn discard(d: *Dsm, host: anytype, page: m.Page) bool {
    const local = &d.local[page];
    if (d.failed or local.version == 0 or local.state != .invalid) return false;
    if (d.guards.bytes_kept and needed(d, page)) return false;
    local.version = 0;
    host.forget(page);
    return true;
}

fn needed(d: *Dsm, page: m.Page) bool {
    // The home may say that they are right still; who asks for a page on its way home gets them.
    if (d.pending.has(page) or d.evicting.has(page)) return true;
    if (d.homeOf(page) != d.node) return false;
    // At home they are the page, unless another node may write it.
    return d.busy.has(page) or d.entryOf(page).owner == nobody;
}
