/**
 * @module An assertion of the production code that fails in the simulator: its seed is named,
 * counted once and replayed line by line, and the other seeds are run.
 */

import { expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** The second runs what the first has built. */
const script = [process.execPath, "scripts/sim.ts"];
const program = ["dist/build/sim"];

async function sim(command: readonly string[], words: string) {
  const child = Bun.spawn([...command, ...words.split(" ")], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const count = (pattern: RegExp) => [...stderr.matchAll(pattern)].length;
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  return { last, stderr, code: await child.exited, count };
}

const named = /^coherence seed 3: assertion \S.*$/gm;
/** A trace line in its columns (docs/simulator.md), and the place of the production code. */
const traced = /^ *\d+ +\d+ +\d+ fault +[0-9a-f]+ thread=0 read$/gm;
const stack = /native\/zig\/dsm\/dsm\.zig:\d+/g;

test("is one failure among all seeds, and is replayed", async () => {
  const words = "--seconds 3600 --seeds 5 --jobs 2 --assert-at 3";
  const { last, code, count } = await sim(script, words);
  expect(last).toMatch(/^5 seeds, [1-9]\d* steps, [1-9]\d* steps\/s, 1 failures$/);
  expect(code).toBe(1);
  // Where it happened, and in the replay.
  expect(count(named)).toBe(2);
  expect(count(stack)).toBeGreaterThanOrEqual(2);
  expect(count(traced)).toBe(1);
  expect(count(/^sim: again, as by npm run sim -- --seed 3 --trace$/gm)).toBe(1);

  const alone = await sim(program, "--seed 3 --trace --assert-at 3");
  expect(alone.code).not.toBe(0);
  expect([alone.count(named), alone.count(traced)]).toEqual([1, 1]);
  expect(alone.stderr).toMatch(/^1 seeds, 0 steps, 0 steps\/s, 1 failures$/m);

  const without = await sim(program, "--seconds 3600 --seeds 3");
  expect(without.code).toBe(0);
  expect(without.stderr).toMatch(/^3 seeds, [1-9]\d* steps, \d+ steps\/s, 0 failures\n$/);
}, 600_000);
