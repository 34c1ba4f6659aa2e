/**
 * @module `giantvm demo`: several nodes of one virtual machine as processes of this program on
 * loopback, with the built-in guest on them. Ends with a verdict, and with no process left behind.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { codeOf } from "../config/files.ts";
import { runOptions, variableOf } from "../config/options.ts";
import { type Check, readLine } from "../observe/checks.ts";
import { sentence } from "../observe/doctor/finding.ts";
import { userfault } from "../observe/doctor/kernel.ts";
import { kvmObstacle } from "../observe/doctor/kvm.ts";
import { freePorts } from "../net/ports.ts";
import { type Probe, realHost } from "../observe/doctor/source.ts";
import {
  checkLine,
  type Report,
  summarize,
  type Summary,
  summaryText,
} from "../observe/summary.ts";
import { type Child, type Ended, selfCommand, startChild, stopAll, within } from "./children.ts";
import { type DemoOptions, readDemoOptions } from "./demo-options.ts";
import { exitCode, Failure } from "./failure.ts";
import type { Flags } from "./flags.ts";
import { guestQuietMs } from "./guest-wait.ts";
import { onSignals } from "./signals.ts";

/**
 * Of one node for another: a closed port says at once that a node is gone, and on a busy machine a
 * node may wait for its CPU for seconds.
 */
const nodeSilenceMs = 20_000;
/** A guest that is silent for longer says nothing any more: a stuck one names its check before. */
export function quietMs(options: DemoOptions): number {
  return guestQuietMs({ silenceMs: nodeSilenceMs, guardOff: options.guardOff });
}
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
  readonly reason: string | null;
  readonly code: number;
};

export function nodeCommand(
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
    "--silence",
    String(nodeSilenceMs),
    "--report",
    report,
    ...(options.guardOff === "" ? [] : ["--guard-off", options.guardOff]),
  ];
}

/** Without options of `giantvm run`: the user gave them to nodes of his own. */
export function nodeEnvironment(
  own: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const options = new Set(runOptions.map(({ name }) => variableOf(name)));
  return Object.fromEntries(Object.entries(own).filter(([name]) => !options.has(name)));
}

/** For the nodes' reports. */
function makeFolder(): string {
  const at = tmpdir();
  try {
    return mkdtempSync(join(at, "giantvm-demo-"));
  } catch (error) {
    const why = `no folder can be made in ${at} (${codeOf(error)})`;
    throw new Failure(exitCode.host, `${why}; free it, or name another in TMPDIR`);
  }
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

/** Waits until one node has ended, or nothing was heard for `limitMs`, or `interrupted`. */
async function watch(
  children: readonly Child[],
  progress: Progress,
  limitMs: number,
  interrupted: Promise<number>,
): Promise<void> {
  const first = Promise.race([...children.map((child) => child.ended), interrupted]);
  for (;;) {
    const left = progress.lastHeard + limitMs - performance.now();
    if (left <= 0 || (await within(first, left)) !== undefined) return;
  }
}

/** Why this run is no pass, null when it is one. */
function reasonOf(
  ends: readonly (Ended | undefined)[],
  children: readonly Child[],
  progress: Progress,
  limitMs: number,
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
    if (node < 0) return `the guest gave no verdict within ${limitMs / 1000} s of silence`;
    return `node ${node} ended before the guest's verdict (exit ${ends[node]?.code})${told(node)}`;
  }
  const late = ends.findIndex((end) => end === undefined);
  if (late >= 0) return `node ${late} did not end after the guest's power-off${told(late)}`;
  const bad = ends.findIndex((end) => end?.code !== 0 || end.signal !== null);
  return bad < 0 ? null : `node ${bad} ended with exit ${ends[bad]?.code}${told(bad)}`;
}

/**
 * The exit code of a run with a reason: 1 says that the guest judged or gave none, everything else
 * is the code of the node that failed, the cause before "a peer was lost", which follows from it.
 */
function exitOf(ends: readonly (Ended | undefined)[], progress: Progress): number {
  const judged = progress.verdict === "fail" || progress.checks.some((check) => !check.ok);
  if (judged) return exitCode.verdict;
  const bad = ends.filter((end) => end !== undefined && end.code !== exitCode.done);
  const told = bad.filter((end) => end?.signal === null).map((end) => end?.code ?? 0);
  const code = told.find((each) => each !== exitCode.lost) ?? told[0];
  if (code !== undefined) return code;
  return bad.length > 0 ? exitCode.internal : exitCode.verdict;
}

async function runNodes(options: DemoOptions, interrupted: Promise<number>): Promise<Run> {
  const folder = makeFolder();
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
      const command = nodeCommand(options, peers, node, path);
      children.push(startChild(command, onLine, nodeEnvironment(process.env)));
    }
    await watch(children, progress, quietMs(options), interrupted);
    const ends = await Promise.all(
      children.map((child) =>
        within(Promise.race([child.ended, interrupted.then(() => undefined)]), closingMs),
      ),
    );
    const reason = reasonOf(ends, children, progress, quietMs(options));
    await stopAll(children);
    return {
      progress,
      reason,
      code: reason === null ? exitCode.done : exitOf(ends, progress),
      reports: paths.flatMap((path) => readReport(path) ?? []),
    };
  } finally {
    await stopAll(children);
    rmSync(folder, { recursive: true, force: true });
  }
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

/** Throws with the cure when no node could run here. */
function checkHost(probe: () => Probe | undefined): void {
  const host = realHost(probe);
  const kvm = kvmObstacle(host);
  const faults = kvm === undefined ? userfault(host) : undefined;
  const obstacle = kvm ?? (faults?.level === "fail" ? faults : undefined);
  if (obstacle === undefined) return;
  throw new Failure(exitCode.host, sentence(obstacle));
}

/** Runs the demo and returns its exit code; everything it started is gone by then. */
export async function demo(flags: Flags, probe: () => Probe | undefined): Promise<number> {
  const options = readDemoOptions(flags);
  checkHost(probe);
  const { promise: interrupted, resolve } = Promise.withResolvers<number>();
  let signal: number | undefined;
  const interrupt = (code: number) => {
    signal ??= code;
    resolve(code);
  };
  const off = onSignals(interrupt);
  // Whoever watched may have gone: the nodes end as for a signal.
  process.stdout.on("error", () => interrupt(exitCode.unread));
  try {
    introduce(options);
    const start = performance.now();
    const { progress, reports, reason, code } = await runNodes(options, interrupted);
    if (signal !== undefined) throw new Failure(signal, "interrupted; all nodes are stopped");
    const summary = summarize({
      nodes: options.nodes,
      vcpus: options.nodes * options.cpus,
      checks: progress.checks,
      reports,
      seconds: (performance.now() - start) / 1000,
      reason,
    });
    conclude(summary, options.json);
    return code;
  } finally {
    off();
  }
}
