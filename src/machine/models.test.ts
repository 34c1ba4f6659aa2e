/** @module What a guest is shown of hosts whose processors are of different models. */

import { expect, test } from "bun:test";
import type { CpuidEntry, HostFacts } from "../node/dataplane.ts";
import { cpuidTable } from "./cpuid.ts";

const signature = 0x606a6;

function entry(leaf: number, values: Partial<CpuidEntry> = {}): CpuidEntry {
  return { leaf, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...values };
}

/** A host of Intel's with these leaves. */
function host(...cpuid: readonly CpuidEntry[]): HostFacts {
  const vendor = "GenuineIntel";
  return { vendor, cpuid, tscKhz: 1, physicalAddressBits: 46, xcr0U64: 7n };
}

function table(hosts: readonly HostFacts[], hide: readonly string[] = []): readonly CpuidEntry[] {
  return cpuidTable({ hosts, nodes: hosts.map(() => ({ cpus: 1, ramPages: 1 })), hide });
}

function shown(hosts: readonly HostFacts[], leaf: number, index = 0): CpuidEntry | undefined {
  return table(hosts).find((each) => each.leaf === leaf && each.index === index);
}

/** What leaf 7 says in EDX. */
function flawsOf(hosts: readonly HostFacts[], hide: readonly string[] = []): number | undefined {
  return table(hosts, hide).find(({ leaf }) => leaf === 7)?.edx;
}

test("what a processor says of its flaws is shown where all are of one model", () => {
  const bits = 0x3000_0000;
  const of = (eax: number) => host(entry(1, { eax }), entry(7, { edx: bits }));
  const [one, other] = [of(signature), of(signature + 1)];
  expect(flawsOf([one])).toBe(bits);
  expect(flawsOf([one, one])).toBe(bits);
  for (const hosts of [
    [one, other],
    [other, one],
    [one, one, other],
  ]) {
    expect(flawsOf(hosts)).toBe(0x1000_0000);
  }
  expect(flawsOf([one], ["arch_capabilities"])).toBe(0x1000_0000);
});

test("no flaw is denied that one host may have, and no state is told that one lacks", () => {
  const rich = host(
    entry(0xd, { eax: 7 }),
    entry(0xd, { index: 1, eax: 0xf, ecx: 0x1800, edx: 3 }),
    entry(0x8000_0021, { eax: 0xf0, ecx: 6 }),
  );
  const poor = host(
    entry(0xd, { eax: 7 }),
    entry(0xd, { index: 1, eax: 0x7, ecx: 0x1000, edx: 1 }),
    entry(0x8000_0021, { eax: 0x30, ecx: 2 }),
  );
  for (const hosts of [
    [rich, poor],
    [poor, rich],
  ]) {
    expect(shown(hosts, 0x8000_0021)).toMatchObject({ eax: 0x30, ecx: 2 });
    expect(shown(hosts, 0xd, 1)).toMatchObject({ eax: 0x7, ecx: 0x1000, edx: 1 });
  }
});

function withState(ecx: number): HostFacts {
  return host(entry(0xd, { eax: 7 }), entry(0xd, { index: 2, eax: 256, ebx: 576, ecx }));
}

test("state that one host alone aligns in the compacted format is refused", () => {
  expect(shown([withState(2), withState(2)], 0xd, 2)?.ecx).toBe(2);
  expect(() => table([withState(0), withState(2)])).toThrow(
    "lay out processor state 2 differently: use --hide-cpu xsave",
  );
});
