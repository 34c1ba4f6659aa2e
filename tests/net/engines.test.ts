/**
 * @module Processes with the production engine, in namespaces whose network loses, doubles and
 * reorders 5 % of the packets each, has a narrow link and is cut for 200 ms about once a second in
 * every direction: what their threads saw must be linearizable, and they must get through.
 */

import { beforeAll, describe, expect, test } from "bun:test";
import { type EnginesResult, runEngines } from "../dsm/processes.ts";
import { buildProgram } from "../zig.ts";
import { Network, networkMissing, type NetworkOptions, terrible } from "./network.ts";

const reason = networkMissing();
if (reason !== undefined) console.warn(`SKIPPED: engines on a terrible network: ${reason}`);

type Run = {
  readonly nodes: number;
  readonly operations: number;
  readonly network?: NetworkOptions;
  readonly guardOff?: string;
  readonly patienceSeconds?: number;
};

async function play(run: Run) {
  await using network = await Network.start(run.nodes, { ...terrible, ...run.network });
  const result = await runEngines({
    sites: network.sites,
    seed: run.nodes,
    operationsPerThread: run.operations,
    patienceSeconds: run.patienceSeconds ?? 60,
    pauseUs: 2000,
    // Where all is as it should be, a machine that is busy may stop a process for seconds.
    ...(run.guardOff === undefined ? { silenceSeconds: 10 } : { guardOff: run.guardOff }),
  });
  return { result, totals: await network.end() };
}

function expectRepaired(result: EnginesResult): void {
  for (const counters of result.totals) {
    expect(counters["retransmissions"]).toBeGreaterThan(20);
    expect(counters["duplicates"]).toBeGreaterThan(20);
    expect(counters["pages_received"]).toBeGreaterThan(100);
  }
}

describe.skipIf(reason !== undefined)("on a terrible network", () => {
  // Built before, so that no test's time is the compiler's.
  beforeAll(() => {
    buildProgram("relay");
    buildProgram("engine_node");
  }, 300_000);

  for (const [nodes, operations] of [
    [2, 3000],
    [3, 1500],
  ] as const) {
    test(`${nodes} processes are linearizable and get through`, async () => {
      const { result, totals } = await play({ nodes, operations, network: { seed: 70 + nodes } });
      expect(result.errors.join("")).toBe("");
      expect(result.problems).toEqual([]);
      expect(result.handovers).toBeGreaterThan(300);
      expectRepaired(result);
      for (const fault of ["lost", "doubled", "reordered", "cut off"]) {
        expect({ fault, count: totals[fault] }).not.toEqual({ fault, count: 0 });
      }
      // More than the relay was asked to do would prove less than it says.
      expect(totals["dropped"]).toBe(0);
    }, 110_000);
  }

  test("a message delivered twice is found", async () => {
    const { result } = await play({ nodes: 2, operations: 500, guardOff: "duplicate_suppression" });
    expect(result.problems.length).toBeGreaterThan(0);
  }, 110_000);

  test("a lost packet that is not sent again is found, as operations that never end", async () => {
    const guardOff = "retransmission";
    const { result } = await play({ nodes: 2, operations: 500, guardOff, patienceSeconds: 3 });
    // One may have been through before anything it waits for was lost.
    expect(result.codes).toContain(3);
    expect(result.errors.join("")).toContain("operations take too long");
  }, 110_000);
});
