/** @module The limit of guest memory on a host, asked for and left to giantvm. */

import { expect, test } from "bun:test";
import { takenMaxPages } from "./taken.ts";

const mib = 1 << 20;
const pages = (megabytes: number) => megabytes * 256;

test("what is asked for comes beside the node's own share", () => {
  expect(takenMaxPages(512 * mib, 64 * mib, 100)).toBe(pages(576));
});

test("else it is what the host has, but for a sixteenth", () => {
  expect(takenMaxPages(512 * mib, undefined, 16_384)).toBe(pages(15_360));
  expect(takenMaxPages(512 * mib, undefined, 2048)).toBe(pages(1792));
});

test("a host that is full already keeps some pages of other nodes all the same", () => {
  expect(takenMaxPages(512 * mib, undefined, 600)).toBe(pages(576));
});

test("it is never more than the largest guest", () => {
  expect(takenMaxPages(2 ** 43, 2 ** 43, undefined)).toBe(2 ** 31);
  expect(takenMaxPages(512 * mib, undefined, 20 * 2 ** 20)).toBe(2 ** 31);
});

test("there is no limit where nobody knows what the host has", () => {
  expect(takenMaxPages(512 * mib, undefined, undefined)).toBe(0);
});
