/**
 * @module The litmus shapes, bounded: both places, all shapes, few iterations. And that the test
 * can fail: reordering within a node is seen, and so is a coherence whose writers do not wait.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { readCase, readFaults, sumOf } from "../../scripts/litmus/results.ts";
import { type Place, type Request, runLitmus } from "../../scripts/litmus/run.ts";
import { compileProgram } from "../../scripts/zig.ts";
import { kvmMissing, temporaryFolder } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: litmus shapes in the guest: ${missing}`);
const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const native = join(folder.path, "litmus");
beforeAll(() => expect(compileProgram("litmus", native, "Debug")).toBeUndefined(), 300_000);

/** Runs until it was seen, with other seeds; the tries are bounded, not the time. */
async function until(
  request: Omit<Request, "seed">,
  seen: (cases: Awaited<ReturnType<typeof runLitmus>>) => boolean,
): Promise<boolean> {
  for (let seed = 1; seed <= 60; seed++) {
    if (seen(await runLitmus({ ...request, seed }, native))) return true;
  }
  return false;
}

test("lines of a run", () => {
  const line = "litmus 2+2W+locks+across model=sc iterations=40 moved=3 condition=2 forbidden=1";
  expect(readCase(line)).toEqual({
    name: "2+2W+locks+across",
    shape: "2+2W",
    model: "sc",
    iterations: 40,
    moved: 3,
    condition: 2,
    forbidden: 1,
  });
  expect(readCase("Test SB+page Allowed")).toBeUndefined();
  expect(readFaults("faults 12")).toBe(12);
});

for (const place of ["native", "guest"] satisfies Place[]) {
  describe.skipIf(place === "guest" && missing !== undefined)(`litmus, ${place}`, () => {
    for (const [threadsPerNode, shapes] of [
      [1, ["SB", "MP", "LB", "S", "R", "2+2W"]],
      [2, ["IRIW"]],
    ] as const) {
      test(`no forbidden outcome between nodes: ${shapes.join(" ")}`, async () => {
        const request = { place, nodes: 2, threadsPerNode, shapes, iterations: 2000, seed: 1 };
        const { cases, codes, faults } = await runLitmus(request, native);
        expect(codes.every((code) => code === 0)).toBe(true);
        expect(cases.length).toBe(12 * shapes.length);
        const border = cases.filter(({ name }) => name.endsWith("+border"));
        expect(border.length).toBe(3 * shapes.length);
        expect(sumOf(border).moved).toBeGreaterThan(0);
        expect(cases.every(({ model }) => model === (shapes.length > 1 ? "sc" : "tso"))).toBe(true);
        const sum = sumOf(cases);
        expect(sum.forbidden).toBe(0);
        expect(sum.iterations).toBeGreaterThanOrEqual(2000 * shapes.length);
        // Otherwise the nodes ran one after the other and nothing was tested.
        expect(Math.min(sum.moved, faults)).toBeGreaterThan(sum.iterations / 100);
      }, 120_000);
    }

    test("SB's relaxed outcome shows within one node", async () => {
      const request = { place, nodes: 1, threadsPerNode: 2, shapes: ["SB"], iterations: 50_000 };
      let forbidden = 0;
      const seen = await until(request, ({ cases }) => {
        forbidden += sumOf(cases).forbidden;
        return cases.some((one) => one.condition > 0 && one.model === "tso");
      });
      expect({ seen, forbidden }).toEqual({ seen: true, forbidden: 0 });
    }, 120_000);
  });
}

test("writers that do not wait for acknowledgements show a forbidden outcome", async () => {
  const request = {
    place: "native",
    nodes: 2,
    threadsPerNode: 1,
    shapes: ["MP"],
    iterations: 30_000,
    guardOff: "wait_all_acks",
  } as const;
  const seen = await until(request, ({ cases, codes }) => {
    const found = sumOf(cases).forbidden > 0;
    if (found) expect(codes).not.toEqual([0]);
    return found;
  });
  expect(seen).toBe(true);
  // Half of the runs see it within 30 s, one in fifteen not within 120.
}, 600_000);
