/** @module Symbol tables of both kinds, as a kernel's files have them. */

import { expect, test } from "bun:test";
import { readSymbols, SymbolError } from "./symbols.ts";

const map = `0000000000000000 D __per_cpu_start
0000000000001000 D runqueues
0000000000030000 D __per_cpu_end
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000100 t do_idle
ffffffff81200000 T _etext
ffffffff82000000 D jiffies_64
ffffffff82000040 D tick_next_period
ffffffffc0001000 t virtblk_probe	[virtio_blk]
`;

function ofText(text: string) {
  return readSymbols(new TextEncoder().encode(text));
}

test("an address belongs to the symbol before it, data is no code, and nothing reaches far", () => {
  const symbols = ofText(map);
  expect(symbols.at(0xffff_ffff_8100_0123n)).toEqual({ name: "do_idle", offset: 0x23 });
  expect(symbols.at(0xffff_ffff_c000_1010n)?.name).toBe("virtblk_probe");
  expect(symbols.at(0xffff_ffff_8300_0000n)).toBeUndefined();
  expect(symbols.isText(0xffff_ffff_8100_0000n)).toBe(true);
  expect(symbols.isText(0xffff_ffff_8200_0040n)).toBe(false);
  expect(symbols.isText(0xffff_ffff_8100_00ffn)).toBe(true);
  expect(symbols.isText(0xffff_ffff_7fff_ffffn)).toBe(false);
  const page = 0xffff_ffff_8200_0000n;
  expect(symbols.within(page, page + 4096n)).toEqual(["jiffies_64", "tick_next_period"]);
  expect(symbols.within(page + 4096n, page + 8192n)).toEqual(["tick_next_period"]);
});

test("a kernel that was moved takes its symbols along, but not the per-CPU ones", () => {
  const moved = ofText(map).moved(0x1000_0000n);
  expect(moved.addressOf("jiffies_64")).toBe(0xffff_ffff_9200_0000n);
  expect(moved.addressOf("runqueues")).toBe(0x1000n);
  expect(moved.at(0xffff_ffff_9100_0101n)).toEqual({ name: "do_idle", offset: 1 });
});

/** An ELF file with a section of code and one symbol of each kind. */
function elf(): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  const sections = 512;
  view.setBigUint64(40, BigInt(sections), true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 4, true);
  const section = (index: number, type: number, flags: bigint, at: number, size: number) => {
    const head = sections + 64 * index;
    view.setUint32(head + 4, type, true);
    view.setBigUint64(head + 8, flags, true);
    view.setBigUint64(head + 24, BigInt(at), true);
    view.setBigUint64(head + 32, BigInt(size), true);
    view.setUint32(head + 40, 3, true);
  };
  section(1, 1, 6n, 0, 0);
  section(2, 2, 0n, 64, 72);
  section(3, 3, 0n, 256, 32);
  bytes.set(new TextEncoder().encode("\0code\0data\0file\0"), 256);
  const symbol = (index: number, name: number, kind: number, inSection: number, at: bigint) => {
    const entry = 64 + 24 * index;
    view.setUint32(entry, name, true);
    view.setUint8(entry + 4, 0x10 | kind);
    view.setUint16(entry + 6, inSection, true);
    view.setBigUint64(entry + 8, at, true);
  };
  symbol(0, 1, 2, 1, 0x1000n);
  symbol(1, 6, 1, 2, 0x2000n);
  symbol(2, 11, 4, 1, 0x1500n);
  return bytes;
}

test("an ELF file's symbols are code where their section is", () => {
  const symbols = readSymbols(elf());
  expect(symbols.count).toBe(2);
  expect([0x1010n, 0x2010n].map((at) => symbols.isText(at))).toEqual([true, false]);
  expect(symbols.at(0x1600n)).toEqual({ name: "code", offset: 0x600 });
});

test("files without symbols are refused with a sentence", () => {
  const stripped = elf();
  new DataView(stripped.buffer).setUint32(512 + 128 + 4, 1, true);
  const damaged = elf().subarray(0, 600);
  for (const [bytes, sentence] of [
    [new TextEncoder().encode("hello\n"), "no symbols"],
    [new TextEncoder().encode("0000000000000000 T _text\n"), "kptr_restrict"],
    [stripped, "no symbol table"],
    [damaged, "damaged"],
  ] as const) {
    expect(() => readSymbols(bytes)).toThrow(SymbolError);
    expect(() => readSymbols(bytes)).toThrow(sentence);
  }
});
