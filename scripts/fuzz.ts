/**
 * @module `npm run fuzz -- [--minutes N] [--target NAME]`: searches for inputs that break what
 * takes bytes of a peer. Zig's targets one after the other under coverage guidance, the control
 * plane's by seeds, the time shared among all. Prints runs, runs/s and findings of each, with the
 * command that replays it, and exits with 1 on a finding, whose input is kept in dist/fuzz as a
 * line for the corpus. With --target NAME, `--seed S` runs one seed of the control plane, and
 * `--hex BYTES` or `--seed S --runs N` inputs of a Zig target (docs/fuzzing.md).
 */

import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../src/sim/random.ts";
import { targets as control } from "../tests/fuzz/targets.ts";
import { scriptOptions } from "./options.ts";
import { buildProgram, root, runProgram, zig, zigEnv } from "./zig.ts";

const zigRoot = join(root, "native/zig");
const kept = join(root, "dist/fuzz");
/** A cache of its own: the fuzzer keeps its corpus and the input that crashed there. */
const cache = join(root, ".zig-cache/fuzz");
const env = { ...zigEnv, ZIG_LOCAL_CACHE_DIR: cache };
const native = [
  ...readFileSync(join(zigRoot, "fuzz/targets.zig"), "utf8").matchAll(/^ {4}of\("(\w+)"/gm),
].map((match) => match[1] ?? "");
/** Runs of the first round, which tells how many fit into the time. */
const firstRuns = 2000;

type Result = { readonly runs: number; readonly seconds: number; readonly finding?: string };

const names = [...native, ...control.map(({ name }) => name)];
const flags = scriptOptions(
  "fuzz",
  [
    { name: "minutes", value: "N" },
    { name: "target", value: "NAME" },
    { name: "seed", value: "S" },
    { name: "runs", value: "N" },
    { name: "hex", value: "BYTES" },
  ],
  (given) => given,
);

function usage(text: string): never {
  const replays = "--target NAME --hex BYTES, --target NAME --seed S (of Zig's with --runs N)";
  const targets = names.join(" ");
  process.stderr.write(`fuzz: ${text}: use --minutes N, --target NAME, ${replays} (${targets})\n`);
  process.exit(2);
}

/** Keeps an input as a line of the target's corpus. */
function keep(target: string, bytes: Uint8Array): string {
  mkdirSync(kept, { recursive: true });
  const name = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const file = join(kept, `${target}.txt`);
  const hex = Buffer.from(bytes).toString("hex");
  appendFileSync(file, `found-${name} ${hex}\n`);
  return `found-${name} in ${file}; ${again(target, `--hex ${hex}`)}`;
}

function again(target: string, input: string): string {
  return `again: npm run fuzz -- --target ${target} ${input}`;
}

function build(name: string, runs: number) {
  const started = performance.now();
  const done = Bun.spawnSync([zig, "build", "fuzz", "--release=safe", `--fuzz=${runs}`], {
    cwd: zigRoot,
    env: { ...env, GIANTVM_FUZZ: name },
    stdout: "pipe",
    stderr: "pipe",
  });
  const text = Bun.stripANSI(done.stderr.toString() + done.stdout.toString());
  return { text, code: done.exitCode, seconds: (performance.now() - started) / 1000 };
}

/** The build runner ends with 0 when a fuzz test crashed: its report and the saved input tell. */
function guided(name: string, runs: number): Result {
  const crash = join(cache, "f/crash");
  rmSync(crash, { force: true });
  const { text, code, seconds } = build(name, runs);
  if (existsSync(crash)) {
    process.stderr.write(`${text}\n`);
    // As Smith keeps a slice: its length, then its bytes.
    const raw = readFileSync(crash);
    return { runs, seconds, finding: keep(name, raw.subarray(4, 4 + raw.readUInt32LE(0))) };
  }
  const counted = text.match(/^Runs: (\d+) -> (\d+)$/m);
  if (code !== 0 || counted === null) {
    process.stderr.write(`${text}\n`);
    return { runs: 0, seconds, finding: "no report of the fuzzer" };
  }
  return { runs: Number(counted[2]) - Number(counted[1]), seconds };
}

function nativeTarget(name: string, seconds: number): Result {
  const first = guided(name, firstRuns);
  if (first.finding !== undefined) return first;
  // Again, so that neither the build nor the start counts.
  const warm = guided(name, firstRuns);
  if (warm.finding !== undefined) return warm;
  const rate = warm.runs / warm.seconds;
  const rest = guided(name, Math.max(firstRuns, Math.round(rate * seconds)));
  return { ...rest, runs: rest.runs + warm.runs, seconds: rest.seconds + warm.seconds };
}

/** Runs one seed; what broke, or undefined. */
function controlSeed(name: string, seed: number): string | undefined {
  const target = control.find((each) => each.name === name);
  if (target === undefined) throw new Error(`no target ${name}`);
  try {
    target.run(new Random(seed));
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

function controlTarget(name: string, seconds: number): Result {
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  // Other seeds than the last time, and none of those in the bounded test.
  let seed = Math.floor(Date.now() / 1000);
  let runs = 0;
  for (; elapsed() < seconds; seed += 1) {
    runs += 1;
    const broken = controlSeed(name, seed);
    if (broken === undefined) continue;
    process.stderr.write(`${name}: ${broken}\n`);
    const line = `${name} seed ${seed}`;
    const file = join(kept, "control.txt");
    mkdirSync(kept, { recursive: true });
    appendFileSync(file, `${line}\n`);
    return { runs, seconds: elapsed(), finding: `${line}; ${again(name, `--seed ${seed}`)}` };
  }
  return { runs, seconds: elapsed() };
}

/** Inputs that are named instead of searched for; the exit code. */
function replay(name: string): number {
  if (native.includes(name)) {
    const input = ["hex", "seed", "runs"].flatMap((option) => {
      const given = flags[option];
      return given === undefined ? [] : [`--${option}`, given];
    });
    return runProgram(buildProgram("fuzz"), [name, ...input]);
  }
  const seed = Number(flags["seed"] ?? Number.NaN);
  if (!Number.isInteger(seed)) usage(`--seed ${flags["seed"]}`);
  const broken = controlSeed(name, seed);
  process.stderr.write(`${name} seed ${seed}: ${broken ?? "nothing found"}\n`);
  return broken === undefined ? 0 : 1;
}

const minutes = Number(flags["minutes"] ?? 10);
if (!(minutes > 0)) usage("--minutes");
const only = flags["target"];
if (only !== undefined && !names.includes(only)) usage(`--target ${only}`);
const given = ["minutes", "hex", "seed", "runs"].filter((option) => flags[option] !== undefined);
if (given.some((option) => option !== "minutes")) {
  if (only === undefined) usage("--seed, --runs and --hex take a --target");
  const replays = native.includes(only) ? ["hex", "seed runs"] : ["seed"];
  const together = given.map((option) => `--${option}`).join(" ");
  if (!replays.includes(given.join(" "))) usage(`--target ${only} ${together}`);
  process.exit(replay(only));
}
const chosen = only === undefined ? names : [only];
const share = (minutes * 60) / chosen.length;
let findings = 0;
for (const name of chosen) {
  const result = (native.includes(name) ? nativeTarget : controlTarget)(name, share);
  if (result.finding !== undefined) findings += 1;
  const rate = Math.round(result.runs / Math.max(result.seconds, 0.001));
  const found = result.finding === undefined ? "nothing found" : `FOUND ${result.finding}`;
  process.stdout.write(`${name}: ${result.runs} runs, ${rate} runs/s, ${found}\n`);
}
process.stdout.write(`${chosen.length} targets, ${findings} findings\n`);
process.exitCode = findings === 0 ? 0 : 1;
