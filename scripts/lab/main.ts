/**
 * @module `npm run lab`: emulated hosts with giantvm on each, for a scenario of scenarios.ts or for
 * a shell on this terminal.
 */

import { relative } from "node:path";
import { Failure } from "../../src/cli/failure.ts";
import { onSignals } from "../../src/cli/signals.ts";
import { HostLogs } from "./host-logs.ts";
import { keep } from "./kept.ts";
import { makeLab } from "./lab.ts";
import { machineOf, readRequest, type Request, usage } from "./options.ts";
import { LabMissing } from "./packages.ts";
import { type Lab, type Outcome, play, type Progress } from "./play.ts";
import { summaryOf, sumsOf, transcriptOf } from "./report.ts";
import { scenarios } from "./scenarios.ts";
import { consoleSession } from "./session.ts";

type Playing = Extract<Request, { readonly kind: "play" | "interactive" }>;

function say(line: string): void {
  // A terminal that is the guest's is raw.
  process.stdout.write(`lab: ${line}${process.stdin.isRaw ? "\r\n" : "\n"}`);
}

function list(): string {
  const rows = [...scenarios.values()].map(
    (each) => `${each.name.padEnd(16)} ${each.title} (${machineOf(each)})\n`,
  );
  return rows.join("");
}

const hostLogs = new HostLogs((text) => process.stderr.write(text));

function progressOf({ logs }: Playing): Progress {
  return {
    say,
    console: (text) => logs && process.stdout.write(text),
    log: (node, text) => logs && hostLogs.add(node, text),
  };
}

function tell(outcome: Outcome, { logs }: Playing, failed?: string): number {
  if (!outcome.ok && !logs) process.stdout.write(transcriptOf(outcome));
  process.stdout.write(summaryOf(outcome));
  if (outcome.ok) return 0;
  say(`all that was printed: ${relative(process.cwd(), keep(outcome, failed))}`);
  return 1;
}

async function interactive(request: Playing): Promise<number> {
  const { session, close } = consoleSession(process.stdin, process.stdout, say);
  const { console: _, ...progress } = progressOf(request);
  const lab = await makeLab(say);
  say(`${request.scenario.title}: ${machineOf(request.scenario)}`);
  try {
    const outcome = await play(lab, request.scenario, { ...progress, console: () => {}, session });
    close();
    return tell(outcome, request);
  } finally {
    close();
  }
}

/**
 * @param failed Where what a failed play printed is kept, if not in dist.
 * @returns exit code.
 */
export async function plays(lab: Lab, request: Playing, failed?: string): Promise<number> {
  say(`${request.scenario.title} (${machineOf(request.scenario)})`);
  const outcomes: Outcome[] = [];
  let code = 0;
  while (code === 0 && outcomes.length < request.runs) {
    if (request.runs > 1) say(`run ${outcomes.length + 1} of ${request.runs}`);
    const outcome = await play(lab, request.scenario, progressOf(request));
    outcomes.push(outcome);
    code = tell(outcome, request, failed);
  }
  if (request.runs > 1) process.stdout.write(sumsOf(outcomes));
  return code;
}

/**
 * @param usual The scenario where `args` name none; without one it is a shell.
 * @returns exit code: 0 passed, 1 failed, 2 usage, 3 the lab cannot be built here.
 */
export async function main(args: readonly string[], usual?: string): Promise<number> {
  try {
    // npm starts us in the package's folder.
    const request = readRequest(args, process.env["INIT_CWD"] ?? process.cwd(), usual);
    switch (request.kind) {
      case "help":
        process.stdout.write(usage);
        return 0;
      case "list":
        process.stdout.write(list());
        return 0;
      case "interactive":
        return await interactive(request);
      case "play":
        return await plays(await makeLab(say), request);
      default:
        request satisfies never;
        return 2;
    }
  } catch (error) {
    if (!(error instanceof LabMissing || error instanceof Failure)) throw error;
    process.stderr.write(`lab: ${error.message}\n`);
    return error instanceof Failure ? error.code : 3;
  }
}

/** A signal ends the lab through process.exit, whose handlers clean up. */
export function exitOnSignals(): void {
  onSignals((code) => process.exit(code));
}

if (import.meta.main) {
  exitOnSignals();
  process.exitCode = await main(process.argv.slice(2));
}
