/**
 * @module One litmus run: the built-in guest over nodes of dist/giantvm on loopback, or native
 * threads over processes. Whatever was started is gone when it returns.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Child, startChild, stopAll, within } from "../../src/cli/children.ts";
import { freePorts } from "../../src/net/ports.ts";
import { root } from "../zig.ts";
import { type CaseResult, readCase, readFaults } from "./results.ts";

const executable = join(root, "dist/giantvm");
/** The longest case on a crowded host takes a small part of it. */
const silenceMs = 300_000;
const memoryPerNode = "32M";

export type Place = "guest" | "native";

export type Request = {
  readonly place: Place;
  readonly nodes: number;
  /** As many on each node. */
  readonly threadsPerNode: number;
  readonly shapes: readonly string[];
  readonly iterations: number;
  readonly seed: number;
  readonly guardOff?: string;
};

export type Run = {
  readonly cases: readonly CaseResult[];
  /** Page faults answered by another node, gates and results included. */
  readonly faults: number;
  /** Everything that was printed. */
  readonly text: readonly string[];
  /** Exit codes of all processes, 128 and more for one that a signal ended. */
  readonly codes: readonly number[];
};

function words(request: Request): readonly string[] {
  const { shapes, iterations, seed } = request;
  return [`litmus=${shapes.join(",")}`, `iterations=${iterations}`, `seed=${seed}`];
}

async function guestCommands(request: Request, reports: readonly string[]) {
  const ports = await freePorts(request.nodes);
  const peers = ports.map((port) => `127.0.0.1:${port}`);
  return reports.map((report, node) => [
    executable,
    "run",
    "--local-cpu",
    String(request.threadsPerNode),
    "--local-memory",
    memoryPerNode,
    "--peers",
    peers.join(","),
    "--self",
    peers[node] ?? "",
    "--report",
    report,
    "--append",
    words(request).join(" "),
    ...(request.guardOff === undefined ? [] : ["--guard-off", request.guardOff]),
  ]);
}

function reportedFaults(path: string): number {
  try {
    const report = JSON.parse(readFileSync(path, "utf8"));
    return Number(report.counters.faultRemoteCount);
  } catch {
    return 0; // A node that crashed leaves none, and its exit code tells.
  }
}

/** Waits until all have ended, or nothing was heard for too long. */
async function watch(children: readonly Child[], heard: () => number): Promise<readonly number[]> {
  const ended = Promise.all(children.map((child) => child.ended));
  for (;;) {
    const left = heard() + silenceMs - performance.now();
    const all = left <= 0 ? undefined : await within(ended, left);
    if (all !== undefined) return all.map(({ code, signal }) => (signal === null ? code : 128));
    if (left <= 0) return children.map(() => 124);
  }
}

/** Starts it, hears it to its end. `native` is the built program. */
export async function runLitmus(
  request: Request,
  native: string,
  onLine: (line: string) => void = () => {},
): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), "giantvm-litmus-"));
  const children: Child[] = [];
  const text: string[] = [];
  let last = performance.now();
  const take = (line: string) => {
    last = performance.now();
    text.push(line);
    onLine(line);
  };
  try {
    const reports = Array.from({ length: request.nodes }, (_, node) =>
      join(folder, `node-${node}.json`),
    );
    const commands =
      request.place === "guest"
        ? await guestCommands(request, reports)
        : [[native, String(request.nodes), request.guardOff ?? "", ...words(request)]];
    for (const [node, command] of commands.entries()) {
      children.push(startChild(command, node === 0 ? take : () => {}));
    }
    const codes = await watch(children, () => last);
    await stopAll(children);
    const counted = text.flatMap((line) => readFaults(line) ?? []);
    const faults = [...counted, ...reports.map(reportedFaults)].reduce((sum, n) => sum + n, 0);
    return { cases: text.flatMap((line) => readCase(line) ?? []), faults, text, codes };
  } finally {
    await stopAll(children);
    rmSync(folder, { recursive: true, force: true });
  }
}
