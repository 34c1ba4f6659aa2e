/**
 * @module Processes with the production engine and two threads each (native/zig/
 * engine_node_main.zig) on shared counters, on loopback or wherever they are placed, and what
 * must be true of what their threads saw.
 */

import { Log } from "../program.ts";
import { buildProgram } from "../zig.ts";
import { checkHistory, handovers, type Operation } from "./history.ts";

/** Where a process runs: what its command starts with, and its address there. */
export type Site = { readonly prefix: readonly string[]; readonly address: string };

export type EnginesOptions = {
  readonly sites: readonly Site[];
  readonly seed: number;
  readonly operationsPerThread: number;
  readonly patienceSeconds: number;
  /** A peer silent for so long ends a process; 2 where not said, as in the product. */
  readonly silenceSeconds?: number;
  /** Length of the pauses between operations, where it matters. */
  readonly pauseUs?: number;
  /** How many pages of memory a process may take; all where not said. */
  readonly takenPages?: number;
  /** A rule to switch off. */
  readonly guardOff?: string;
};

export type EnginesResult = {
  readonly operations: readonly Operation[];
  readonly codes: readonly (number | null)[];
  /** Counters of each engine at its end. */
  readonly totals: readonly Readonly<Record<string, number>>[];
  readonly errors: readonly string[];
  /** What is wrong; empty when all ended well and the history is linearizable. */
  readonly problems: readonly string[];
  /** How often a counter's page moved. */
  readonly handovers: number;
};

/** Of each process. */
export const threads = 2;

export function readHistory(text: string, node: number): readonly Operation[] {
  return text.split("\n").flatMap((line) => {
    const [counter, kind, value, begin, end] = line.split(" ");
    if (kind !== "add" && kind !== "load") return [];
    const numbers = { value: Number(value), begin: Number(begin), end: Number(end) };
    return [{ counter: Number(counter), kind, ...numbers, node }];
  });
}

export function readTotals(text: string): Readonly<Record<string, number>> {
  const lines = text.matchAll(/^total (\w+) (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, name, value]) => [name!, Number(value)]));
}

type Child = Bun.Subprocess<"pipe", "pipe", "pipe">;

function spawn(program: string, options: EnginesOptions, node: number): Child {
  const { prefix, address } = options.sites[node]!;
  const words = {
    node,
    nodes: options.sites.length,
    seed: options.seed,
    operations: options.operationsPerThread,
    here: address,
    patience: `${options.patienceSeconds}s`,
    silence: `${options.silenceSeconds ?? 2}s`,
    pause: `${options.pauseUs ?? 20}us`,
    taken: options.takenPages ?? 0,
    guard: options.guardOff ?? "",
  };
  const args = Object.entries(words).map(([name, value]) => `${name}=${value}`);
  return Bun.spawn([...prefix, program, ...args], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
}

function problemsOf(result: Omit<EnginesResult, "problems">, options: EnginesOptions) {
  const wanted = options.sites.length * threads * options.operationsPerThread;
  const problems = result.codes.flatMap((code, node) =>
    code === 0 ? [] : [`node ${node} ended with ${code}`],
  );
  if (result.operations.length !== wanted) {
    problems.push(`${result.operations.length} operations instead of ${wanted}`);
    return problems;
  }
  return [...problems, ...checkHistory(result.operations)];
}

/** Runs them to their ends, good or bad. */
export async function runEngines(options: EnginesOptions): Promise<EnginesResult> {
  const program = buildProgram("engine_node");
  const children = options.sites.map((_, node) => spawn(program, options, node));
  try {
    const logs = children.map(() => new Log());
    const heard = children.map((child, node) => logs[node]!.read(child.stdout));
    const errors = children.map((child) => new Response(child.stderr).text());
    await Promise.all(logs.map((log) => log.contains("\n")));
    const addresses = logs.map((log) => /^address (\S+)\n/.exec(log.text)![1]);
    for (const child of children) {
      child.stdin.write(`${addresses.join(" ")}\n`);
      child.stdin.flush();
    }
    // One that ends without is told by its exit code.
    await Promise.allSettled(logs.map((log) => log.contains("done\n")));
    for (const child of children) child.stdin.end();
    await Promise.all(heard);
    const operations = logs.flatMap((log, node) => readHistory(log.text, node));
    const result = {
      operations,
      codes: await Promise.all(children.map((child) => child.exited)),
      totals: logs.map((log) => readTotals(log.text)),
      errors: await Promise.all(errors),
      handovers: handovers(operations),
    };
    return { ...result, problems: problemsOf(result, options) };
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
  }
}
