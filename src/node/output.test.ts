/** @module Console output for another node: gathered, in order, in pieces, bounded. */

import { expect, test } from "bun:test";
import { ConsoleOutput } from "./output.ts";

test("bytes come out in order and once, together", () => {
  const output = new ConsoleOutput();
  for (const text of ["a", "b", "cd"]) output.push(Buffer.from(text));
  expect(output.take().map(String)).toEqual(["abcd"]);
  expect(output.take()).toEqual([]);
});

test("much output comes in pieces, too much is counted as lost", () => {
  const output = new ConsoleOutput();
  for (let i = 0; i < 300; i += 1) output.push(new Uint8Array(4096).fill(i));
  const pieces = output.take();
  expect(Math.max(...pieces.map((piece) => piece.length))).toBe(32 * 1024);
  expect(pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(1 << 20);
  expect(output.lost).toBe(300 * 4096 - (1 << 20));
  expect(pieces.at(-1)?.at(-1)).toBe(255);
});
