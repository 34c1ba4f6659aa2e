/**
 * @module Plays a scenario: hosts up, giantvm on each, the guest's boot, questions and answers,
 * power-off. A host that died by itself (the emulation's fault, not ours) is told apart from a VM
 * that failed, and the whole scenario is tried once more; how often that happened is part of the
 * result.
 */

import type { Host } from "./host.ts";
import { lastCounters } from "./pulse.ts";
import { type Answer, Failed, HostDied, type Lab, type Progress, Run } from "./run.ts";
import type { Scenario } from "./scenarios.ts";
import { threadsCounters, type ThreadsFound } from "./threads.ts";

export { type Answer, attemptSeconds, type Lab, type Progress, type Session } from "./run.ts";

export type Outcome = {
  readonly scenario: string;
  readonly ok: boolean;
  /** Why not, one sentence; "" when ok. */
  readonly reason: string;
  readonly hostSeconds: number;
  readonly bootSeconds: number;
  /** How long the guest took to come back, for each reboot. */
  readonly rebootSeconds: readonly number[];
  readonly answers: readonly Answer[];
  /** How many of the attempts, two at most, ended by a host that died by itself. */
  readonly hostsDied: number;
  /** What native threads saw; undefined where there are none, or they did not get through. */
  readonly threads: ThreadsFound | undefined;
  /** The counters giantvm (or the threads' engine) printed at its end, by node. */
  readonly counters: readonly Readonly<Record<string, number>>[];
  readonly logs: readonly string[];
  /** Where the vCPUs of all nodes were when the guest was given up; "" otherwise. */
  readonly where: string;
  readonly console: string;
};

/**
 * Counters of `run --report`, which the host prints at its end, or of the threads' engine; else the
 * last that were asked for on the way.
 */
function readCounters({ log, console }: Host): Readonly<Record<string, number>> {
  const line = log.text.match(/^LAB-REPORT (\{.*\})$/m)?.[1];
  if (line === undefined) return { ...lastCounters(log.text), ...threadsCounters(console.text) };
  try {
    return (JSON.parse(line) as { counters?: Record<string, number> }).counters ?? {};
  } catch {
    return {};
  }
}

/** One attempt: its own death is all that it counts. */
async function attempt(lab: Lab, scenario: Scenario, progress: Progress): Promise<Outcome> {
  const run = new Run(lab, scenario, progress);
  let reason = "";
  let died = false;
  try {
    await run.play();
  } catch (error) {
    if (!(error instanceof HostDied || error instanceof Failed)) throw error;
    reason = error.message;
    died = error instanceof HostDied;
    if (!died) await run.askWhere();
  } finally {
    await run.close();
  }
  return {
    scenario: scenario.name,
    ok: reason === "",
    reason,
    hostSeconds: run.hostSeconds,
    bootSeconds: run.bootSeconds,
    rebootSeconds: run.rebootSeconds,
    answers: run.answers,
    threads: run.threads,
    hostsDied: died ? 1 : 0,
    counters: run.hosts.map((host) => readCounters(host)),
    where: run.where,
    logs: run.hosts.map((host) => host.log.text),
    console: run.hosts[0]?.console.text ?? "",
  };
}

/** Plays once, and once more when the emulation failed. Leaves no process and no file. */
export async function play(lab: Lab, scenario: Scenario, progress: Progress): Promise<Outcome> {
  const first = await attempt(lab, scenario, progress);
  if (first.hostsDied === 0) return first;
  progress.say(`${first.reason}; once more`);
  const second = await attempt(lab, scenario, progress);
  return { ...second, hostsDied: first.hostsDied + second.hostsDied };
}
