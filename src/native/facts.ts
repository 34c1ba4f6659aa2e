/** @module Reads the answer of gvm_facts (native/zig/abi.zig, Facts). */

import type { CpuidEntry, HostFacts } from "../node/dataplane.ts";
import type { Wire } from "../protocol/cbor.ts";

function fail(what: string): never {
  throw new Error(`gvm_facts: ${what} is malformed`);
}

function number(value: Wire | undefined, what: string): number {
  return typeof value === "number" ? value : fail(what);
}

function entry(value: Wire): CpuidEntry {
  if (!Array.isArray(value) || value.length !== 7) return fail("a CPUID entry");
  const [leaf, index, flags, eax, ebx, ecx, edx] = value.map((item) => number(item, "CPUID"));
  return {
    leaf: leaf ?? 0,
    index: index ?? 0,
    flags: flags ?? 0,
    eax: eax ?? 0,
    ebx: ebx ?? 0,
    ecx: ecx ?? 0,
    edx: edx ?? 0,
  };
}

export function readFacts(value: Wire): HostFacts {
  if (!Array.isArray(value)) return fail("the answer");
  const [vendor, cpuid, tscKhz, bits, xcr0] = value;
  if (!(vendor instanceof Uint8Array)) return fail("vendor");
  if (!Array.isArray(cpuid)) return fail("cpuid");
  if (typeof xcr0 !== "bigint") return fail("xcr0");
  return {
    vendor: new TextDecoder().decode(vendor),
    cpuid: cpuid.map(entry),
    tscKhz: number(tscKhz, "tscKhz"),
    physicalAddressBits: number(bits, "physicalAddressBits"),
    xcr0U64: xcr0,
  };
}
