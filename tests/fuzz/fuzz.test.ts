/** @module A fixed number of seeded runs of every target of the control plane. */

import { expect, test } from "bun:test";
import { Random } from "../../src/sim/random.ts";
import { targets } from "./targets.ts";

for (const { name, boundedRuns, run } of targets) {
  test(`${name}: ${boundedRuns} seeds`, () => {
    for (let seed = 1; seed <= boundedRuns; seed += 1) {
      try {
        run(new Random(seed));
      } catch (error) {
        const again = `npm run fuzz -- --target ${name} --seed ${seed}`;
        throw new Error(`${String(error)}; again: ${again}`, { cause: error });
      }
    }
    expect(boundedRuns).toBeGreaterThan(0);
  });
}
