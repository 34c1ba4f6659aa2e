/**
 * @module `giantvm demo`: several nodes of one virtual machine as processes of this program on
 * loopback, with the built-in guest on them. Ends with a verdict, and with no process left behind.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Check, readLine } from "../observe/checks.ts";
import { kvmObstacle } from "../observe/doctor/kvm.ts";
import { realHost } from "../observe/doctor/source.ts";
import {
  checkLine,
  type Report,
  summarize,
  type Summary,
  summaryText,
} from "../observe/summary.ts";
import {
  type Child,
  type Ended,
  freePorts,
  selfCommand,
  startChild,
  stopAll,
  within,
} from "./children.ts";
import { DemoUsageError, type DemoOptions, type Flags, readDemoOptions } from "./demo-options.ts";

export const demoExit = { pass: 0, fail: 1, usage: 2, host: 3, interrupted: 130, terminated: 143 };

/** The guest itself gives up on a wait after 20 s; a machine silent for longer hangs. */
const silenceMs = 60_000;
/** The nodes' own shutdown after the guest's power-off. */
const closingMs = 15_000;

type Progress = {
  readonly checks: Check[];
  verdict: "pass" | "fail" | undefined;
  lastText: string;
  lastHeard: number;
};

type Run = {
  readonly progress: Progress;
  readonly reports: readonly Report[];
  reason: string | null;
};

function nodeCommand(
  options: DemoOptions,
  peers: readonly string[],
  node: number,
  report: string,
): readonly string[] {
  const self = peers[node] ?? "";
  return [
    ...selfCommand(),
    "run",
    "--local-cpu",
    String(options.cpus),
    "--local-memory",
    `${options.memoryMibPerNode}M`,
    "--peers",
    peers.join(","),
    "--self",
    self,
    "--report",
    report,
    ...(options.guardOff === "" ? [] : ["--guard-off", options.guardOff]),
  ];
}

function readReport(path: string): Report | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    if (!("node" in value) || typeof value.node !== "number") return undefined;
    if (!("exit" in value) || typeof value.exit !== "number") return undefined;
    if (!("counters" in value) || typeof value.counters !== "object") return undefined;
    const numbers = Object.entries(value.counters ?? {}).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number",
    );
    return { node: value.node, exit: value.exit, counters: Object.fromEntries(numbers) };
  } catch {
    return undefined;
  }
}

function take(line: string, progress: Progress, options: DemoOptions): void {
  progress.lastHeard = performance.now();
  const read = readLine(line);
  switch (read.kind) {
    case "check":
      progress.checks.push(read.check);
      if (!options.json) process.stdout.write(`${checkLine(read.check)}\n`);
      return;
    case "verdict":
      progress.verdict = read.pass ? "pass" : "fail";
      return;
    case "text":
      if (read.text !== "") progress.lastText = read.text;
      if (!options.json && read.text !== "") process.stdout.write(`${read.text}\n`);
      return;
    default:
      read satisfies never;
  }
}

/** Waits until one node has ended, or nothing was heard for too long, or `interrupted`. */
async function watch(
  children: readonly Child[],
  progress: Progress,
  interrupted: Promise<unknown>,
): Promise<void> {
  const first = Promise.race([...children.map((child) => child.ended), interrupted]);
  for (;;) {
    const left = progress.lastHeard + silenceMs - performance.now();
    if (left <= 0 || (await within(first, left)) !== undefined) return;
  }
}

/** Why this run is no pass, null when it is one. */
function reasonOf(
  ends: readonly (Ended | undefined)[],
  children: readonly Child[],
  progress: Progress,
): string | null {
  const failed = progress.checks.find((check) => !check.ok);
  if (failed !== undefined) return `check ${failed.name}: ${failed.text.split(" - ").at(-1)}`;
  if (progress.verdict === "fail") return `the guest stopped with: ${progress.lastText}`;
  const told = (node: number) => {
    const last = children[node]?.log.findLast((line) => line.trim() !== "");
    return last === undefined ? "" : `: ${last}`;
  };
  if (progress.verdict !== "pass") {
    const node = ends.findIndex((end) => end !== undefined && end.code !== 0);
    if (node < 0) return `the guest gave no verdict within ${silenceMs / 1000} s of silence`;
    return `node ${node} ended before the guest's verdict (exit ${ends[node]?.code})${told(node)}`;
  }
  const late = ends.findIndex((end) => end === undefined);
  if (late >= 0) return `node ${late} did not end after the guest's power-off${told(late)}`;
  const bad = ends.findIndex((end) => end?.code !== 0 || end.signal !== null);
  return bad < 0 ? null : `node ${bad} ended with exit ${ends[bad]?.code}${told(bad)}`;
}

async function runNodes(options: DemoOptions, interrupted: Promise<unknown>): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), "giantvm-demo-"));
  const progress: Progress = {
    checks: [],
    verdict: undefined,
    lastText: "",
    lastHeard: performance.now(),
  };
  const children: Child[] = [];
  try {
    const ports = await freePorts(options.nodes);
    const peers = ports.map((port) => `127.0.0.1:${port}`);
    const paths = peers.map((_, node) => join(folder, `node-${node}.json`));
    for (const [node, path] of paths.entries()) {
      const onLine = node === 0 ? (line: string) => take(line, progress, options) : () => {};
      children.push(startChild(nodeCommand(options, peers, node, path), onLine));
    }
    await watch(children, progress, interrupted);
    const ends = await Promise.all(
      children.map((child) =>
        within(Promise.race([child.ended, interrupted.then(() => undefined)]), closingMs),
      ),
    );
    const reason = reasonOf(ends, children, progress);
    await stopAll(children);
    return { progress, reason, reports: paths.flatMap((path) => readReport(path) ?? []) };
  } finally {
    await stopAll(children);
    rmSync(folder, { recursive: true, force: true });
  }
}

function complain(text: string, code: number): number {
  process.stderr.write(`giantvm demo: ${text}\n`);
  return code;
}

function introduce(options: DemoOptions): void {
  if (options.json) return;
  const { nodes, cpus, memoryMibPerNode } = options;
  process.stdout.write(
    `Starting ${nodes} ${nodes === 1 ? "node" : "nodes"} of one virtual machine on this host, ` +
      `each with ${cpus} vCPU${cpus === 1 ? "" : "s"} and ${memoryMibPerNode} MiB.\n`,
  );
}

function conclude(summary: Summary, json: boolean): void {
  process.stdout.write(json ? `${JSON.stringify(summary)}\n` : `${summaryText(summary)}\n`);
}

/** Resolves to the exit code the signal asks for; `off` removes the handlers. */
function onSignals() {
  const { promise, resolve } = Promise.withResolvers<number>();
  const interrupt = () => resolve(demoExit.interrupted);
  const terminate = () => resolve(demoExit.terminated);
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", terminate);
  const off = () => {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", terminate);
  };
  return { promise, off };
}

/** Runs the demo and returns its exit code; everything it started is gone by then. */
export async function demo(flags: Flags): Promise<number> {
  let options: DemoOptions;
  try {
    options = readDemoOptions(flags);
  } catch (problem) {
    if (problem instanceof DemoUsageError) return complain(problem.message, demoExit.usage);
    throw problem;
  }
  const obstacle = kvmObstacle(realHost(() => undefined));
  if (obstacle !== undefined) {
    return complain(`${obstacle.found}: ${obstacle.cure}`, demoExit.host);
  }
  const signals = onSignals();
  try {
    introduce(options);
    let signal: number | undefined;
    const interrupted = signals.promise.then((code) => (signal = code));
    const start = performance.now();
    const { progress, reports, reason } = await runNodes(options, interrupted);
    if (signal !== undefined) return complain("interrupted; all nodes are stopped", signal);
    const summary = summarize({
      nodes: options.nodes,
      vcpus: options.nodes * options.cpus,
      checks: progress.checks,
      reports,
      seconds: (performance.now() - start) / 1000,
      reason,
    });
    conclude(summary, options.json);
    return reason === null ? demoExit.pass : demoExit.fail;
  } finally {
    signals.off();
  }
}
