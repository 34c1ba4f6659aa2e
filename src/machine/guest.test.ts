/** @module Which protocol a kernel file is booted by, and what is refused with which sentence. */

import { expect, test } from "bun:test";
import {
  base,
  elfFile,
  flatAddresses,
  headBytes,
  memoryBytes,
  multibootElf,
  multibootFlat,
  multibootHeaderOf,
  noteOf,
  pvhElf,
  pvhNote,
} from "../../tests/kernels.ts";
import { bzImageOf, elfOf } from "../../tests/machine-images.ts";
import { Fields, viewOf } from "./bytes.ts";
import { type GuestFiles, guestImages } from "./guest.ts";
import { defaultCommandLine } from "./images.ts";

const mib = 1 << 20;
const nodes = [{ cpus: 1, ramPages: (64 * mib) / 4096 }];
const content = new Uint8Array(64).fill(0x90);

function images(bytes: Uint8Array<ArrayBuffer>, more: Partial<GuestFiles> = {}) {
  return guestImages({
    kernel: { name: "k", bytes },
    initrd: undefined,
    modules: [],
    commandLine: undefined,
    append: undefined,
    nodes,
    deviceNode: 0,
    tscKhz: 2_500_000,
    ...more,
  });
}

function moduleOf(name: string, length: number) {
  return { name, text: "", bytes: new Uint8Array(length) };
}

/** Mode, address and EAX of the boot processor. */
function start(bytes: Uint8Array<ArrayBuffer>) {
  const { mode, ripU64, raxU64 } = images(bytes).boot;
  return [mode, Number(ripU64), Number(raxU64)];
}

function line(bytes: Uint8Array<ArrayBuffer>, more: Partial<GuestFiles> = {}) {
  return images(bytes, more).commandLine;
}

const tuned = defaultCommandLine(2_500_000, nodes);
const linuxNote = noteOf("Linux", 0x101, Uint8Array.of(0, 0, 0, 0));
const entry = base + headBytes;

test("the bytes say how to enter, 64-bit or 32-bit", () => {
  expect(start(bzImageOf(content))).toEqual(["long", 16 * mib + 0x200, 0]);
  expect(start(elfOf(16 * mib, content))).toEqual(["long", 16 * mib, 0]);
  expect(start(pvhElf(64))).toEqual(["protected", entry, 0]);
  expect(start(pvhElf(32))).toEqual(["protected", entry, 0]);
  for (const bits of [32, 64] as const) {
    expect(start(multibootElf(bits))).toEqual(["protected", entry, 0x2badb002]);
  }
  expect(start(multibootFlat())).toEqual(["protected", entry, 0x2badb002]);
  // Both: a multiboot kernel that has a PVH note, too, as Xen.
  const bytes = new Fields().raw(multibootHeaderOf(0)).zero(64).bytes();
  const both = { bits: 32 as const, entry: base, segments: [{ gpa: base, bytes }] };
  expect(start(elfFile({ ...both, notes: pvhNote(32, base) }))[2]).toBe(0x2badb002);
});

test("a packed kernel is unpacked first", () => {
  const { segments, boot } = images(Bun.gzipSync(multibootElf(32)));
  expect(Number(boot.raxU64)).toBe(0x2badb002);
  expect(segments).toEqual(images(multibootElf(32)).segments);
});

test("an entry where the kernel believes to be is translated, a physical one is taken", () => {
  expect(start(multibootElf(32, 0, 0xc010_0000))[1]).toBe(entry);
  const high = { gpa: base, virtual: 0xc010_0000, bytes: new Uint8Array(64) };
  high.bytes.set(multibootHeaderOf(0));
  expect(start(elfFile({ bits: 32, entry: base + 16, segments: [high] }))[1]).toBe(base + 16);
});

test("Linux gets the tuned command line, others none; it is added to or replaced", () => {
  const bz = bzImageOf(content);
  expect(line(bz)).toBe(tuned);
  expect(line(bz, { append: "root=/dev/vda" })).toBe(`${tuned} root=/dev/vda`);
  expect(line(bz, { commandLine: "panic=1" })).toBe("panic=1");
  expect(line(bz, { commandLine: "panic=1", append: "ro" })).toBe("panic=1 ro");
  expect(line(bz, { commandLine: "" })).toBe("");
  expect(line(pvhElf(64))).toBe("");
  const linux = new Fields().raw(pvhNote(64, entry)).raw(linuxNote).bytes();
  expect(line(pvhElf(64, linux))).toBe(tuned);
  const os = noteOf("Xen", 6, new TextEncoder().encode("linux\0"));
  const xenLinux = new Fields().raw(os).raw(pvhNote(64, entry)).bytes();
  expect(line(pvhElf(64, xenLinux), { append: "ro" })).toBe(`${tuned} ro`);
  expect(line(multibootElf(32))).toBe("k");
  expect(line(multibootElf(32), { append: "a b" })).toBe("k a b");
});

test("over several nodes Linux keeps its own work on the first node's CPUs", () => {
  const [node] = nodes;
  const several = line(bzImageOf(content), { nodes: [{ ...node!, cpus: 3 }, node!] });
  expect(several).toMatch(
    / numa_balancing=disable .*transparent_hugepage=never workqueue\.unbound_cpus=0-2 quiet$/,
  );
  const without = line(bzImageOf(content), { nodes: [{ ...node!, cpus: 0 }, node!] });
  expect(without).toMatch(/ numa_balancing=disable (?!.*unbound).*quiet$/);
  expect(tuned).not.toMatch(/unbound|hugepage/);
});

test("the BIOS data area says where base memory ends", () => {
  for (const bytes of [multibootElf(32), pvhElf(64), bzImageOf(content)]) {
    const found = images(bytes).segments.find(({ gpaU64 }) => gpaU64 === 0x400n);
    const view = viewOf(found!.bytes);
    const words = [0, 0xe, 0x13].map((offset) => view.getUint16(offset, true));
    expect(words).toEqual([0x3f8, 0x9fc0, 639]);
  }
});

test("every interrupt vector of real mode points at what refuses BIOS calls", () => {
  for (const bytes of [multibootElf(32), pvhElf(64), bzImageOf(content)]) {
    const { segments } = images(bytes);
    const vectors = segments.find(({ gpaU64 }) => gpaU64 === 0n)!.bytes;
    expect(vectors.length).toBe(1024);
    const view = viewOf(vectors);
    for (let i = 0; i < 256; i += 1) {
      const linear = view.getUint16(4 * i + 2, true) * 16 + view.getUint16(4 * i, true);
      expect(segments.filter(({ gpaU64 }) => Number(gpaU64) === linear)).toHaveLength(1);
    }
  }
});

test("modules lie page by page behind all the kernel uses", () => {
  const initrd = moduleOf("i", 5000);
  const modules = [moduleOf("a", 1), moduleOf("b", 4096)];
  for (const bytes of [multibootElf(32), pvhElf(64)]) {
    const places = images(bytes, { initrd, modules }).segments.slice(-3);
    const expected = [2 * mib, 2 * mib + 0x2000, 2 * mib + 0x3000];
    expect(places.map(({ gpaU64 }) => Number(gpaU64))).toEqual(expected);
  }
});

/** What each sentence must contain. */
const refused: readonly (readonly [string, () => unknown, string])[] = [
  ["a script", () => images(Uint8Array.from(Buffer.from("#!/bin/sh\n"))), "k is no kernel known"],
  ["a cut gzip file", () => images(Bun.gzipSync(pvhElf(64)).subarray(0, 50)), "k is a gzip file"],
  ["an empty file", () => images(new Uint8Array()), "k is no kernel known here"],
  [
    "multiboot 2",
    () => {
      const magic = 0xe85250d6;
      const fields = new Fields().zero(8).u32(magic, 0, 16, -(magic + 16) >>> 0);
      return images(Uint8Array.from(fields.zero(64).bytes()));
    },
    "k asks for multiboot 2",
  ],
  [
    "an i386 ELF without any entry known",
    () => images(elfFile({ bits: 32, entry: base, segments: [{ gpa: base, bytes: content }] })),
    "neither a multiboot 1 header nor a PVH note",
  ],
  [
    "another processor",
    () => {
      const bytes = pvhElf(64);
      bytes[18] = 183;
      return images(bytes);
    },
    "for another processor",
  ],
  ["a cut head", () => images(pvhElf(64).subarray(0, 40)), "ends within its head"],
  ["a cut table", () => images(pvhElf(64).subarray(0, 100)), "before its program headers"],
  ["a cut segment", () => images(pvhElf(64).subarray(0, 300)), "ends within a segment"],
  [
    "a note longer than its segment",
    () => images(pvhElf(64, pvhNote(64, entry).subarray(0, 20))),
    "a note that ends behind its segment",
  ],
  [
    "a PVH note without an address",
    () => images(pvhElf(64, noteOf("Xen", 18, new Uint8Array()))),
    "the PVH note of k holds no address",
  ],
  [
    "a PVH entry in no segment",
    () => images(pvhElf(64, pvhNote(64, 0x90_0000))),
    "the PVH entry of k lies in nothing",
  ],
  [
    "segments over each other",
    () => {
      const segments = [0, 16].map((offset) => ({ gpa: base + offset, bytes: content }));
      return images(elfFile({ bits: 64, entry: base, segments, notes: pvhNote(64, base) }));
    },
    "two segments to one address",
  ],
  [
    "a segment below 1 MiB",
    () => images(elfFile({ bits: 64, entry: 0x8000, segments: [{ gpa: 0x8000, bytes: content }] })),
    "below 1 MiB",
  ],
  [
    "memory outside of RAM",
    () => {
      const segments = [{ gpa: base, bytes: content, memoryBytes: 64 * mib }];
      return images(elfFile({ bits: 64, entry: base, segments, notes: pvhNote(64, base) }));
    },
    "65 MiB of low memory and the guest has 64 MiB",
  ],
  [
    "modules outside of RAM",
    () => images(multibootElf(32), { initrd: moduleOf("i", 63 * mib) }),
    "65 MiB of low memory",
  ],
  [
    "modules for Linux",
    () => images(bzImageOf(content), { modules: [moduleOf("a", 1)] }),
    "k is Linux, which takes one initrd",
  ],
  [
    "a command line for which there is no room",
    () => images(multibootElf(32), { append: "x".repeat(600_000) }),
    "more than 511 KiB",
  ],
  ["a multiboot flag nobody knows", () => images(multibootElf(32, 0x103)), "(flags 0x100)"],
  [
    "a header without addresses in no ELF file",
    () => images(Uint8Array.from(new Fields().raw(multibootHeaderOf(3)).zero(64).bytes())),
    "nothing says where to load it",
  ],
  [
    "a header that ends with the file",
    () => images(Uint8Array.from(multibootHeaderOf(0x10000))),
    "ends with the file, before its addresses",
  ],
  [
    "an ELF entry in nothing loaded",
    () => {
      const bytes = new Fields().raw(multibootHeaderOf(0)).zero(64).bytes();
      return images(elfFile({ bits: 32, entry: 8, segments: [{ gpa: base, bytes }] }));
    },
    "k is entered where nothing of it is loaded",
  ],
  ["a header outside", () => flat({ load: base + 4 }), "lies before what it says is loaded"],
  ["a start before the file", () => flat({ load: base - 0x100 }), "lies before what it says"],
  ["more than the file", () => flat({ loadEnd: base + 0x1000 }), "loads more than the file holds"],
  ["an end before the start", () => flat({ loadEnd: base - 4 }), "loads nothing"],
  ["zeros over what is loaded", () => flat({ zeroEnd: base + 4 }), "clears memory that it loads"],
  ["an entry outside", () => flat({ entry: base + memoryBytes }), "enters what it does not load"],
];

function flat(changes: Partial<typeof flatAddresses>) {
  return images(multibootFlat(undefined, changes));
}

for (const [name, load, sentence] of refused) {
  test(`${name} is refused in one sentence`, () => {
    expect(load).toThrow(sentence);
    expect(load).not.toThrow("\n");
  });
}

test("addresses of zero mean the rest of the file and no zeros behind it", () => {
  const { segments } = flat({ loadEnd: 0, zeroEnd: 0 });
  const kernel = segments.find(({ gpaU64 }) => gpaU64 === BigInt(base));
  expect(kernel?.bytes.length).toBe(flatAddresses.loadEnd - base);
});
