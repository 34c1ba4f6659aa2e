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

const cases = [
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGQUIT", 131],
  ["SIGTERM", 143],
] as const;

for (const [signal, code] of cases) {
  test.skipIf(missing !== undefined)(`${signal} ends the demo and its nodes`, async () => {
    await using demo = Bun.spawn([executable, "demo", "--nodes", "2", "--cpus", "1"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const reader = demo.stdout.getReader();
    const decoder = new TextDecoder();
    let text = "";
    // The first check is through: guest and nodes are in full run.
    while (!text.includes("read-mostly")) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`the demo ended early: ${text}`);
      text += decoder.decode(value, { stream: true });
    }
    const nodes = childrenOf(demo.pid);
    expect(nodes.length).toBe(2);
    demo.kill(signal);
    while (!(await reader.read()).done);
    const [complaint] = await Promise.all([demo.stderr.text(), demo.exited]);
    expect(complaint).toBe("giantvm: interrupted; all nodes are stopped\n");
    expect({ code: demo.exitCode, signal: demo.signalCode }).toEqual({ code, signal: null });
    expect(nodes.filter((pid) => !ended(pid))).toEqual([]);
  });
}
