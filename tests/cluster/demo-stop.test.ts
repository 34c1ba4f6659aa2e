/** @module An interrupted demo says so, exits with the signal's code and takes its nodes along. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { executable, kvmMissing } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: interrupted demo: ${missing}`);

function childrenOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
}

/** Gone, or a zombie that only waits to be reaped by init. */
function ended(pid: string): boolean {
  if (!existsSync(`/proc/${pid}`)) return true;
  return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

type Demo = Bun.Subprocess<"ignore", "pipe", "pipe">;

function startDemo(): Demo {
  return Bun.spawn([executable, "demo", "--nodes", "2", "--cpus", "1"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Waits for the first check, when guest and nodes are in full run; returns what reads the rest. */
async function inFullRun(demo: Demo): Promise<() => Promise<string>> {
  const reader = demo.stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const more = async () => {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: true });
    return !done;
  };
  while (!text.includes("read-mostly")) {
    if (!(await more())) throw new Error(`the demo ended early: ${text}`);
  }
  return async () => {
    while (await more());
    return text;
  };
}

const cases = [
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGQUIT", 131],
  ["SIGTERM", 143],
] as const;

for (const [signal, code] of cases) {
  test.skipIf(missing !== undefined)(`${signal} ends the demo and its nodes`, async () => {
    await using demo = startDemo();
    const rest = await inFullRun(demo);
    const nodes = childrenOf(demo.pid);
    expect(nodes.length).toBe(2);
    demo.kill(signal);
    await rest();
    const [complaint] = await Promise.all([demo.stderr.text(), demo.exited]);
    expect(complaint).toBe("giantvm: interrupted; all nodes are stopped\n");
    expect({ code: demo.exitCode, signal: demo.signalCode }).toEqual({ code, signal: null });
    expect(nodes.filter((pid) => !ended(pid))).toEqual([]);
  });
}

test.skipIf(missing !== undefined)("a demo whose node is lost ends with that code", async () => {
  await using demo = startDemo();
  const rest = await inFullRun(demo);
  const nodes = childrenOf(demo.pid);
  process.kill(Number(nodes[1]), "SIGKILL");
  const text = await rest();
  await demo.exited;
  expect(text).toMatch(/verdict: FAIL - .*was lost/);
  expect({ code: demo.exitCode, signal: demo.signalCode }).toEqual({ code: 5, signal: null });
  expect(nodes.filter((pid) => !ended(pid))).toEqual([]);
});
