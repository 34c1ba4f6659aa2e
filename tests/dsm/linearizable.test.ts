/**
 * @module Two and three real processes, each with the production engine and two threads, on shared
 * counters: what their threads saw must have an order that agrees with real time.
 */

import { beforeAll, describe, expect, test } from "bun:test";
import { checkApart } from "./apart.ts";
import { checkHistory, type Operation } from "./history.ts";
import { buildProgram } from "../zig.ts";
import { type EnginesOptions, runEngines } from "./processes.ts";

function onLoopback(nodes: number, seed: number, options: Partial<EnginesOptions> = {}) {
  const site = { prefix: [], address: "127.0.0.1" };
  return runEngines({
    sites: Array.from({ length: nodes }, () => site),
    seed,
    operationsPerThread: 8000,
    patienceSeconds: 10,
    silenceSeconds: 10,
    ...options,
  });
}

/** Less than the pages with counters: those of the other nodes come and go all the time. */
const fewPages = { takenPages: 2, operationsPerThread: 24_000 };

const op = (kind: "add" | "load", value: number, begin: number, end: number): Operation => ({
  counter: 0,
  kind,
  value,
  begin,
  end,
  node: 0,
});

describe("the check itself", () => {
  const good = [op("load", 0, 0, 1), op("add", 0, 2, 4), op("add", 1, 3, 6), op("load", 2, 5, 7)];

  test("accepts operations that overlap", () => {
    expect(checkHistory(good)).toEqual([]);
    expect(checkHistory([...good, op("load", 1, 3, 9)])).toEqual([]);
  });

  for (const [name, wrong] of [
    ["a lost addition", op("add", 1, 8, 9)],
    ["a missing addition", op("add", 3, 8, 9)],
    ["an addition after its time", op("add", 2, 0, 1)],
    ["a stale load", op("load", 1, 7, 8)],
    ["a load from the future", op("load", 1, 0, 1)],
    ["a load of a value never written", op("load", 3, 8, 9)],
  ] as const) {
    test(`finds ${name}`, () => expect(checkHistory([...good, wrong]).length).toBeGreaterThan(0));
  }
});

/** Whether a run sees values that no order explains; one whose processes hardly met sees none. */
async function findsFault(nodes: number, options: Partial<EnginesOptions>): Promise<boolean> {
  for (const seed of [42, 43, 44, 45, 46, 47]) {
    const { operations } = await onLoopback(nodes, seed, options);
    if (checkHistory(operations).length > 0) return true;
  }
  return false;
}

describe("processes on shared memory", () => {
  beforeAll(() => void buildProgram("engine_node"), 300_000);

  for (const nodes of [2, 3]) {
    test(`${nodes} processes are linearizable`, async () => {
      const result = await onLoopback(nodes, 40 + nodes);
      expect(result.errors.join("")).toBe("");
      expect(result.problems).toEqual([]);
      const offsets = result.codes.map((_, node) => ({ least: node * 1e9, most: node * 1e9 }));
      const apart = result.operations.map((each) => {
        const ahead = offsets[each.node]!.least;
        return { ...each, begin: each.begin + ahead, end: each.end + ahead };
      });
      expect(checkApart(apart, offsets)).toEqual([]);
      // Otherwise the processes ran one after the other and nothing was tested.
      expect(result.handovers).toBeGreaterThan(100);
    }, 60_000);
  }

  test("3 processes that have no memory for all pages are linearizable", async () => {
    const result = await onLoopback(3, 47, { ...fewPages, patienceSeconds: 40 });
    expect(result.errors.join("")).toBe("");
    expect(result.problems).toEqual([]);
    const sum = (name: string) =>
      result.totals.reduce((before, totals) => before + (totals[name] ?? 0), 0);
    console.log(result.totals.map((t) => `${t["pages_evicted"]}/${t["pages_forgotten"]}`));
    expect(sum("pages_evicted")).toBeGreaterThan(10);
    expect(sum("pages_forgotten")).toBeGreaterThan(sum("pages_evicted") / 2);
  }, 60_000);

  test("a mapping that stays writable while its bytes leave is found", async () => {
    expect(await findsFault(2, { guardOff: "protect_before_read" })).toBe(true);
  }, 120_000);

  test("bytes that are forgotten too early are found", async () => {
    expect(await findsFault(3, { ...fewPages, guardOff: "bytes_kept" })).toBe(true);
  }, 120_000);
});
