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
  readonly checks: readonly {
    readonly name: string;
    readonly ok: boolean;
    readonly cost: { readonly value: number; readonly unit: string };
  }[];
  readonly reason: string | null;
};

/**
 * A rule of coherence, the fewest nodes between which its absence is a wrong value, and the check
 * that must see it. Without an old version in a third node's memory "same" cannot be a lie.
 */
const rules = [
  ["invalidate_sharers", 2, "copies"],
  ["protect_before_read", 2, "copies"],
  ["version_check", 3, "copies"],
  ["wait_all_acks", 2, "held"],
  ["defer_while_busy", 2, "races"],
] as const;

/**
 * The engine's own assertions may notice it before the guest does (3 of 10 times without
 * defer_while_busy, more often on a busy machine), or the vCPU that has seen it cannot say so, and
 * the others wait for it.
 */
const elsewhere = /the memory engine stopped|: no progress: /;

/** Of a user who has nodes of his own: none of this is for the demo's. */
const env = {
  GIANTVM_CONTROL: "/no/such/folder/socket",
  GIANTVM_MEMORY: "1G",
  GIANTVM_KERNEL: "/no/such/kernel",
};

async function demo(...args: readonly string[]) {
  const { code, signal, stdout, stderr } = await run(["demo", "--json", ...args], { env });
  return { code, signal, stderr, summary: JSON.parse(stdout) as Summary };
}

describe.skipIf(missing !== undefined)("built-in guest", () => {
  test("a temporary folder that is not there is named", async () => {
    const { code, stderr } = await run(["demo"], { env: { TMPDIR: "/no/such" } });
    expect(stderr).toContain("no folder can be made in /no/such (ENOENT); free it, or name");
    expect(stderr.trim().split("\n").length).toBe(1);
    expect(code).toBe(3);
  });

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
      expect(summary.nodes).toBe(nodes!);
      expect(summary.vcpus).toBe(nodes! * cpus!);
      expect(summary.checks.length).toBe(37);
      expect(summary.checks.every((check) => check.ok)).toBe(true);
      for (const { name, cost } of summary.checks) {
        expect({ name, unit: cost.unit }).toEqual({ name, unit: "us" });
        expect(Number.isFinite(cost.value) && cost.value >= 0).toBe(true);
      }
      // Few checks have nothing to measure on one host: those of refused instructions.
      const free = summary.checks.filter(({ cost }) => cost.value === 0).map(({ name }) => name);
      expect(free.filter((name) => !["alignment", "split-lock"].includes(name))).toEqual([]);
      if (nodes! > 1) {
        expect(summary.pages_moved).toBeGreaterThan(100);
        expect(summary.ipis_between_nodes).toBeGreaterThan(10);
      } else {
        expect(summary.pages_moved).toBe(0);
      }
    });
  }

  for (const [rule, nodes, check] of rules) {
    test(`sees wrong values without ${rule}`, async () => {
      const off = ["--guard-off", rule, "--nodes", String(nodes), "--cpus", "1"];
      let { code, signal, summary } = await demo(...off);
      for (let again = 0; again < 30 && elsewhere.test(summary.reason ?? ""); again += 1) {
        ({ code, signal, summary } = await demo(...off));
      }
      expect(summary.reason).toStartWith(`check ${check}: wrong value: `);
      expect({ code, signal, verdict: summary.verdict }).toEqual({
        code: 1,
        signal: null,
        verdict: "fail",
      });
      expect(summary.checks.find((each) => !each.ok)?.name).toBe(check);
    });
  }
});
