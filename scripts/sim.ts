/**
 * @module `npm run sim -- --minutes 10 [--seeds N] [--jobs N] [--seed S] [--trace]`: builds the
 * coherence simulator and runs one process per core, each with its own seeds; the last line sums
 * them up. An assertion of the production code ends its process: the seed is one failure, the first
 * of them is replayed line by line, and a new process goes on with the seed behind it.
 */

import { availableParallelism } from "node:os";
import { buildProgram } from "./zig.ts";

type Sum = { seeds: number; steps: number; rate: number; failures: number };
/** How one process has ended. */
type Run = { readonly sum: Sum | undefined; readonly asserted: number | undefined };

const program = buildProgram("sim");
const words = process.argv.slice(2);
const single = words.includes("--seed");
const minutes = number("--minutes", 1);
const seconds = number("--seconds", 1) ?? (minutes === undefined ? 10 : 60 * minutes);
const seeds = number("--seeds", 0);
const jobs = single ? 1 : (number("--jobs", 1) ?? availableParallelism());
let replayed = words.includes("--trace");

/** Takes an option out of the words; what stays is the simulator's. */
function number(option: string, least: number): number | undefined {
  const at = words.indexOf(option);
  if (at < 0) return undefined;
  const value = Number(words.splice(at, 2)[1] || Number.NaN);
  if (Number.isInteger(value) && value >= least) return value;
  process.stderr.write(`sim: ${option} takes a number, ${least} or more\n`);
  process.exit(2);
}

function sumOf(line: string): Sum | undefined {
  const match = line.match(/^(\d+) seeds, (\d+) steps, (\d+) steps\/s, (\d+) failures$/);
  if (match === null) return undefined;
  const [seeds = 0, steps = 0, rate = 0, failures = 0] = match.slice(1).map(Number);
  return { seeds, steps, rate, failures };
}

/** One process; prints what it says, except for its sum. */
async function once(more: readonly string[]): Promise<Run> {
  const child = Bun.spawn([program, ...words, ...more], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  const decoder = new TextDecoder();
  let tail = "";
  let sum: Sum | undefined;
  let asserted: number | undefined;
  for await (const chunk of child.stderr) {
    const lines = (tail + decoder.decode(chunk, { stream: true })).split("\n");
    tail = lines.pop() ?? "";
    for (const line of lines) {
      const counted = sumOf(line);
      sum = counted ?? sum;
      if (counted === undefined) process.stderr.write(`${line}\n`);
      const seed = line.match(/^coherence seed (\d+): assertion /)?.[1];
      if (seed !== undefined) asserted = Number(seed);
    }
  }
  if ((await child.exited) !== 0 && sum?.failures === 0) sum.failures = 1;
  return { sum, asserted };
}

/** The first seed of all whose assertion failed, event by event. */
async function replay(seed: number): Promise<void> {
  if (replayed) return;
  replayed = true;
  process.stderr.write(`sim: again, as by npm run sim -- --seed ${seed} --trace\n`);
  const again = await once(["--seed", String(seed), "--trace"]);
  if (again.asserted !== seed) process.stderr.write(`sim: seed ${seed} did not fail again\n`);
}

async function job(index: number): Promise<Sum> {
  const total: Sum = { seeds: 0, steps: 0, rate: 0, failures: 0 };
  const wanted = seeds === undefined ? Infinity : Math.max(0, Math.ceil((seeds - index) / jobs));
  /** Seconds: of this job until the limit, of its simulators at work. */
  let ran = 0;
  let worked = 0;
  let first = index + 1;
  for (;;) {
    const left = Math.ceil(seconds - ran);
    const count = Math.min(wanted - total.seeds, Number.MAX_SAFE_INTEGER);
    if (left <= 0 || count <= 0) return total;
    const share = ["--first", String(first), "--stride", String(jobs)];
    const limits = ["--seconds", String(left), "--seeds", String(count)];
    const started = performance.now();
    const { sum, asserted } = await once([...share, ...limits]);
    // A process that dies without its last line has failed, whatever it printed.
    if (sum === undefined) return { ...total, failures: total.failures + 1 };
    ran += (performance.now() - started) / 1000;
    worked += sum.steps / Math.max(sum.rate, 1);
    total.seeds += sum.seeds;
    total.steps += sum.steps;
    total.failures += sum.failures;
    total.rate = Math.round(total.steps / Math.max(worked, 0.001));
    if (asserted === undefined) return total;
    await replay(asserted);
    if (single) return total;
    first = asserted + jobs;
  }
}

const all = await Promise.all(Array.from({ length: jobs }, (_, index) => job(index)));
const total = (key: keyof Sum) => all.reduce((before, one) => before + one[key], 0);
process.stdout.write(
  `${total("seeds")} seeds, ${total("steps")} steps, ${total("rate")} steps/s, ` +
    `${total("failures")} failures\n`,
);
process.exitCode = total("failures") > 0 ? 1 : 0;
