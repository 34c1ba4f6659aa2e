//! Builds what the tests start: the unit tests, the explorer, a relay, a bare node. The library and
//! the guest are built by build.ts. Paths of outputs are given by --prefix; nothing is fetched.

const std = @import("std");

pub fn build(b: *std.Build) void {
    // As build.ts has it for the library.
    const target = b.standardTargetOptions(.{ .default_target = .{
        .cpu_arch = .x86_64,
        .os_tag = .linux,
        .abi = .gnu,
        .glibc_version = .{ .major = 2, .minor = 17, .patch = 0 },
    } });
    const optimize = b.standardOptimizeOption(.{ .preferred_optimize_mode = .ReleaseSafe });

    // Each with its own step.
    for ([_][]const u8{ "relay", "engine_node" }) |name| {
        const program = b.addExecutable(.{
            .name = name,
            .root_module = module(b, b.fmt("{s}_main.zig", .{name}), target, optimize),
        });
        const step = b.step(name, b.fmt("Build {s} into --prefix", .{name}));
        step.dependOn(&b.addInstallArtifact(program, .{}).step);
    }

    const tests = b.step("test", "Unit tests of every room");
    const unit = b.addTest(.{ .root_module = module(b, "tests.zig", target, .Debug) });
    tests.dependOn(&b.addRunArtifact(unit).step);
    // Half a million states take a minute without optimisation.
    const explore = b.addTest(.{
        .name = "explore",
        .root_module = module(b, "explore_main.zig", target, .ReleaseSafe),
    });
    tests.dependOn(&b.addRunArtifact(explore).step);

    const guided = b.addTest(.{ .root_module = module(b, "fuzz_tests.zig", target, optimize) });
    const guided_run = b.addRunArtifact(guided);
    // Which target it is comes from the environment.
    guided_run.has_side_effects = true;
    const fuzz = b.step("fuzz", "The target GIANTVM_FUZZ, with --fuzz=RUNS guided by coverage");
    fuzz.dependOn(&guided_run.step);
}

fn module(
    b: *std.Build,
    root: []const u8,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Module {
    return b.createModule(.{
        .root_source_file = b.path(root),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
    });
}
