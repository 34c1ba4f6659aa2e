/** @module Keys for the guest: in order, a few at a time, bounded. */

import { expect, test } from "bun:test";
import { ConsoleInput } from "./input.ts";

/** A serial port with so much room. */
function port(room: number) {
  const taken: number[] = [];
  const take = (bytes: Uint8Array) => {
    const now = Math.min(room - taken.length, bytes.length);
    taken.push(...bytes.subarray(0, now));
    return now;
  };
  return { take, text: () => Buffer.from(taken).toString() };
}

test("keys go in in order, each once, as there is room", () => {
  const input = new ConsoleInput();
  expect(input.empty).toBe(true);
  for (const text of ["ab", "cde", "f"]) expect(input.push(Buffer.from(text))).toBe(true);
  const parts: string[] = [];
  for (const room of [0, 3, 0, 1, 10]) {
    expect(input.empty).toBe(false);
    const { take, text } = port(room);
    input.feed(take);
    parts.push(text());
  }
  expect(parts).toEqual(["", "abc", "", "d", "ef"]);
  expect(input.empty).toBe(true);
  input.feed(() => expect.unreachable());
});

test("what has no room is dropped whole, until the guest takes some", () => {
  const input = new ConsoleInput();
  const most = 64 * 1024;
  expect(input.push(new Uint8Array(most - 1).fill(1))).toBe(true);
  expect(input.full).toBe(false);
  // The last one may be longer than the room.
  expect(input.push(Uint8Array.of(2, 3))).toBe(true);
  expect(input.full).toBe(true);
  expect(input.push(Uint8Array.of(4))).toBe(false);
  input.feed(port(2).take);
  expect(input.full).toBe(false);
  expect(input.push(Uint8Array.of(5))).toBe(true);
  const all: number[] = [];
  input.feed((bytes) => {
    all.push(...bytes);
    return bytes.length;
  });
  expect(all.length).toBe(most);
  expect(all.slice(-4)).toEqual([1, 2, 3, 5]);
});
