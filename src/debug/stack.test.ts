/** @module Backtraces from stacks of both kinds of kernels. */

import { expect, test } from "bun:test";
import { backtrace } from "./stack.ts";
import { Symbols } from "./symbols.ts";

const symbols = new Symbols([
  { address: 0x1000n, name: "one", text: true },
  { address: 0x1100n, name: "two", text: true },
  { address: 0x1200n, name: "three", text: true },
  { address: 0x1300n, name: "data", text: false },
]);

const stack = 0xffff_c900_0000_4000n;

/** A stack of 16 KiB with these words at offsets. */
function reader(words: Readonly<Record<number, bigint>>, mapped = 0x4000) {
  const bytes = new Uint8Array(0x4000);
  const view = new DataView(bytes.buffer);
  for (const [offset, value] of Object.entries(words)) {
    view.setBigUint64(Number(offset), value, true);
  }
  return async (address: bigint, length: number) => {
    const at = Number(address - stack);
    return bytes.subarray(at, Math.min(at + length, mapped));
  };
}

test("frame pointers are followed, and what they skip is a guess", async () => {
  const read = reader({
    0x3f00: 0x1010n,
    0x3f10: stack + 0x3f80n,
    0x3f18: 0x1120n,
    0x3f20: 0x1305n,
    0x3f80: 0n,
    0x3f88: 0x1230n,
  });
  const registers = { rip: 0x1001n, rsp: stack + 0x3f00n, rbp: stack + 0x3f10n };
  expect(await backtrace(registers, read, symbols)).toEqual([
    { address: 0x1001n, guess: false },
    { address: 0x1010n, guess: true },
    { address: 0x1120n, guess: false },
    { address: 0x1230n, guess: false },
  ]);
});

test("without frame pointers every address of code is a guess, to the stack's end", async () => {
  const read = reader({ 0x3ff0: 0x1110n, 0x3ff8: 0x1210n });
  const registers = { rip: 0x1001n, rsp: stack + 0x3fe4n, rbp: 0x1100n };
  expect(await backtrace(registers, read, symbols)).toEqual([
    { address: 0x1001n, guess: false },
    { address: 0x1110n, guess: true },
    { address: 0x1210n, guess: true },
  ]);
});

test("a stack that is not mapped leaves the instruction alone", async () => {
  const registers = { rip: 0x1001n, rsp: stack + 0x3fe0n, rbp: stack + 0x3fe0n };
  const frames = await backtrace(registers, reader({ 0x3fe8: 0x1110n }, 0x3000), symbols);
  expect(frames).toEqual([{ address: 0x1001n, guess: false }]);
});

test("a chain that points back ends", async () => {
  const read = reader({ 0x3f10: stack + 0x3f10n, 0x3f18: 0x1120n });
  const registers = { rip: 0x1001n, rsp: stack + 0x3f00n, rbp: stack + 0x3f10n };
  const frames = await backtrace(registers, read, symbols);
  expect(frames.map(({ guess }) => guess)).toEqual([false, false]);
});
