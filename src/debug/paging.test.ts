/** @module Page tables as the processor reads them. */

import { expect, test } from "bun:test";
import { GuestMemory, longMode } from "../../tests/guest-memory.ts";
import { readVirtual, tablePages, translate, writeVirtual } from "./paging.ts";

const text = 0xffff_ffff_8100_0000n;

function tables(): GuestMemory {
  const memory = new GuestMemory().map(0x1000n, text, 0x20_0000n, 0x2000n);
  // Beside it a large page of 2 MiB, and one of 1 GiB in another part.
  memory.word(0x3000n + 8n * ((text >> 21n) & 511n) + 8n, 0x4000_0083n);
  memory.word(0x2000n + 8n, 0x8000_0083n);
  return memory.word(0x20_0ff8n, 0x1122_3344_5566_7788n);
}

test("pages of 4 KiB, 2 MiB and 1 GiB are found, and what is not mapped is not", async () => {
  const { read } = tables();
  const of = (address: bigint) => translate(longMode, read, address);
  expect(await of(text + 0x123n)).toEqual({ gpa: 0x20_0123n, pageBytes: 4096n });
  expect(await of(text + 0x20_1234n)).toEqual({ gpa: 0x4000_1234n, pageBytes: 1n << 21n });
  const giga = 0xffff_ff80_4000_0000n;
  expect(await of(giga + 0x567n)).toEqual({ gpa: 0x8000_0567n, pageBytes: 1n << 30n });
  expect(await of(text + 0x1000n)).toEqual({ missing: "not mapped (level 1)" });
  expect(await of(0x1000n)).toEqual({ missing: "not mapped (level 4)" });
});

test("without paging addresses are physical; 32-bit paging is refused in words", async () => {
  const { read } = tables();
  const off = { ...longMode, cr0: 1n };
  expect(await translate(off, read, 0x5000n)).toEqual({ gpa: 0x5000n, pageBytes: 4096n });
  const old = { ...longMode, efer: 0n };
  expect(await translate(old, read, 0x5000n)).toHaveProperty("missing");
});

test("virtual memory is read up to where the mapping ends", async () => {
  const { read } = tables();
  const bytes = await readVirtual(longMode, read, text + 0xff8n, 64);
  expect(Buffer.from(bytes).toString("hex")).toBe("8877665544332211");
});

test("a write over the border of two pages goes to both, or to none", async () => {
  const memory = new GuestMemory().map(0x1000n, text, 0x20_0000n, 0x1000n);
  const stored: (readonly [bigint, string])[] = [];
  const write = async (gpa: bigint, bytes: Uint8Array) =>
    void stored.push([gpa, Buffer.from(bytes).toString("hex")]);
  const both = { read: memory.read, write };
  const at = text + 0xffen;
  expect(await writeVirtual(longMode, both, at, Uint8Array.of(1, 2, 3))).toBe(false);
  expect(stored).toEqual([]);
  memory.map(0x1000n, text + 0x1000n, 0x10_0000n, 0x1000n);
  expect(await writeVirtual(longMode, both, at, Uint8Array.of(1, 2, 3))).toBe(true);
  expect(stored).toEqual([
    [0x20_0ffen, "0102"],
    [0x10_0000n, "03"],
  ]);
});

test("every table is found with its level, and those of level 1 are not read", async () => {
  const memory = tables();
  const found = await tablePages(longMode, memory.read, 100);
  expect([...found]).toEqual([
    [0x1000n, 4],
    [0x2000n, 3],
    [0x3000n, 2],
    [0x4000n, 1],
  ]);
  expect(memory.reads).toEqual([0x1000n, 0x2000n, 0x3000n]);
  expect((await tablePages(longMode, memory.read, 2)).size).toBe(2);
  // An entry that points to no memory ends the walk there alone.
  memory.word(0x1000n, 0x9_9999_9003n);
  expect((await tablePages(longMode, memory.read, 100)).size).toBe(5);
});
