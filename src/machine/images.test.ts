/** @module Kernel images into guest memory, on images made here to the letter of the documents. */

import { expect, test } from "bun:test";
import { viewOf } from "./bytes.ts";
import { readBzImage } from "./bzimage.ts";
import { e820 } from "./e820.ts";
import { readElf } from "./elf.ts";
import { defaultCommandLine, linuxImages } from "./images.ts";
import { boot } from "./map.ts";
import { bootGdt, identityTables } from "./pagetables.ts";

const mib = 1 << 20;
const nodes = [{ cpus: 1, ramPages: (256 * mib) / 4096 }];

/** An ELF with one segment of `content` at `gpa`, entered at its start. */
function elf(
  gpa: number,
  content: Uint8Array,
  memoryBytes = content.length,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(120 + content.length);
  const view = viewOf(bytes);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(24, BigInt(gpa), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setBigUint64(72, 120n, true);
  view.setBigUint64(88, BigInt(gpa), true);
  view.setBigUint64(96, BigInt(content.length), true);
  view.setBigUint64(104, BigInt(memoryBytes), true);
  bytes.set(content, 120);
  return bytes;
}

/** A bzImage of protocol 2.15 around a payload, the unpacked size appended as the build does. */
function bzImage(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const start = 3 * 512;
  const bytes = new Uint8Array(Math.max(0x2000, start + 0x400 + payload.length + 4));
  const view = viewOf(bytes);
  view.setUint8(0x1f1, 2);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x248, 0x400, true);
  view.setUint32(0x24c, payload.length + 4, true);
  view.setBigUint64(0x258, BigInt(16 * mib), true);
  view.setUint32(0x260, 32 * mib, true);
  bytes.set(payload, start + 0x400);
  return bytes;
}

function input(kernel: Uint8Array<ArrayBuffer>, initrd?: Uint8Array) {
  const image = { name: "vmlinuz", bytes: kernel };
  return { kernel: image, initrd, append: undefined, nodes, tscKhz: 2_500_000 };
}

const content = Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff);

for (const [name, pack] of [
  ["zstd", Bun.zstdCompressSync],
  ["gzip", Bun.gzipSync],
] as const) {
  test(`the ${name} payload of a bzImage is unpacked and entered at its ELF entry`, () => {
    const images = linuxImages(input(bzImage(pack(elf(16 * mib, content)))));
    const kernel = images.segments.find((segment) => segment.gpaU64 === BigInt(16 * mib));
    expect(kernel?.bytes).toEqual(content);
    expect(images.boot.ripU64).toBe(BigInt(16 * mib));
    expect(images.commandLine).toBe(defaultCommandLine(2_500_000, 1));
  });
}

test("a payload packed in an unknown way is left to the kernel's own decompressor", () => {
  const kernel = bzImage(Uint8Array.of(0xde, 0xad, 0xbe, 0xef));
  const images = linuxImages(input(kernel));
  expect(images.boot.ripU64).toBe(BigInt(16 * mib + 0x200));
  expect(images.segments.at(-1)?.bytes).toEqual(kernel.subarray(3 * 512));
});

test("the initrd lies behind what the kernel uses and the zero page says where", () => {
  const initrd = Uint8Array.from([1, 2, 3]);
  const images = linuxImages(input(bzImage(Bun.zstdCompressSync(elf(16 * mib, content))), initrd));
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
  const images = linuxImages(input(elf(16 * mib, content), new Uint8Array(4096)));
  const sorted = images.segments.toSorted((a, b) => (a.gpaU64 < b.gpaU64 ? -1 : 1));
  for (const [i, segment] of sorted.entries()) {
    const next = sorted[i + 1]?.gpaU64 ?? 1n << 60n;
    expect(segment.gpaU64 + BigInt(segment.bytes.length)).toBeLessThanOrEqual(next);
  }
});

test("what cannot boot is refused in one sentence", () => {
  const text = new TextEncoder().encode("#!/bin/sh\n".padEnd(0x3000));
  expect(() => linuxImages(input(text))).toThrow("vmlinuz is neither a Linux bzImage nor an ELF");
  const old = bzImage(content);
  viewOf(old).setUint16(0x206, 0x204, true);
  expect(() => linuxImages(input(old))).toThrow("no 64-bit entry (boot protocol 2.4)");
  const huge = new Uint8Array(300 * mib);
  expect(() => linuxImages(input(bzImage(content), huge))).toThrow("348 MiB of low memory");
  const long = { ...input(bzImage(content)), append: "x".repeat(3000) };
  expect(() => linuxImages(long)).toThrow("command line has 3000 bytes");
  const cut = elf(16 * mib, content).subarray(0, 200);
  expect(() => readElf(cut, "k")).toThrow("ends within a segment");
  expect(() => readBzImage(new Uint8Array(10), "k")).toThrow("neither");
  const small = { ...input(bzImage(content)), nodes: [{ cpus: 1, ramPages: 100 }] };
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
