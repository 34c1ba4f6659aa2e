/** @module Threads and what they do, from vCont packets. */

import { expect, test } from "bun:test";
import { type Action, actionsOf } from "./vcont.ts";

test("the first action that names a thread is its, and the rest is for the others", () => {
  const cases: readonly (readonly [string, readonly (readonly [number, Action])[]])[] = [
    [
      "vCont;c",
      [
        [0, "continue"],
        [1, "continue"],
        [10, "continue"],
      ],
    ],
    ["vCont;s:2", [[1, "step"]]],
    [
      "vCont;s:2;c",
      [
        [1, "step"],
        [0, "continue"],
        [10, "continue"],
      ],
    ],
    [
      "vCont;S05:b;C0a:-1",
      [
        [10, "step"],
        [0, "continue"],
        [1, "continue"],
      ],
    ],
    ["vCont;s:1;c:1", [[0, "step"]]],
    ["vCont;c:4", []],
  ];
  for (const [text, actions] of cases) {
    expect(actionsOf(text, [0, 1, 10])).toEqual(new Map(actions));
  }
});
