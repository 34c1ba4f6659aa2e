/** @module How a scenario went, for people: a few lines, and all there is when it failed. */

import { complaintOf } from "./complaints.ts";
import type { Outcome } from "./play.ts";
import { withoutCounters } from "./pulse.ts";
import { excerpt } from "./transcript.ts";

/** Shown for each node at the end: what tells how the coherence engine fared. */
const shown = [
  "exits",
  "faultsRead",
  "faultsWrite",
  "pagesReceived",
  "requestsGanged",
  "requestsAhead",
  "invalidations",
  "deferredCount",
  "ipisSent",
  "ioForwarded",
  "retransmissions",
];

const shownCharacters = 6000;

function counted(node: number, counters: Readonly<Record<string, number>>): string {
  const values = shown.filter((name) => name in counters);
  const text = values.map((name) => `${name} ${counters[name]}`).join(", ");
  const remote = counters["faultRemoteCount"] ?? 0;
  const mean = remote === 0 ? 0 : (counters["faultRemoteNs"] ?? 0) / remote / 1e6;
  const deferred = (counters["deferredNs"] ?? 0) / 1e9;
  return (
    `node ${node}: ${text}; ${remote} remote requests of ${mean.toFixed(1)} ms, ` +
    `deferred ${deferred.toFixed(1)} s`
  );
}

function seconds(value: number): string {
  return `${value.toFixed(1)} s`;
}

/** How often the emulation failed. */
function failures(outcomes: readonly Outcome[]): string {
  const died = outcomes.reduce((sum, { hostsDied }) => sum + hostsDied, 0);
  return `hosts that died by themselves: ${died}`;
}

/** Of several plays of one scenario. */
export function sumsOf(outcomes: readonly Outcome[]): string {
  const passed = outcomes.filter(({ ok }) => ok).length;
  return `${passed} of ${outcomes.length} runs passed, ${failures(outcomes)}\n`;
}

/** Whether it passed, how long it took, what the nodes counted. */
export function summaryOf(outcome: Outcome): string {
  const again = outcome.rebootSeconds.map(seconds).join(", ");
  const lines = [
    outcome.ok ? `${outcome.scenario}: passed` : `${outcome.scenario}: FAILED: ${outcome.reason}`,
    `hosts ${seconds(outcome.hostSeconds)}, guest ${seconds(outcome.bootSeconds)}, ` +
      (again === "" ? "" : `reboots ${again}, `) +
      failures([outcome]),
    ...outcome.counters.flatMap((counters, node) =>
      Object.keys(counters).length === 0 ? [] : [counted(node, counters)],
    ),
  ];
  return `${lines.join("\n")}\n`;
}

/** The end of the guest's console, and its first complaint with what follows. */
function consoleOf({ console }: Outcome): string {
  const complaint = complaintOf(console);
  const first = complaint === undefined ? console.length : console.indexOf(complaint);
  const end = Math.max(0, console.length - shownCharacters);
  return first < end ? excerpt(console.slice(first), 2 * shownCharacters) : console.slice(end);
}

/** The hosts' logs, where the vCPUs were when the guest was given up, and its console. */
export function transcriptOf(outcome: Outcome): string {
  const parts = outcome.logs.map(
    (log, node) => `--- log of host ${node}\n${withoutCounters(log).slice(-shownCharacters)}`,
  );
  if (outcome.where !== "") parts.push(`--- where the guest was\n${outcome.where}`);
  parts.push(`--- the guest's console\n${consoleOf(outcome)}\n---`);
  return `${parts.join("\n")}\n`;
}
