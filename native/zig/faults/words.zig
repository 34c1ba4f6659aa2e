//! Arguments of the test programs: `name=value` words, read into a struct. The field's name is the
//! option's, its type says what a value looks like, its default makes it optional; so the parser,
//! the message about a wrong word and the list of options are one thing.

const std = @import("std");

/// A probability, `5%` or `0.25%`.
pub const Chance = struct {
    per_million: u32 = 0,

    pub const form = "a chance from 0% to 100%, such as 5% or 0.25%";

    pub fn parse(text: []const u8) ?Chance {
        const number = ending(text, "%") orelse return null;
        const scaled = decimal(number, 10_000) orelse return null;
        return if (scaled <= 1_000_000) .{ .per_million = @intCast(scaled) } else null;
    }
};

/// A span of time, `200ms`.
pub const Time = struct {
    ns: u64 = 0,

    pub const form = "a time up to an hour, such as 50us, 200ms or 3s";
    const most_ns = 3600 * std.time.ns_per_s;

    pub fn parse(text: []const u8) ?Time {
        // The longer names first: every one of them ends in "s".
        const units = [_]struct { []const u8, u64 }{
            .{ "us", std.time.ns_per_us },
            .{ "ms", std.time.ns_per_ms },
            .{ "s", std.time.ns_per_s },
        };
        for (units) |unit| if (ending(text, unit[0])) |number| {
            const ns = decimal(number, unit[1]) orelse return null;
            return if (ns <= most_ns) .{ .ns = ns } else null;
        };
        return null;
    }
};

/// A number with k, M or G for thousands: bits a second, or bytes.
pub const Amount = struct {
    value: u64 = 0,

    pub const form = "an amount up to 1000G, such as 1500, 64k or 20M";
    const most = 1_000_000_000_000;

    pub fn parse(text: []const u8) ?Amount {
        const units = [_]struct { []const u8, u64 }{
            .{ "k", 1000 }, .{ "M", 1_000_000 }, .{ "G", 1_000_000_000 }, .{ "", 1 },
        };
        for (units) |unit| if (ending(text, unit[0])) |number| {
            const value = decimal(number, unit[1]) orelse return null;
            return if (value <= most) .{ .value = value } else null;
        };
        return null;
    }
};

fn ending(text: []const u8, unit: []const u8) ?[]const u8 {
    if (!std.mem.endsWith(u8, text, unit)) return null;
    return text[0 .. text.len - unit.len];
}

/// The number times the unit, exactly; null for what is no number or no multiple of one.
fn decimal(text: []const u8, unit: u64) ?u64 {
    const point = std.mem.indexOfScalar(u8, text, '.') orelse text.len;
    const whole = std.fmt.parseInt(u32, text[0..point], 10) catch return null;
    var value = std.math.mul(u64, whole, unit) catch return null;
    if (point == text.len) return value;
    if (point + 1 == text.len) return null;
    var place = unit;
    for (text[point + 1 ..]) |c| {
        if (!std.ascii.isDigit(c) or place % 10 != 0) return null;
        place /= 10;
        value += place * (c - '0');
    }
    return value;
}

/// Why words were refused, in one sentence without its end.
pub const Problem = struct {
    buffer: [512]u8 = undefined,
    length: usize = 0,

    pub fn slice(self: *const Problem) []const u8 {
        return self.buffer[0..self.length];
    }

    pub fn say(self: *Problem, comptime format: []const u8, values: anytype) error{Refused} {
        // A word may be of any length; what does not fit is cut off.
        var writer: std.Io.Writer = .fixed(&self.buffer);
        writer.print(format, values) catch {};
        self.length = writer.end;
        return error.Refused;
    }
};

/// A `T` made of the words, each option once, those without a default all there.
pub fn read(comptime T: type, words: []const []const u8, problem: *Problem) error{Refused}!T {
    const fields = @typeInfo(T).@"struct".fields;
    var result: T = undefined;
    var given: [fields.len]bool = @splat(false);
    for (words) |word| {
        const equals = std.mem.indexOfScalar(u8, word, '=') orelse
            return problem.say("{s}: options look like name=value", .{word});
        const known = inline for (fields, &given) |field, *seen| {
            if (std.mem.eql(u8, field.name, word[0..equals])) {
                if (seen.*) return problem.say("{s}: {s} is given twice", .{ word, field.name });
                seen.* = true;
                @field(result, field.name) = valueOf(field.type, word[equals + 1 ..]) orelse
                    return problem.say("{s}: {s} is {s}", .{
                        word, field.name, formOf(field.type),
                    });
                break true;
            }
        } else false;
        if (!known) return problem.say("{s}: no such option; there are {s}", .{ word, names(T) });
    }
    inline for (fields, given) |field, seen| if (!seen) {
        @field(result, field.name) = field.defaultValue() orelse
            return problem.say("{s}= is missing: {s}", .{ field.name, formOf(field.type) });
    };
    return result;
}

/// The same for the words that an iterator gives, such as a program's arguments.
pub fn readAll(comptime T: type, iterator: anytype, problem: *Problem) error{Refused}!T {
    // One more than there are options is refused anyway.
    var list: [@typeInfo(T).@"struct".fields.len + 1][]const u8 = undefined;
    var count: usize = 0;
    while (iterator.next()) |word| : (count += 1) {
        if (count == list.len) return problem.say("{s}: too many words", .{word});
        list[count] = word;
    }
    return read(T, list[0..count], problem);
}

fn valueOf(comptime T: type, text: []const u8) ?T {
    if (T == []const u8) return text;
    if (@typeInfo(T) == .int) return std.fmt.parseInt(T, text, 10) catch null;
    return T.parse(text);
}

fn formOf(comptime T: type) []const u8 {
    if (T == []const u8) return "a text";
    if (@typeInfo(T) != .int) return T.form;
    return std.fmt.comptimePrint("a whole number up to {d}", .{std.math.maxInt(T)});
}

fn names(comptime T: type) []const u8 {
    comptime var list: []const u8 = "";
    inline for (@typeInfo(T).@"struct".fields, 0..) |field, i| {
        list = list ++ (if (i == 0) "" else ", ") ++ field.name;
    }
    return list;
}

const Sample = struct {
    node: u8,
    loss: Chance = .{},
    late: Time = .{ .ns = 5 },
    rate: Amount = .{},
};

fn expectRefused(words: []const []const u8, wanted: []const u8) !void {
    var problem: Problem = .{};
    try std.testing.expectError(error.Refused, read(Sample, words, &problem));
    try std.testing.expectEqualStrings(wanted, problem.slice());
}

test "words become values, with their units, and defaults stand" {
    var problem: Problem = .{};
    const all = try read(Sample, &.{ "rate=1.5M", "node=3", "loss=0.25%", "late=1.5ms" }, &problem);
    try std.testing.expectEqual(Sample{
        .node = 3,
        .loss = .{ .per_million = 2500 },
        .late = .{ .ns = 1_500_000 },
        .rate = .{ .value = 1_500_000 },
    }, all);
    const least = try read(Sample, &.{"node=0"}, &problem);
    try std.testing.expectEqual(5, least.late.ns);
    try std.testing.expectEqual(3 * std.time.ns_per_s, Time.parse("3s").?.ns);
    try std.testing.expectEqual(50_000, Time.parse("50us").?.ns);
    try std.testing.expectEqual(1500, Amount.parse("1500").?.value);
}

test "words come from an iterator, but never without end" {
    var problem: Problem = .{};
    var some = std.mem.tokenizeScalar(u8, "node=3 loss=5%", ' ');
    try std.testing.expectEqual(3, (try readAll(Sample, &some, &problem)).node);
    var many = std.mem.tokenizeScalar(u8, "a=1 " ** 6, ' ');
    try std.testing.expectError(error.Refused, readAll(Sample, &many, &problem));
    try std.testing.expectEqualStrings("a=1: too many words", problem.slice());
}

test "what is wrong is told in one sentence" {
    try expectRefused(&.{"loss"}, "loss: options look like name=value");
    try expectRefused(&.{"los=1%"}, "los=1%: no such option; there are node, loss, late, rate");
    try expectRefused(&.{"node=300"}, "node=300: node is a whole number up to 255");
    try expectRefused(&.{ "node=1", "node=1" }, "node=1: node is given twice");
    try expectRefused(&.{"loss=1%"}, "node= is missing: a whole number up to 255");
    for ([_][]const u8{ "101%", "5", "%", "1.%", "-1%", "0.00001%", "" }) |text| {
        try std.testing.expectEqual(null, Chance.parse(text));
    }
    for ([_][]const u8{ "5", "2h", "ms", "4000s", "1.2.3s" }) |text| {
        try std.testing.expectEqual(null, Time.parse(text));
    }
    try std.testing.expectEqual(null, Amount.parse("4G4"));
    try expectRefused(&.{"loss=101%"}, "loss=101%: loss is " ++ Chance.form);
    try expectRefused(&.{"a=" ++ "x" ** 600}, "a=" ++ "x" ** 510);
}
