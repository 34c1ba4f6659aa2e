//! What readings of two clocks say about them. PURE, so that unit tests see the check `tsc` fail,
//! which no host does whose guests all read one counter.
//!
//! Every reading lies somewhere between two others; nothing is concluded that a late reader could
//! bring about.

const std = @import("std");

/// Of the host's clock behind the PM timer (NTP slews it by up to 500) and of the rate KVM names.
const tolerance_ppm = 1000;
/// ACPI 6.5 section 4.8.3.3.
const pm_hz = 3_579_545;

/// Ticks of the receiver's TSC since the sender read its own; null when it was read before that,
/// which no order of events allows.
pub fn since(sent: u64, received: u64) ?u64 {
    return if (received >= sent) received - sent else null;
}

/// The PM timer, read somewhere between two readings of the TSC.
pub const Sample = struct { before: u64, pm: u32, after: u64 };

/// The rates the TSC may have had between two samples.
pub const Rates = struct {
    least_khz: u64,
    most_khz: u64,

    /// `second` at least two ticks of the PM timer after `first`.
    pub fn of(first: Sample, second: Sample) Rates {
        const ticks = second.pm -% first.pm;
        std.debug.assert(ticks > 1);
        // The true time lies up to one tick beside what was counted.
        return .{
            .least_khz = khz(second.before -| first.after, ticks + 1),
            .most_khz = khz(second.after - first.before, ticks - 1),
        };
    }

    pub fn contain(rates: Rates, told_khz: u64) bool {
        const slack = told_khz * tolerance_ppm / 1_000_000;
        return told_khz + slack >= rates.least_khz and told_khz <= rates.most_khz + slack;
    }
};

fn khz(cycles: u64, ticks: u64) u64 {
    return cycles * (pm_hz / 1000) / ticks + cycles * (pm_hz % 1000) / ticks / 1000;
}

const testing = std.testing;

test "a TSC that was read after the sender's is as late, an earlier one is none" {
    try testing.expectEqual(0, since(7, 7));
    try testing.expectEqual(3, since(7, 10));
    try testing.expectEqual(null, since(8, 7));
    try testing.expectEqual(null, since(1 << 63, 1));
}

/// 2 GHz; the sample is taken `us` after the start and takes `took_us` on either side.
fn sampleAt(us: u64, took_us: u64, tsc_khz: u64) Sample {
    const ticks: u32 = @truncate(0xffff_0000 + us * pm_hz / 1_000_000);
    return .{
        .before = (us - took_us) * tsc_khz / 1000,
        .pm = ticks,
        .after = (us + took_us) * tsc_khz / 1000,
    };
}

test "the told rate is among those of quick readings, one beside it is not" {
    const rates: Rates = .of(sampleAt(1000, 1, 2_000_000), sampleAt(101_000, 1, 2_000_000));
    try testing.expect(rates.contain(2_000_000));
    try testing.expect(rates.contain(2_001_000));
    try testing.expect(!rates.contain(2_003_000));
    try testing.expect(!rates.contain(1_997_000));
    try testing.expect(!rates.contain(1_000_000));
    try testing.expect(rates.least_khz <= rates.most_khz);
}

test "slow readings prove less, never something wrong" {
    const rates: Rates = .of(sampleAt(5000, 5000, 2_000_000), sampleAt(105_000, 5000, 2_000_000));
    try testing.expect(rates.contain(2_000_000));
    try testing.expect(rates.contain(2_150_000));
    try testing.expect(!rates.contain(2_300_000));
    try testing.expect(!rates.contain(1_700_000));
    // One of them late by any time: still no other rate than the true one is required.
    const late: Rates = .of(sampleAt(1000, 1, 2_000_000), sampleAt(400_000, 390_000, 2_000_000));
    try testing.expect(late.contain(2_000_000));
}

test "minutes at 5 GHz do not overflow" {
    const minutes = 15 * 60 * 1_000_000;
    const rates: Rates = .of(sampleAt(1000, 1, 5_000_000), sampleAt(minutes, 1, 5_000_000));
    try testing.expect(rates.contain(5_000_000));
    try testing.expect(!rates.contain(5_010_000));
}
