/** @module RAM offsets and guest physical addresses. */

import { expect, test } from "bun:test";
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
