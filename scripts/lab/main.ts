/**
 * @module `bun scripts/lab/main.ts [--logs] [--runs N] SCENARIO`: plays a scenario of scenarios.ts
 * and says how it went; with --logs the hosts' logs and the guest's console run along.
 */

import { makeLab } from "./lab.ts";
import { LabMissing } from "./packages.ts";
import { type Outcome, play } from "./play.ts";
import { withoutCounters } from "./pulse.ts";
import { scenarios } from "./scenarios.ts";

const names = [...scenarios.keys()].join("|");
const usage = `usage: bun scripts/lab/main.ts [--logs] [--runs N] ${names}\n`;

/** Shown for each node at the end: what tells how the coherence engine fared. */
const shown = [
  "exits",
  "faultsRead",
  "faultsWrite",
  "pagesReceived",
  "requestsGanged",
  "invalidations",
  "deferredCount",
  "ipisSent",
  "ioForwarded",
  "retransmissions",
];

function summary(outcome: Outcome): string {
  const lines = [
    outcome.ok ? `${outcome.scenario}: passed` : `${outcome.scenario}: FAILED: ${outcome.reason}`,
    `hosts ${outcome.hostSeconds.toFixed(1)} s, guest ${outcome.bootSeconds.toFixed(1)} s, ` +
      `hosts that died by themselves: ${outcome.hostsDied}`,
  ];
  for (const [node, counters] of outcome.counters.entries()) {
    const values = shown.filter((name) => name in counters);
    const text = values.map((name) => `${name} ${counters[name]}`).join(", ");
    const remote = counters["faultRemoteCount"] ?? 0;
    const mean = remote === 0 ? 0 : (counters["faultRemoteNs"] ?? 0) / remote / 1e6;
    const deferred = (counters["deferredNs"] ?? 0) / 1e9;
    if (text !== "") {
      lines.push(
        `node ${node}: ${text}; ${remote} remote requests of ${mean.toFixed(1)} ms, ` +
          `deferred ${deferred.toFixed(1)} s`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

type Options = { readonly name: string; readonly logs: boolean; readonly runs: number };

function readOptions(args: readonly string[]): Options | undefined {
  const runsAt = args.indexOf("--runs");
  const runs = runsAt < 0 ? 1 : Number(args[runsAt + 1]);
  const name = args.find((arg, i) => !arg.startsWith("--") && (runsAt < 0 || i !== runsAt + 1));
  if (name === undefined || !Number.isInteger(runs) || runs < 1) return undefined;
  return { name, logs: args.includes("--logs"), runs };
}

function say(line: string): void {
  process.stdout.write(`lab: ${line}\n`);
}

/** @returns exit code: 0 passed, 1 failed, 2 usage, 3 the lab cannot be built here. */
export async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  const scenario = options && scenarios.get(options.name);
  if (!options || !scenario) {
    process.stderr.write(usage);
    return 2;
  }
  try {
    const lab = await makeLab(say);
    say(scenario.title);
    for (let run = 0; run < options.runs; run += 1) {
      const outcome = await play(lab, scenario, {
        say,
        console: (text) => options.logs && process.stdout.write(text),
        log: (node, text) => options.logs && process.stderr.write(`[host ${node}] ${text}`),
      });
      if (!outcome.ok && !options.logs) {
        for (const [node, log] of outcome.logs.entries()) {
          process.stdout.write(`--- log of host ${node}\n${withoutCounters(log).slice(-4000)}\n`);
        }
        process.stdout.write(`--- the guest's console\n${outcome.console.slice(-4000)}\n---\n`);
      }
      process.stdout.write(summary(outcome));
      if (!outcome.ok) return 1;
    }
    return 0;
  } catch (error) {
    if (!(error instanceof LabMissing)) throw error;
    process.stderr.write(`lab: ${error.message}\n`);
    return 3;
  }
}

/** A signal ends the lab through process.exit, whose handlers clean up. */
export function exitOnSignals(): void {
  process.on("SIGINT", () => process.exit(130));
  process.on("SIGTERM", () => process.exit(143));
}

if (import.meta.main) {
  exitOnSignals();
  process.exitCode = await main(process.argv.slice(2));
}
