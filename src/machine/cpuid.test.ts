/** @module The CPUID policy: intersection, what is hidden, topology. */

import { expect, test } from "bun:test";
import type { CpuidEntry, HostFacts } from "../node/dataplane.ts";
import { cpuidTable, isEmulated } from "./cpuid.ts";
import { packageShift } from "./topology.ts";

const all = 0xffff_ffff;

function entry(leaf: number, values: Partial<CpuidEntry> = {}): CpuidEntry {
  return { leaf, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...values };
}

/** A host that claims every feature bit there is. */
function host(change: Partial<HostFacts> = {}, extra: readonly CpuidEntry[] = []): HostFacts {
  const cpuid = [
    entry(0, { eax: 0x20 }),
    entry(1, { eax: 0x800f12, ebx: 0x0710_0800, ecx: all, edx: all }),
    entry(5, { eax: 64, ebx: 64 }),
    entry(6, { eax: all }),
    entry(7, { ebx: all, ecx: all, edx: all, eax: 1, flags: 1 }),
    entry(7, { index: 1, eax: all, flags: 1 }),
    entry(0xa, { eax: 0x0730_0404 }),
    entry(0xd, { eax: 7, flags: 1 }),
    entry(0xd, { index: 2, eax: 256, ebx: 576, flags: 1 }),
    entry(0x4000_0000, { ebx: 1 }),
    entry(0x4000_0001, { eax: all }),
    entry(0x8000_0000, { eax: 0x8000_0026 }),
    entry(0x8000_0001, { ecx: all, edx: all }),
    entry(0x8000_0006, { ecx: 0x0200_6140, edx: 0x0100_9140 }),
    entry(0x8000_0007, { edx: all }),
    entry(0x8000_0008, { eax: 0x3030, ebx: all, ecx: 0x700f }),
    entry(0x8000_000a, { eax: 1, edx: all }),
    entry(0x8000_001e, { eax: 3 }),
    entry(0x8000_0022, { eax: 1 }),
    ...extra,
  ];
  const base = { vendor: "AuthenticAMD", cpuid, tscKhz: 1, physicalAddressBits: 48, xcr0U64: 7n };
  return { ...base, ...change };
}

function find(table: readonly CpuidEntry[], leaf: number, index = 0): CpuidEntry {
  return table.find((each) => each.leaf === leaf && each.index === index) ?? entry(leaf, { index });
}

/** Those of `bits` that are set. */
function setIn(value: number, bits: readonly number[]): readonly number[] {
  return bits.filter((bit) => ((value >>> bit) & 1) === 1);
}

function shift(...cpus: readonly number[]): number {
  return packageShift(cpus.map((count) => ({ cpus: count, ramPages: 1 })));
}

const oneNode = [{ cpus: 2, ramPages: 1 }];

test("what must never be seen is not", () => {
  const table = cpuidTable({ hosts: [host()], nodes: oneNode, hide: [] });
  // MONITOR, VMX, SMX, PDCM; WAITPKG, LA57; SVM, TOPOEXT, PERFCTR, MWAITX; INVLPGB.
  expect(setIn(find(table, 1).ecx, [3, 5, 6, 15])).toEqual([]);
  expect(setIn(find(table, 7).ecx, [5, 16])).toEqual([]);
  expect(setIn(find(table, 0x8000_0001).ecx, [2, 22, 23, 24, 28, 29])).toEqual([]);
  expect(setIn(find(table, 0x8000_0008).ebx, [3])).toEqual([]);
  for (const leaf of [0x5, 0xa, 0x8000_000a, 0x8000_001e, 0x8000_0022]) {
    expect(find(table, leaf)).toEqual(entry(leaf));
  }
  // A hypervisor, but none of the features by which a host writes into guest pages.
  expect(find(table, 0x4000_0001)).toEqual(entry(0x4000_0001));
  const hypervisor = table.filter(({ leaf }) => leaf >>> 28 === 4);
  expect(hypervisor.map(({ leaf }) => leaf)).toEqual([0x4000_0000, 0x4000_0001, 0x4000_0010]);
});

test("a leaf that nobody here knows is not shown", () => {
  const later = [0x14, 0x1f, 0x24, 0x4000_0100, 0x8000_0026, 0x8000_0099, 0xc000_0001];
  const table = cpuidTable({
    hosts: [
      host(
        {},
        later.map((leaf) => entry(leaf, { eax: all, ebx: all })),
      ),
    ],
    nodes: oneNode,
    hide: [],
  });
  expect(table.filter(({ leaf }) => later.includes(leaf))).toEqual([]);
  expect(setIn(find(table, 7, 1).edx, [19])).toEqual([]);
});

test("the rates told are those of the first node's TSC and of the APIC's timer", () => {
  const hosts = [host({ tscKhz: 2_494_141 }), host({ tscKhz: 2_494_140 })];
  const table = cpuidTable({ hosts, nodes: [...oneNode, ...oneNode], hide: [] });
  expect(find(table, 0x4000_0010)).toEqual(entry(0x4000_0010, { eax: 2_494_141, ebx: 1_000_000 }));
  expect(find(table, 0x4000_0000).eax).toBe(0x4000_0010);
  expect(table.some(({ leaf }) => leaf === 0x15 || leaf === 0x16)).toBe(false);
});

test("what Linux looks for is there", () => {
  const table = cpuidTable({ hosts: [host()], nodes: oneNode, hide: [] });
  // x2APIC and "a hypervisor"; ARAT; invariant TSC; HTT, CMP_LEGACY and NC; AVX stays.
  expect((find(table, 1).ecx >>> 21) & 1).toBe(1);
  expect(find(table, 1).ecx >>> 31).toBe(1);
  expect((find(table, 1).ecx >>> 28) & 1).toBe(1);
  expect(find(table, 6).eax).toBe(4);
  expect(find(table, 0x8000_0007).edx).toBe(0x100);
  expect((find(table, 1).edx >>> 28) & 1).toBe(1);
  expect((find(table, 1).ebx >>> 16) & 0xff).toBe(2);
  expect(find(table, 0x8000_0001).ecx & 2).toBe(2);
  expect(find(table, 0x8000_0008).ecx).toBe(0x1001);
  const { ebx, ecx, edx } = find(table, 0x4000_0000);
  const name = new Uint8Array(Uint32Array.of(ebx, ecx, edx).buffer);
  expect(new TextDecoder().decode(name)).toBe("KVMKVMKVM\0\0\0");
  expect(find(table, 0).eax).toBe(0xd);
  expect(find(table, 0x8000_0000).eax).toBe(0x8000_0008);
});

test("XSAVE and what needs it go on an emulated host and when asked for", () => {
  // Family 15, model 107, stepping 1: what QEMU's -cpu max calls itself.
  const cpuid = host().cpuid.map((each) =>
    each.leaf === 1 ? Object.assign({}, each, { eax: 0x0006_0fb1 }) : each,
  );
  expect(isEmulated(host())).toBe(false);
  for (const policy of [
    { hosts: [host({ cpuid })], nodes: oneNode, hide: [] },
    { hosts: [host()], nodes: oneNode, hide: ["xsave"] },
  ]) {
    const table = cpuidTable(policy);
    // FMA, XSAVE, OSXSAVE, AVX, F16C; AVX2; PKU, VAES, VPCLMULQDQ.
    expect(find(table, 1).ecx & 0x3c00_1000).toBe(0);
    expect(find(table, 7).ebx & 0x20).toBe(0);
    expect(find(table, 7).ecx & 0x608).toBe(0);
    expect(table.some((each) => each.leaf === 0xd)).toBe(false);
  }
  expect(() => cpuidTable({ hosts: [host()], nodes: oneNode, hide: ["avx9"] })).toThrow(
    '"avx9": no CPU feature',
  );
});

/** Whether guests of these hosts see the deadline mode of the APIC's timer. */
function showsDeadline(hosts: readonly HostFacts[], hide: readonly string[] = []): boolean {
  const table = cpuidTable({ hosts, nodes: hosts.map(() => ({ cpus: 1, ramPages: 1 })), hide });
  return setIn(find(table, 1).ecx, [24]).length > 0;
}

test("the APIC timer's deadline is shown where every host has it, unless hidden", () => {
  const lacking = host({
    cpuid: host().cpuid.map((each) =>
      each.leaf === 1 ? Object.assign({}, each, { ecx: each.ecx & ~(1 << 24) }) : each,
    ),
  });
  expect(showsDeadline([host(), host()])).toBe(true);
  expect(showsDeadline([host(), lacking])).toBe(false);
  expect(showsDeadline([lacking, host()])).toBe(false);
  expect(showsDeadline([host()], ["tsc_deadline"])).toBe(false);
});

test("a bit or a leaf that one node lacks is shown nowhere, in either order", () => {
  const plain = host({ physicalAddressBits: 40 });
  const poor = {
    ...plain,
    cpuid: plain.cpuid
      .filter((each) => each.leaf !== 7 || each.index !== 1)
      .map((each) => {
        if (each.leaf === 1) return Object.assign({}, each, { ecx: each.ecx & ~(1 << 23) });
        return each.leaf === 7 ? Object.assign({}, each, { eax: 0 }) : each;
      }),
  };
  const nodes = [
    { cpus: 1, ramPages: 1 },
    { cpus: 1, ramPages: 1 },
  ];
  for (const hosts of [
    [host(), poor],
    [poor, host()],
  ]) {
    const table = cpuidTable({ hosts, nodes, hide: [] });
    expect((find(table, 1).ecx >>> 23) & 1).toBe(0);
    expect(find(table, 7).eax).toBe(0);
    expect(table.some((each) => each.leaf === 7 && each.index === 1)).toBe(false);
    expect(find(table, 0x8000_0008).eax).toBe(0x3028);
    // One vCPU a package: none shares a socket over the network.
    expect((find(table, 1).edx >>> 28) & 1).toBe(0);
    expect(find(table, 0x8000_0008).ecx).toBe(0);
  }
});

test("XCR0 is what all hosts can enable, and only that state is described", () => {
  const nodes = [
    { cpus: 1, ramPages: 1 },
    { cpus: 1, ramPages: 1 },
  ];
  const rich = host({ xcr0U64: 0x4000_0000_0000_0207n });
  // The other host knows the state, elsewhere, but its kernel does not enable it.
  const poor = host({
    xcr0U64: 3n,
    cpuid: host().cpuid.map((each) =>
      each.leaf === 0xd && each.index === 2 ? Object.assign({}, each, { ebx: 832 }) : each,
    ),
  });
  for (const hosts of [
    [rich, poor],
    [poor, rich],
  ]) {
    const table = cpuidTable({ hosts, nodes, hide: [] });
    expect([find(table, 0xd).eax, find(table, 0xd).edx]).toEqual([3, 0]);
    expect(table.some((each) => each.leaf === 0xd && each.index === 2)).toBe(false);
  }
  const both = cpuidTable({ hosts: [rich, rich], nodes, hide: [] });
  expect([find(both, 0xd).eax, find(both, 0xd).edx]).toEqual([0x207, 0x4000_0000]);
  expect(find(both, 0xd, 2).ebx).toBe(576);
  const moved = host({ xcr0U64: 7n, cpuid: poor.cpuid });
  expect(() => cpuidTable({ hosts: [host(), moved], nodes, hide: [] })).toThrow(
    "lay out processor state 2 differently",
  );
});

test("mixed vendors are refused", () => {
  const hosts = [host(), host({ vendor: "GenuineIntel" })];
  expect(() => cpuidTable({ hosts, nodes: oneNode, hide: [] })).toThrow("one VM needs one vendor");
});

/** vCPUs per node; each list is a machine. */
const machines = [[1], [2], [3], [8], [1, 1], [2, 1], [3, 1], [1, 3], [4, 4, 2], [5, 3, 7], [255]];

for (const vendor of ["AuthenticAMD", "GenuineIntel"]) {
  test(`${vendor}: all leaves tell one topology, and no package spans two nodes`, () => {
    for (const cpus of machines) {
      const nodes = cpus.map((count) => ({ cpus: count, ramPages: 1 }));
      const cache = entry(4, { eax: 0xfc1f_c121, flags: 1 });
      const hosts = nodes.map(() => host({ vendor }, [cache]));
      const table = cpuidTable({ hosts, nodes, hide: [] });
      const width = find(table, 0xb, 1).eax;
      const nodeOf = cpus.flatMap((count, node) => Array.from({ length: count }, () => node));
      const packages = new Map<number, number>();
      for (const [id, node] of nodeOf.entries()) {
        expect(packages.get(id >> width) ?? node).toBe(node);
        packages.set(id >> width, node);
      }
      // One thread a core; the packages' size; the end of the list.
      expect([find(table, 0xb).eax, find(table, 0xb).ebx]).toEqual([0, 1]);
      expect([0, 1, 2].map((index) => find(table, 0xb, index).ecx)).toEqual([0x100, 0x201, 2]);
      const size = 2 ** width;
      expect(find(table, 0xb, 1).ebx).toBe(size);
      expect((find(table, 1).ebx >>> 16) & 0xff).toBe(Math.min(255, size));
      expect((find(table, 1).edx >>> 28) & 1).toBe(width > 0 ? 1 : 0);
      // Cores of a package less one, as far as six bits go; each cache is a vCPU's own.
      expect(find(table, 4).eax >>> 26).toBe(Math.min(63, size - 1));
      expect((find(table, 4).eax >>> 14) & 0xfff).toBe(0);
      const extended = find(table, 0x8000_0008).ecx;
      expect(extended).toBe(vendor === "AuthenticAMD" ? (width << 12) | (size - 1) : 0);
    }
  });
}

test("a package never spans two nodes", () => {
  expect([shift(1), shift(2), shift(3), shift(8)]).toEqual([0, 1, 2, 3]);
  expect([shift(1, 1), shift(2, 2), shift(4, 4, 4), shift(2, 1), shift(3, 1)]).toEqual([
    0, 1, 2, 1, 0,
  ]);
});
