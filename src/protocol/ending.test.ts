/** @module Which end stands, and how long the others are waited for. */

import { expect, test } from "bun:test";
import { Ending } from "./ending.ts";
import type { End, EndCause } from "./messages.ts";

const second = 1_000_000_000n;
const names = ["a", "b", "c"];
const none: ReadonlySet<number> = new Set();
const others = [1, 2];

function end(cause: EndCause, code = 0): End {
  return { kind: "end", epoch: 1, cause, code, reason: cause };
}

function begun(cause: EndCause): Ending {
  const ending = new Ending({ node: 0, names, silenceMs: 2000 });
  expect(ending.begin(end(cause), true, 0n)).toBe("first");
  return ending;
}

test("the first end stands but for a weightier one, and a reset gives way to all", () => {
  const off = begun("poweroff");
  expect(off.begin(end("poweroff"), true, 1n)).toBe("late");
  expect(off.begin(end("signal", 130), true, 1n)).toBe("instead");
  expect(off.begin(end("signal", 143), true, 1n)).toBe("instead");
  expect(off.begin(end("verdict", 1), true, 1n)).toBe("late");
  expect(off.begin(end("lost", 5), true, 1n)).toBe("late");
  expect(off.begin(end("failed", 7), true, 1n)).toBe("instead");
  expect(off.begin(end("crash", 6), true, 1n)).toBe("instead");
  expect(off.end?.cause).toBe("crash");
  // Who has stopped, and said so, may be taken for over.
  const stopped = begun("poweroff");
  stopped.stopped();
  expect(stopped.begin(end("signal", 143), true, 1n)).toBe("late");
  expect(stopped.begin(end("signal", 143), false, 1n)).toBe("instead");
  const reset = begun("reset");
  expect(reset.begin(end("crash", 6), true, 1n)).toBe("late");
  expect(reset.begin(end("reset"), true, 1n)).toBe("late");
  expect(reset.begin(end("lost", 5), true, 1n)).toBe("instead");
  expect(reset.end?.cause).toBe("lost");
  // Another node's came before it knew of the reset.
  expect(begun("reset").begin(end("crash", 6), false, 1n)).toBe("instead");
});

test("over when all have stopped, and not before", () => {
  for (const cause of ["poweroff", "reset"] as const) {
    const ending = begun(cause);
    expect(ending.stopped()).toBe(true);
    ending.ended(1);
    expect(ending.outcome(others, new Set(others), 1n)).toBeUndefined();
    ending.ended(2);
    expect(ending.outcome(others, new Set(others), 1n)).toEqual(end(cause));
  }
});

test("a node that stops before there is an end is not what others wait for", () => {
  expect(new Ending({ node: 0, names, silenceMs: 2000 }).stopped()).toBe(false);
});

test("nodes never heard of are waited for a moment, silent ones longer, a lost one never", () => {
  const ending = begun("poweroff");
  ending.stopped();
  expect(ending.outcome(others, none, 2n * second)).toBeUndefined();
  expect(ending.outcome(others, none, 2n * second + 1n)?.cause).toBe("poweroff");
  expect(ending.outcome(others, new Set([1]), 3n * second)).toBeUndefined();
  expect(ending.outcome(others, new Set([1]), 3n * second + 1n)?.cause).toBe("poweroff");
  expect(begun("lost").outcome(others, new Set(others), 0n)?.cause).toBe("lost");
});

test("a reset that hangs ends the VM and names who did not stop", () => {
  const ending = begun("reset");
  ending.stopped();
  ending.ended(1);
  expect(ending.outcome(others, new Set(others), 60n * second)).toBeUndefined();
  const over = ending.outcome(others, new Set(others), 60n * second + 1n);
  expect(over).toMatchObject({ cause: "failed", code: 7 });
  expect(over?.reason).toContain("the vCPUs of node 2 (c) did not stop within 60 s");
});
