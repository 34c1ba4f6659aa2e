/** @module Seeds of the cluster simulator: every life begins together and ends together. */

import { describe, expect, test } from "bun:test";
import { ClusterSim, type Plan } from "./cluster.ts";

const endings = ["poweroff", "reset", "kill", "disagree"] as const;

function planOf(seed: number): Plan {
  return {
    seed,
    nodes: 2 + (seed % 4),
    lossPercent: (seed * 7) % 21,
    silenceMs: 1500,
    ending: endings[(seed >> 2) % endings.length] ?? "poweroff",
  };
}

function check(plan: Plan): void {
  const sim = new ClusterSim(plan);
  const logs = sim.run(60_000);
  const living = logs.filter((_, index) => sim.nodes[index]?.alive);
  if (plan.ending === "disagree") {
    for (const log of logs) {
      expect(log.configured).toBe(0);
      expect(log.finished?.code).toBe(4);
      expect(log.finished?.reason).toContain("is build other, node 0 is same");
    }
    return;
  }
  for (const log of logs) {
    expect([log.configured, log.loaded, log.ran]).toEqual([1, 1, 1]);
  }
  if (plan.ending === "reset") {
    for (const log of living) expect(log.restarted).toBe(2);
  } else if (plan.ending === "poweroff") {
    for (const log of living) expect(log.finished).toEqual({ code: 0, reason: "off" });
  } else {
    expect(living.length).toBe(plan.nodes - 1);
    const victim = sim.nodes.findIndex((node) => !node.alive);
    for (const log of living) {
      expect(log.finished?.code).toBe(5);
      expect(log.finished?.reason).toContain(`node ${victim} (n${victim}) was lost`);
    }
  }
}

describe("cluster over bad networks", () => {
  for (let start = 0; start < 96; start += 16) {
    test(`seeds ${start} to ${start + 15}`, () => {
      for (let seed = start; seed < start + 16; seed += 1) check(planOf(seed));
    });
  }

  test("a seed replays exactly", () => {
    const [first, second] = [12, 12].map((seed) => {
      const sim = new ClusterSim(planOf(seed));
      return { logs: sim.run(60_000), steps: sim.steps };
    });
    expect(first).toEqual(second!);
  });
});
