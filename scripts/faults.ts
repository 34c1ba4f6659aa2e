/**
 * @module `npm run faults -- --minutes 10 [--seed S]`: native threads and the built-in guest over
 * namespaces with a bad network (docs/faults.md), seed after seed from S (1) on until the time is
 * over; without --minutes only that seed. One line each, the last one sums up; a seed that fails
 * shows what the nodes said.
 */

import { count } from "../src/config/values.ts";
import { runEngines } from "../tests/dsm/processes.ts";
import { type Drawn, draw } from "../tests/net/draw.ts";
import { guestProblems, Guests } from "../tests/net/guests.ts";
import { Network, networkMissing } from "../tests/net/network.ts";
import { kvmMissing } from "../tests/program.ts";
import { scriptOptions } from "./options.ts";

type Result = {
  readonly problems: readonly string[];
  /** For people: what was done. */
  readonly work: string;
  readonly said: readonly string[];
};

/** Cuts overlap and nodes share the processors here: only what lasts is a loss. */
const silenceSeconds = 10;

async function engines(network: Network, seed: number): Promise<Result> {
  const result = await runEngines({
    sites: network.sites,
    seed,
    operationsPerThread: 4000,
    patienceSeconds: 300,
    silenceSeconds,
    pauseUs: 2000,
  });
  const { problems, errors } = result;
  return { problems, work: `a page moved ${result.handovers} times`, said: errors };
}

async function guest(network: Network): Promise<Result> {
  const silence = String(1000 * silenceSeconds);
  await using guests = new Guests(network, ["--scale", "30", "--silence", silence]);
  const ends = await guests.ends();
  const pages = ends.reduce((sum, { counters }) => sum + (counters["pagesReceived"] ?? 0), 0);
  const said = ends.map(({ stdout, stderr }) => stdout + stderr);
  return { problems: guestProblems(ends), work: `${pages} pages moved`, said };
}

async function play(seed: number, { kind, nodes, network: options }: Drawn): Promise<boolean> {
  const started = performance.now();
  await using network = await Network.start(nodes, options);
  const result = kind === "engines" ? await engines(network, seed) : await guest(network);
  const totals = await network.end();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const ok = result.problems.length === 0;
  const faults = ["packets", "lost", "doubled", "reordered", "overflowed", "cut off", "stalled"];
  const counts = faults.map((name) => `${totals[name] ?? 0} ${name}`).join(", ");
  process.stdout.write(
    `seed ${seed}: ${ok ? "ok" : "FAILED"}, ${kind} over ${nodes} nodes, ${seconds} s, ` +
      `${result.work}; ${counts} (ms)\n`,
  );
  if (ok) return true;
  const words = Object.entries(options).map(([name, value]) => `${name}=${value}`);
  for (const problem of result.problems.slice(0, 10)) process.stderr.write(`  ${problem}\n`);
  process.stderr.write(`  network: ${words.join(" ")}\n`);
  for (const [node, text] of result.said.entries()) {
    if (text !== "") process.stderr.write(`--- node ${node}\n${text.slice(-20_000)}\n`);
  }
  return false;
}

const known = [
  { name: "minutes", value: "N" },
  { name: "seed", value: "S" },
] as const;
const options = scriptOptions("faults", known, ({ minutes = "", seed = "1" }) => ({
  minutes: minutes === "" ? 0 : count("--minutes", minutes, 1, 1_000_000),
  seed: count("--seed", seed, 0, 999_999_999),
}));
const missing = networkMissing() ?? kvmMissing();
if (missing !== undefined) {
  process.stderr.write(`faults: cannot run here: ${missing}\n`);
  process.exit(3);
}
const end = performance.now() + options.minutes * 60_000;
let seed = options.seed;
let failures = 0;
do {
  if (!(await play(seed, draw(seed)))) failures += 1;
  seed += 1;
} while (performance.now() < end);
process.stdout.write(`${seed - options.seed} seeds, ${failures} failures\n`);
process.exitCode = failures === 0 ? 0 : 1;
