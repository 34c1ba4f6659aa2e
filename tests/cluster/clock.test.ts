/** @module Two nodes of the compiled program go on comparing their guest TSCs while the VM runs. */

import { describe, expect, test } from "bun:test";
import { kvmMissing, run } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: guest clocks of nodes: ${missing}`);

type Summary = {
  readonly verdict: string;
  readonly counters: readonly { readonly counters: Readonly<Record<string, number>> }[];
};

describe.skipIf(missing !== undefined)("guest clocks", () => {
  test("each node reports how far the other's may be, and what it did about it", async () => {
    const { code, stdout, stderr } = await run(["demo", "--json"]);
    const { verdict, counters } = JSON.parse(stdout) as Summary;
    expect({ code, verdict, stderr }).toEqual({ code: 0, verdict: "pass", stderr: "" });
    expect(counters.length).toBe(2);
    for (const { counters: of } of counters) {
      // One host's counter in both, so the bound is all there is: some of a round trip.
      expect(of["tscBoundNs"]).toBeGreaterThan(0);
      expect(of["tscBoundNs"]).toBeLessThan(50_000_000);
      expect(Math.abs(of["tscRatePpb"]!)).toBeLessThan(500_000);
      const [steps = 0, ticks = 0] = [of["tscSteps"], of["tscTicksAdvanced"]];
      expect({ steps, moved: ticks > 0 }).toEqual({ steps, moved: steps > 0 });
    }
  });
});
