/** @module The built-in guest over one to four nodes of the compiled program on loopback. */

import { describe, expect, test } from "bun:test";
import { kvmMissing, run } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: built-in guest over nodes: ${missing}`);

type Summary = {
  readonly verdict: string;
  readonly nodes: number;
  readonly vcpus: number;
  readonly pages_moved: number;
  readonly ipis_between_nodes: number;
  readonly checks: readonly { readonly name: string; readonly ok: boolean }[];
};

async function demo(...args: readonly string[]) {
  const { code, signal, stdout, stderr } = await run(["demo", "--json", ...args]);
  return { code, signal, stderr, summary: JSON.parse(stdout) as Summary };
}

describe.skipIf(missing !== undefined)("built-in guest", () => {
  for (const [nodes, cpus] of [
    [1, 2],
    [2, 2],
    [3, 1],
    [4, 2],
  ]) {
    test(`passes over ${nodes} nodes with ${cpus} vCPUs each`, async () => {
      const { code, signal, stderr, summary } = await demo(
        "--nodes",
        String(nodes),
        "--cpus",
        String(cpus),
      );
      expect({ code, signal, stderr, verdict: summary.verdict }).toEqual({
        code: 0,
        signal: null,
        stderr: "",
        verdict: "pass",
      });
      expect(summary.vcpus).toBe(nodes! * cpus!);
      expect(summary.checks.length).toBeGreaterThan(15);
      expect(summary.checks.every((check) => check.ok)).toBe(true);
      if (nodes! > 1) {
        expect(summary.pages_moved).toBeGreaterThan(100);
        expect(summary.ipis_between_nodes).toBeGreaterThan(10);
      } else {
        expect(summary.pages_moved).toBe(0);
      }
    });
  }

  test("fails when the owner's mapping stays writable while its bytes leave", async () => {
    const { code, signal, summary } = await demo("--guard-off", "protect_before_read");
    expect(signal).toBeNull();
    expect(code).toBe(1);
    expect(summary.verdict).toBe("fail");
    expect(summary.checks.some((check) => !check.ok)).toBe(true);
  });
});
