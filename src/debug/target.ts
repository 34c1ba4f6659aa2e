/**
 * @module The registers of a vCPU as gdb numbers them, and their description for gdb (GDB manual,
 * "Target Descriptions"). What is not known of a vCPU (x87 and SSE) is sent as unavailable.
 */

import { generalNames, type VcpuView } from "../control/views.ts";
import { littleEndian } from "./rsp.ts";

type Register = {
  readonly name: string;
  readonly bytes: number;
  readonly type: string;
  /** undefined: unavailable. */
  readonly of?: (view: VcpuView) => bigint;
};

const general = [
  "rax",
  "rbx",
  "rcx",
  "rdx",
  "rsi",
  "rdi",
  "rbp",
  "rsp",
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((number) => `r${number}`),
  "rip",
];
const selectors = ["cs", "ss", "ds", "es", "fs", "gs"];
const floating = ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"];
const control = ["cr0", "cr2", "cr3", "cr4", "cr8", "efer"];

function typeOf(name: string): string {
  if (name === "rip") return "code_ptr";
  return name === "rsp" || name === "rbp" ? "data_ptr" : "int64";
}

const core: readonly Register[] = [
  ...general.map((name) => ({
    name,
    bytes: 8,
    type: typeOf(name),
    of: (view: VcpuView) => BigInt(view.general[name] ?? "0x0"),
  })),
  {
    name: "eflags",
    bytes: 4,
    type: "int32",
    of: (view) => BigInt(view.general["rflags"] ?? "0x0"),
  },
  ...selectors.map((name) => ({
    name,
    bytes: 4,
    type: "int32",
    of: (view: VcpuView) => BigInt(view.segments[name]?.selector ?? 0),
  })),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((number) => ({
    name: `st${number}`,
    bytes: 10,
    type: "i387_ext",
  })),
  ...floating.map((name) => ({ name, bytes: 4, type: "int" })),
];
const bases: readonly Register[] = ["fs", "gs"].map((name) => ({
  name: `${name}_base`,
  bytes: 8,
  type: "int64",
  of: (view) => BigInt(view.segments[name]?.base ?? "0x0"),
}));
const system: readonly Register[] = control.map((name) => ({
  name,
  bytes: 8,
  type: "int64",
  of: (view) => BigInt(view.system[name] ?? "0x0"),
}));

/** By gdb's number. */
const registers: readonly Register[] = [...core, ...bases, ...system];

function feature(name: string, list: readonly Register[]): string {
  const rows = list.map(
    (each) => `<reg name="${each.name}" bitsize="${8 * each.bytes}" type="${each.type}"/>`,
  );
  return `<feature name="${name}">${rows.join("")}</feature>`;
}

export const targetXml =
  '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>' +
  "<architecture>i386:x86-64</architecture>" +
  feature("org.gnu.gdb.i386.core", core) +
  feature("org.gnu.gdb.i386.segments", bases) +
  feature("org.giantvm.system", system) +
  "</target>";

function digitsOf(register: Register, view: VcpuView): string {
  if (register.of === undefined) return "x".repeat(2 * register.bytes);
  return littleEndian(register.of(view), register.bytes);
}

/** All registers for `g`. */
export function allRegisters(view: VcpuView): string {
  return registers.map((register) => digitsOf(register, view)).join("");
}

/** One register for `p`; undefined for a number there is not. */
export function oneRegister(view: VcpuView, number: number): string | undefined {
  const register = registers[number];
  return register === undefined ? undefined : digitsOf(register, view);
}

/**
 * The general registers after a write of register `number`, in the order of the data plane;
 * undefined for one that cannot be written.
 */
export function withRegister(
  view: VcpuView,
  number: number,
  valueU64: bigint,
): readonly bigint[] | undefined {
  const name = registers[number]?.name === "eflags" ? "rflags" : registers[number]?.name;
  if (!generalNames.some((each) => each === name)) return undefined;
  return generalNames.map((each) =>
    each === name ? valueU64 : BigInt(view.general[each] ?? "0x0"),
  );
}
