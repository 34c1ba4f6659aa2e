/** @module Console output for another node: gathered, in order, in pieces, bounded. */

import { expect, test } from "bun:test";
import { ConsoleOutput } from "./output.ts";

test("bytes come out in order and once, together", () => {
  const output = new ConsoleOutput();
  for (const text of ["a", "b", "cd"]) output.push(Buffer.from(text));
  expect(output.take().map(String)).toEqual(["abcd"]);
  expect(output.take()).toEqual([]);
});

test("much output comes in pieces, and asks for a pause until it was taken", () => {
  const output = new ConsoleOutput();
  let count = 1;
  while (output.push(new Uint8Array(4096).fill(count))) count += 1;
  expect(count * 4096).toBe(128 * 1024);
  // What comes all the same is kept.
  expect(output.push(Uint8Array.of(99))).toBe(false);
  const pieces = output.take();
  expect(Math.max(...pieces.map((piece) => piece.length))).toBe(32 * 1024);
  expect(pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(count * 4096 + 1);
  expect(pieces.at(-1)?.at(-1)).toBe(99);
  expect(output.push(Uint8Array.of(1))).toBe(true);
});
