/**
 * @module The built-in guest over two emulated hosts with hardware virtualization, joined by a
 * network that Linux itself makes bad: netem loses, doubles and reorders, and cuts for a while.
 */

import { expect, test } from "bun:test";
import { overheadSeconds, play } from "../../scripts/lab/play.ts";
import { scenarios } from "../../scripts/lab/scenarios.ts";
import { findLab, say } from "./find.ts";

const lab = await findLab();
const scenario = scenarios.get("netem")!;
// Both attempts, each with the scenario's own watchdogs.
const seconds = 2 * (scenario.bootSeconds + overheadSeconds);

/** How many packets a host's netem lost. */
function lostBy(log: string): number {
  return Number(/^LAB-NETEM .*dropped (\d+)/m.exec(log)?.[1] ?? 0);
}

test.skipIf(lab === undefined)(
  scenario.title,
  async () => {
    const outcome = await play(lab!, scenario, { say, console: () => {}, log: () => {} });
    if (!outcome.ok) console.error([...outcome.logs, outcome.console].join("\n---\n"));
    expect(outcome.reason).toBe("");
    expect(outcome.console).toContain("verdict pass");
    // Two hosts, two counters: nodes that set them badly would show here first.
    expect(outcome.console).toMatch(/^check tsc ok \d+\.\d+ us /m);
    for (const [node, counters] of outcome.counters.entries()) {
      expect(lostBy(outcome.logs[node]!)).toBeGreaterThan(20);
      expect(counters["retransmissions"]).toBeGreaterThan(20);
      expect(counters["duplicates"]).toBeGreaterThan(20);
    }
  },
  seconds * 1000,
);
