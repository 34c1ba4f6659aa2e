/** @module Children are heard to the last line and never left behind, whatever they do. */

import { expect, test } from "bun:test";
import { type Child, startChild, stopAll, within } from "./children.ts";

function shell(script: string) {
  const lines: string[] = [];
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const child: Child = startChild(["/bin/sh", "-c", script], (line) => {
    lines.push(line);
    if (line === "ready") resolve();
  });
  return { child, lines, ready };
}

test("every line is delivered before the end is told", async () => {
  const { child, lines } = shell("echo one; echo oops >&2; printf two; exit 3");
  expect(await child.ended).toEqual({ code: 3, signal: null });
  expect(lines).toEqual(["one", "two"]);
  expect(child.log).toEqual(["oops"]);
});

test("a child that ends when asked is not killed", async () => {
  const { child, ready } = shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
  await ready;
  await stopAll([child]);
  expect(await child.ended).toEqual({ code: 5, signal: null });
});

test("stopping what has ended already is fine", async () => {
  const { child } = shell("exit 0");
  await child.ended;
  await stopAll([child, child]);
  expect(await child.ended).toEqual({ code: 0, signal: null });
});

test("a wait ends with the promise or with the time", async () => {
  expect(await within(Promise.resolve(7), 60_000)).toBe(7);
  expect(await within(new Promise<number>(() => {}), 1)).toBeUndefined();
});
