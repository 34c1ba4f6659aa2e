/** @module The native devices and the tables must mean the same addresses. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { e820 } from "./e820.ts";
import * as map from "./map.ts";

test("RAM offsets skip the hole between 3 and 4 GiB", () => {
  const gib = 2 ** 30;
  expect(map.gpaRanges(0, gib)).toEqual([{ first: 0, length: gib }]);
  expect(map.gpaRanges(2 * gib, 2 * gib)).toEqual([
    { first: 2 * gib, length: gib },
    { first: 4 * gib, length: gib },
  ]);
  expect(map.gpaRanges(5 * gib, 4096)).toEqual([{ first: 6 * gib, length: 4096 }]);
  expect(map.gpaRanges(3 * gib, 4096)).toEqual([{ first: 4 * gib, length: 4096 }]);
});

test("the memory map is in order and reserves PCI's configuration", () => {
  const gib = 2 ** 30;
  const shares = [{ cpus: 1, ramPages: gib / 4096 }];
  const four = [...shares, ...shares, ...shares, ...shares];
  const ranges = e820(four);
  for (const [i, { first, length }] of ranges.entries()) {
    expect(first + length).toBeLessThanOrEqual(ranges[i + 1]?.first ?? 2 ** 52);
  }
  expect(ranges).toContainEqual({ first: map.ecamGpa, length: map.ecamBytes, type: "reserved" });
  expect(ranges.at(-1)).toEqual({ first: 4 * gib, length: gib, type: "ram" });
  // The devices' memory begins where low RAM ends, and configuration where that ends.
  expect(map.pciWindowGpa).toBe(map.lowRamEnd);
  expect(map.pciWindowGpa + map.pciWindowBytes).toBe(map.ecamGpa);
});

test("map.zig and map.ts say the same", () => {
  const zig = readFileSync(join(import.meta.dir, "../../native/zig/devices/map.zig"), "utf8");
  const constants = [...zig.matchAll(/^pub const (\w+)(?:: \w+)? = (0x[0-9a-f_]+|[0-9_]+);/gm)];
  expect(constants.length).toBeGreaterThanOrEqual(25);
  const mine = new Map<string, unknown>(Object.entries(map));
  for (const [, name = "", value = ""] of constants) {
    const camel = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    expect([name, mine.get(camel)]).toEqual([name, Number(value.replaceAll("_", ""))]);
  }
});
