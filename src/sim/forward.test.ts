/** @module Seeds of slow devices: each access has one outcome, whatever the device does. */

import { describe, expect, test } from "bun:test";
import { ForwardSim, type ForwardPlan } from "./forward.ts";

function planOf(seed: number): ForwardPlan {
  return {
    seed,
    vcpus: 1 + (seed % 7),
    accesses: 30,
    failPercent: (seed * 5) % 40,
    hang: seed % 4 === 0,
  };
}

describe("slow devices", () => {
  for (let start = 0; start < 200; start += 50) {
    test(`seeds ${start} to ${start + 49}`, () => {
      for (let seed = start; seed < start + 50; seed += 1) {
        const plan = planOf(seed);
        const result = new ForwardSim(plan).run();
        if (plan.hang) {
          expect(result.ended).toMatch(
            /^device slow of node 1 has not answered the read of port 6\w\w by vCPU \d of node \d/,
          );
          continue;
        }
        expect(result.ended).toBeUndefined();
        expect(result.answered + result.failed).toBe(plan.vcpus * plan.accesses);
        if (plan.failPercent === 0) expect(result.failed).toBe(0);
        if (result.failed > 0) expect(result.warnings[0]).toContain("device slow of node 1 failed");
      }
    });
  }
});
