/** @module Histories made by hand, on clocks that differ: which ones have an order. */

import { describe, expect, test } from "bun:test";
import { checkApart, type Offset, offsetOf } from "./apart.ts";
import type { Operation } from "./history.ts";

type Kind = Operation["kind"];

function op(
  node: number,
  counter: number,
  kind: Kind,
  value: number,
  begin: number,
  end = begin + 5,
): Operation {
  return { node, counter, kind, value, begin, end };
}

/** Node 1's clock is 1000 ahead, known within 20. */
const near: readonly Offset[] = [
  { least: 0, most: 0 },
  { least: 990, most: 1010 },
];
/** Nothing is known. */
const unrelated: readonly Offset[] = [
  { least: 0, most: 0 },
  { least: -1e9, most: 1e9 },
];

function found(operations: readonly Operation[], offsets = near): boolean {
  return checkApart(operations, offsets).length > 0;
}

describe("one counter", () => {
  const good = [op(0, 0, "add", 0, 100), op(1, 0, "add", 1, 1200), op(0, 0, "load", 2, 300)];

  test("an order that both clocks allow", () => expect(checkApart(good, near)).toEqual([]));

  for (const [name, wrong] of [
    ["a lost addition", op(1, 0, "add", 1, 1400)],
    ["a missing addition", op(1, 0, "add", 3, 1400)],
    ["a value never written", op(1, 0, "load", 3, 1400)],
    ["a stale load of the same node", op(0, 0, "load", 1, 400)],
    ["a stale load of another node", op(1, 0, "load", 1, 1400)],
    ["a load of another node from the future", op(1, 0, "load", 2, 1100)],
  ] as const) {
    test(`finds ${name}`, () => expect(found([...good, wrong])).toBeTrue());
  }

  test("what is less old than the clocks are uncertain is nobody's fault", () => {
    const ended = [op(0, 0, "add", 0, 100, 105)];
    expect(found([...ended, op(1, 0, "load", 0, 1114)])).toBeFalse();
    expect(found([...ended, op(1, 0, "load", 0, 1116)])).toBeTrue();
    expect(found([...ended, op(1, 0, "load", 0, 1116)], unrelated)).toBeFalse();
  });

  test("a counter that goes back is found without any common clock", () => {
    const back = [op(1, 0, "load", 1, 1300), op(1, 0, "load", 0, 1310)];
    expect(found([op(0, 0, "add", 0, 100), ...back], unrelated)).toBeTrue();
  });
});

describe("several counters, clocks unrelated", () => {
  test("two nodes that both miss the other's addition", () => {
    const first = [op(0, 0, "add", 0, 100), op(0, 1, "load", 0, 110)];
    const second = [op(1, 1, "add", 0, 1100), op(1, 0, "load", 0, 1110)];
    const problems = checkApart([...first, ...second], unrelated);
    expect(problems).toHaveLength(1);
    for (const each of [...first, ...second]) {
      expect(problems[0]).toContain(`counter ${each.counter} node ${each.node} ${each.kind}`);
    }
    expect(found([...first, second[0]!, op(1, 0, "load", 1, 1110)], unrelated)).toBeFalse();
  });

  test("a message seen without what was written before it", () => {
    const sent = [op(0, 0, "add", 0, 100), op(0, 1, "add", 0, 110)];
    expect(
      found([...sent, op(1, 1, "load", 1, 50), op(1, 0, "load", 0, 60)], unrelated),
    ).toBeTrue();
    expect(
      found([...sent, op(1, 1, "load", 1, 50), op(1, 0, "load", 1, 60)], unrelated),
    ).toBeFalse();
  });

  test("overlapping operations of a node have no order among themselves", () => {
    const both = [op(0, 0, "add", 0, 100, 120), op(0, 1, "load", 0, 110, 130)];
    expect(found([...both, op(1, 1, "add", 0, 1100), op(1, 0, "load", 0, 1110)])).toBeFalse();
  });
});

test("an offset is what the narrowest round before and after the run allow", () => {
  const earlier = [
    { before: 100, clock: 1150, after: 300 },
    { before: 400, clock: 1410, after: 420 },
  ];
  const later = [{ before: 900, clock: 1930, after: 910 }];
  expect(offsetOf(earlier, later)).toEqual({ least: 990, most: 1030 });
});
