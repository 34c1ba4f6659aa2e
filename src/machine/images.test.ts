/** @module Kernel images into guest memory, on images made here to the letter of the documents. */

import { expect, test } from "bun:test";
import { viewOf } from "./bytes.ts";
import { readBzImage } from "./bzimage.ts";
import { e820 } from "./e820.ts";
import { readElf } from "./elf.ts";
import { linuxImages } from "./images.ts";
import { boot } from "./map.ts";
import { bzImageOf, elfOf } from "../../tests/machine-images.ts";
import { bootGdt, identityTables } from "./pagetables.ts";

const mib = 1 << 20;
const nodes = [{ cpus: 1, ramPages: (256 * mib) / 4096 }];

function input(kernel: Uint8Array<ArrayBuffer>, initrd?: Uint8Array) {
  const image = { name: "vmlinuz", bytes: kernel };
  return { kernel: image, initrd, commandLine: "quiet", nodes, deviceNode: 0 };
}

const content = Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff);

for (const [name, pack] of [
  ["zstd", Bun.zstdCompressSync],
  ["gzip", Bun.gzipSync],
] as const) {
  test(`the ${name} payload of a bzImage is unpacked and entered at its ELF entry`, () => {
    const images = linuxImages(input(bzImageOf(pack(elfOf(16 * mib, content)))));
    const kernel = images.segments.find((segment) => segment.gpaU64 === BigInt(16 * mib));
    expect(kernel?.bytes).toEqual(content);
    expect(images.boot.ripU64).toBe(BigInt(16 * mib));
    expect(images.commandLine).toBe("quiet");
  });
}

test("a payload packed in an unknown way is left to the kernel's own decompressor", () => {
  const kernel = bzImageOf(Uint8Array.of(0xde, 0xad, 0xbe, 0xef));
  const images = linuxImages(input(kernel));
  expect(images.boot.ripU64).toBe(BigInt(16 * mib + 0x200));
  expect(images.segments.at(-1)?.bytes).toEqual(kernel.subarray(3 * 512));
});

test("the initrd lies behind what the kernel uses and the zero page says where", () => {
  const initrd = Uint8Array.from([1, 2, 3]);
  const images = linuxImages(
    input(bzImageOf(Bun.zstdCompressSync(elfOf(16 * mib, content))), initrd),
  );
  const last = images.segments.at(-1)!;
  expect(last).toEqual({ gpaU64: BigInt(48 * mib), bytes: initrd });
  const page = viewOf(images.segments.find((each) => each.gpaU64 === BigInt(boot.zeroPage))!.bytes);
  expect([page.getUint32(0x218, true), page.getUint32(0x21c, true)]).toEqual([48 * mib, 3]);
  expect(page.getUint32(0x228, true)).toBe(boot.commandLine);
  expect(page.getUint16(0x206, true)).toBe(0x20f);
  expect(page.getBigUint64(0x70, true)).toBe(BigInt(boot.acpiTables));
  expect(page.getUint8(0x1e8)).toBe(e820(nodes).length);
  expect(page.getBigUint64(0x2d0 + 3 * 20 + 8, true)).toBe(BigInt(255 * mib));
});

test("no two segments overlap", () => {
  const images = linuxImages(input(elfOf(16 * mib, content), new Uint8Array(4096)));
  const sorted = images.segments.toSorted((a, b) => (a.gpaU64 < b.gpaU64 ? -1 : 1));
  for (const [i, segment] of sorted.entries()) {
    const next = sorted[i + 1]?.gpaU64 ?? 1n << 60n;
    expect(segment.gpaU64 + BigInt(segment.bytes.length)).toBeLessThanOrEqual(next);
  }
});

test("what cannot boot is refused in one sentence", () => {
  const old = bzImageOf(content);
  viewOf(old).setUint16(0x206, 0x204, true);
  expect(() => linuxImages(input(old))).toThrow("no 64-bit entry (boot protocol 2.4)");
  const huge = new Uint8Array(300 * mib);
  expect(() => linuxImages(input(bzImageOf(content), huge))).toThrow("348 MiB of low memory");
  const long = { ...input(bzImageOf(content)), commandLine: "x".repeat(3000) };
  expect(() => linuxImages(long)).toThrow("command line has 3000 bytes");
  const cut = elfOf(16 * mib, content).subarray(0, 200);
  expect(() => readElf(cut, "k")).toThrow("ends within a segment");
  expect(() => readBzImage(new Uint8Array(10), "k")).toThrow("k is no Linux bzImage");
  const whole = bzImageOf(Bun.gzipSync(Uint8Array.from(content, (_, i) => (i * i * 31) >> 5)));
  for (const bytes of [whole.length - 16, 0x1000]) {
    const sentence = `k ends too early: ${bytes} bytes are there of at least`;
    expect(() => readBzImage(whole.subarray(0, bytes), "k")).toThrow(sentence);
  }
  const small = { ...input(bzImageOf(content)), nodes: [{ cpus: 1, ramPages: 100 }] };
  expect(() => linuxImages(small)).toThrow("64 MiB");
});

test("the identity map leads every address below 4 GiB to itself, accessed and dirty", () => {
  const tables = identityTables(0x9000);
  const entry = (page: number, index: number) =>
    viewOf(tables).getBigUint64(page * 4096 + index * 8, true);
  expect(tables.length).toBe(6 * 4096);
  expect(entry(0, 0)).toBe(0xa023n);
  for (const gigabyte of [0, 1, 2, 3]) {
    expect(entry(1, gigabyte)).toBe(BigInt(0xb023 + gigabyte * 0x1000));
    const first = BigInt(gigabyte) << 30n;
    expect(entry(2 + gigabyte, 0)).toBe(first | 0xe3n);
    expect(entry(2 + gigabyte, 511)).toBe((first + (511n << 21n)) | 0xe3n);
  }
  expect(viewOf(bootGdt()).getBigUint64(0x10, true)).toBe(0x00af9b000000ffffn);
});
