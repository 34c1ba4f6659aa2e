/**
 * @module The built-in guest, and native threads of the bare engine, over two emulated hosts with
 * hardware virtualization, joined by a network that Linux itself makes bad: netem loses, doubles
 * and reorders, and cuts for a while.
 */

import { expect, test } from "bun:test";
import { attemptSeconds, type Outcome, play } from "../../scripts/lab/play.ts";
import { type NativeThreads, type Scenario, scenarios } from "../../scripts/lab/scenarios.ts";
import { findWholeLab, playShown, say } from "./find.ts";

const lab = await findWholeLab();

/** How many packets the netem of all links of a host lost. */
function lostBy(log: string): number {
  const [line = ""] = /^LAB-NETEM .*$/m.exec(log) ?? [];
  return [...line.matchAll(/dropped (\d+)/g)].reduce((sum, [, lost]) => sum + Number(lost), 0);
}

async function played(scenario: Scenario): Promise<Outcome> {
  const outcome = await playShown(lab!, scenario);
  expect(outcome.reason).toBe("");
  for (const [node, counters] of outcome.counters.entries()) {
    expect(lostBy(outcome.logs[node]!)).toBeGreaterThan(20);
    expect(counters["retransmissions"]).toBeGreaterThan(20);
    expect(counters["duplicates"]).toBeGreaterThan(20);
  }
  return outcome;
}

/** Of both attempts, each with its own watchdogs. */
function limitMs(scenario: Scenario): number {
  return 2 * attemptSeconds(scenario) * 1000;
}

const guest = scenarios.get("netem")!;
test.skipIf(lab === undefined)(
  guest.title,
  async () => {
    const outcome = await played(guest);
    expect(outcome.console).toContain("verdict pass");
    // Two hosts, two counters: nodes that set them badly would show here first.
    expect(outcome.console).toMatch(/^check tsc ok \d+\.\d+ us /m);
  },
  limitMs(guest),
);

const threads = scenarios.get("netem-threads")!;
test.skipIf(lab === undefined)(
  threads.title,
  async () => {
    const outcome = await played(threads);
    expect(outcome.threads?.problems).toEqual([]);
    expect(outcome.threads?.handovers).toBeGreaterThan(300);
    for (const counters of outcome.counters) {
      expect(counters["pagesReceived"]).toBeGreaterThan(100);
    }
  },
  limitMs(threads),
);

const unsafe: Scenario = {
  ...threads,
  name: "netem-threads-unsafe",
  guest: { ...(threads.guest as NativeThreads), guardOff: "drop_before_answer" },
};
test.skipIf(lab === undefined)(
  "a copy that stays mapped after its node said that it is gone is found there, too",
  async () => {
    const outcome = await play(lab!, unsafe, { say, console: () => {}, log: () => {} });
    expect(outcome.reason).toStartWith("the threads' history is wrong: ");
    expect(outcome.threads?.problems.length).toBeGreaterThan(0);
  },
  limitMs(unsafe),
);
