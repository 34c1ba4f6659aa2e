//! Writes src/native/abi.ts or native/c/giantvm.h (argument: `ts` or `c`) to stdout from abi.zig.
//! build.ts compares the output with the committed files and fails when they differ.

const std = @import("std");
const abi = @import("abi.zig");
const linux = std.os.linux;

pub fn main(init: std.process.Init.Minimal) void {
    var arguments = init.args.iterate();
    _ = arguments.next();
    const language = arguments.next() orelse "ts";
    const text = comptime .{ .ts = typescript(), .c = header() };
    const out: []const u8 = if (std.mem.eql(u8, language, "c")) text.c else text.ts;
    var written: usize = 0;
    while (written < out.len) {
        const rc = linux.write(1, out[written..].ptr, out.len - written);
        if (linux.errno(rc) != .SUCCESS) std.process.exit(1);
        written += rc;
    }
}

const print = std.fmt.comptimePrint;

fn typescript() []const u8 {
    @setEvalBranchQuota(1_000_000);
    var out: []const u8 =
        \\/** @module Generated from native/zig/abi.zig by `npm run build`; do not edit. */
        \\
        \\import { FFIType } from "bun:ffi";
        \\import type { Wire } from "../protocol/cbor.ts";
        \\import { Fields, u64Of } from "./fields.ts";
        \\
        \\
    ;
    out = out ++ print("export const abiHashU64 = 0x{x}n;\n\n", .{abi.hash});
    out = out ++ "export const symbols = {\n";
    for (abi.functions) |f| out = out ++ symbol(f);
    out = out ++ "} as const;\n";
    out = out ++ enumeration("EventKind", abi.EventKind) ++ enumeration("Counter", abi.Counter);
    out = out ++ enumeration("BootMode", abi.BootMode);
    for (abi.configurations) |C| out = out ++ configuration(C);
    for (abi.observations) |C| out = out ++ observation(C);
    return out;
}

fn symbol(f: abi.Function) []const u8 {
    const info = @typeInfo(f.type).@"fn";
    var args: []const u8 = "";
    for (info.params, 0..) |p, i| {
        args = args ++ (if (i == 0) "" else ", ") ++ ffiType(p.type.?);
    }
    return print(
        "  /** {s} */\n  {s}: {{ args: [{s}], returns: {s} }},\n",
        .{ f.doc, f.name, args, ffiType(info.return_type.?) },
    );
}

fn ffiType(T: type) []const u8 {
    return switch (T) {
        u64 => "FFIType.u64",
        u32 => "FFIType.u32",
        i32 => "FFIType.i32",
        abi.Bytes, abi.Out => "FFIType.ptr",
        else => @compileError("no FFI type for " ++ @typeName(T)),
    };
}

fn enumeration(name: []const u8, E: type) []const u8 {
    var out: []const u8 = "\nexport const " ++ lower(name) ++ " = {\n";
    for (@typeInfo(E).@"enum".fields) |field| {
        out = out ++ print("  {s}: {d},\n", .{ camel(field.name), field.value });
    }
    return out ++ "} as const;\n";
}

fn configuration(C: type) []const u8 {
    const name = shortName(C);
    var fields: []const u8 = "";
    var items: []const u8 = "";
    for (@typeInfo(C).@"struct".fields) |field| {
        const key = camel(field.name) ++ if (field.type == u64) "U64" else "";
        fields = fields ++ print("  readonly {s}: {s};\n", .{ key, tsType(field.type) });
        items = items ++ print("    {s},\n", .{tsValue("value." ++ key, field.type)});
    }
    return print(
        \\
        \\export type {s} = {{
        \\{s}}};
        \\
        \\export function wire{s}(value: {s}): Wire {{
        \\  return [
        \\{s}  ];
        \\}}
        \\
    , .{ name, fields, name, name, items });
}

/// The type of an answer, and what reads it.
fn observation(C: type) []const u8 {
    const name = shortName(C);
    const list = @typeInfo(C).@"struct".fields;
    var types: []const u8 = "";
    var reads: []const u8 = "";
    for (list) |field| {
        const key = camel(field.name) ++ if (field.type == u64) "U64" else "";
        types = types ++ print("  readonly {s}: {s};\n", .{ key, tsType(field.type) });
        reads = reads ++ print("    {s}: {s},\n", .{ key, tsRead(field.type) });
    }
    return print(
        \\
        \\export type {s} = {{
        \\{s}}};
        \\
        \\export function read{s}(value: Wire): {s} {{
        \\  const fields = new Fields(value, {d}, "{s}");
        \\  return {{
        \\{s}  }};
        \\}}
        \\
    , .{ name, types, name, name, list.len, name, reads });
}

fn tsRead(T: type) []const u8 {
    return switch (T) {
        u64 => "fields.u64()",
        bool => "fields.boolean()",
        []const u8 => "fields.bytes()",
        []const u64 => "fields.list(u64Of)",
        else => switch (@typeInfo(T)) {
            .int => "fields.number()",
            .pointer => |p| "fields.list(read" ++ shortName(p.child) ++ ")",
            .@"struct" => "read" ++ shortName(T) ++ "(fields.next())",
            else => @compileError("no reader for " ++ @typeName(T)),
        },
    };
}

fn tsType(T: type) []const u8 {
    return switch (T) {
        u64 => "bigint",
        bool => "boolean",
        []const u8 => "Uint8Array",
        []const u64 => "readonly bigint[]",
        else => switch (@typeInfo(T)) {
            .int => "number",
            .@"struct" => shortName(T),
            .pointer => |p| "readonly " ++ shortName(p.child) ++ "[]",
            else => @compileError("no TypeScript type for " ++ @typeName(T)),
        },
    };
}

fn tsValue(path: []const u8, T: type) []const u8 {
    if (T == []const u8 or T == []const u64) return path;
    return switch (@typeInfo(T)) {
        .pointer => |p| path ++ ".map(wire" ++ shortName(p.child) ++ ")",
        else => path,
    };
}

fn header() []const u8 {
    @setEvalBranchQuota(1_000_000);
    var out: []const u8 =
        \\/* Generated from native/zig/abi.zig by `npm run build`; do not edit. */
        \\#ifndef GIANTVM_H
        \\#define GIANTVM_H
        \\#include <stdint.h>
        \\
        \\
    ;
    out = out ++ print("#define GVM_ABI UINT64_C(0x{x})\n\n", .{abi.hash});
    for (abi.functions) |f| {
        const info = @typeInfo(f.type).@"fn";
        var args: []const u8 = if (info.params.len == 0) "void" else "";
        for (info.params, 0..) |p, i| {
            args = args ++ (if (i == 0) "" else ", ") ++ cType(p.type.?);
        }
        out = out ++ print("/* {s} */\n{s} {s}({s});\n", .{
            f.doc, cType(info.return_type.?), f.name, args,
        });
    }
    return out ++ "\n#endif\n";
}

fn cType(T: type) []const u8 {
    return switch (T) {
        u64 => "uint64_t",
        u32 => "uint32_t",
        i32 => "int32_t",
        abi.Bytes => "const uint8_t *",
        abi.Out => "uint8_t *",
        else => @compileError("no C type for " ++ @typeName(T)),
    };
}

fn shortName(T: type) []const u8 {
    const full = @typeName(T);
    const dot = std.mem.lastIndexOfScalar(u8, full, '.') orelse return full;
    return full[dot + 1 ..];
}

fn lower(name: []const u8) []const u8 {
    return &[_]u8{std.ascii.toLower(name[0])} ++ name[1..];
}

fn camel(name: []const u8) []const u8 {
    var out: []const u8 = "";
    var raise = false;
    for (name) |c| {
        if (c == '_') {
            raise = true;
            continue;
        }
        out = out ++ &[_]u8{if (raise) std.ascii.toUpper(c) else c};
        raise = false;
    }
    return out;
}
