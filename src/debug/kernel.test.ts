/** @module What a page is to a kernel that was moved in memory. */

import { expect, test } from "bun:test";
import { GuestMemory, longMode } from "../../tests/guest-memory.ts";
import { findKernel } from "./kernel.ts";
import { Symbols } from "./symbols.ts";

const symbols = new Symbols([
  { address: 0n, name: "__per_cpu_start", text: false },
  { address: 0x1000n, name: "runqueues", text: false },
  { address: 0x2000n, name: "__per_cpu_end", text: false },
  { address: 0xffff_ffff_8100_0000n, name: "_text", text: true },
  { address: 0xffff_ffff_8100_0008n, name: "page_offset_base", text: false },
  { address: 0xffff_ffff_8100_0010n, name: "__per_cpu_offset", text: false },
  { address: 0xffff_ffff_8100_1000n, name: "jiffies_64", text: false },
  { address: 0xffff_ffff_8100_2000n, name: "_end", text: false },
]);
const moved = 0xffff_ffff_9a00_0000n;
const directMap = 0xffff_9000_0000_0000n;
const image = 0x0280_0000n;
const area = 0x1_2340_0000n;

test("image, per-CPU areas and the rest are told apart", async () => {
  const memory = new GuestMemory().map(0x1000n, moved, image, 0x2000n);
  memory.word(image + 8n, directMap).word(image + 0x10n, directMap + area);
  memory.word(image + 0x18n, 0n);
  const kernel = await findKernel(longMode, memory.read, symbols, 2);
  expect(kernel.symbols.addressOf("_text")).toBe(moved);
  expect(kernel.describe(image + 0x1000n)).toBe("jiffies_64");
  expect(kernel.describe(image)).toBe("_text, page_offset_base, __per_cpu_offset");
  expect(kernel.describe(area + 0x1000n)).toBe("CPU 0: runqueues");
  expect(kernel.describe(area + 0x2000n)).toBeUndefined();
  expect(kernel.describe(0x1000n)).toBeUndefined();
});

test("of a vCPU that has not begun to page nothing is known", async () => {
  const memory = new GuestMemory();
  const kernel = await findKernel({ ...longMode, cr0: 1n, efer: 0n }, memory.read, symbols, 1);
  expect(kernel.symbols).toBe(symbols);
  expect(kernel.describe(image)).toBeUndefined();
});
