/**
 * @module `npm test`: everything, in an order that fails early, summed into one closing line.
 *
 * Formatter, linter and type checker count as one test each; then Bun's, two files at a time, as
 * many of them wait; then, one by one, what is about processors that run at once. That begins with
 * one emulated host, which leaves the other half of a small machine to Zig's unit tests.
 */

import { join } from "node:path";
import { onSignals } from "../src/cli/signals.ts";
import { Lines } from "../src/observe/checks.ts";
import { failures, tail } from "./failures.ts";
import { root, zig, zigEnv } from "./zig.ts";

type Counts = { passed: number; failed: number; skipped: number };

const oxlint = join(root, "node_modules/.bin/oxlint");
const total: Counts = { passed: 0, failed: 0, skipped: 0 };

/** What failed, as it was printed: said once more before the closing line. */
const failed: string[] = [];

/** Processes to signal, and their groups as negative numbers. */
const running = new Set<number>();
onSignals((code, name) => {
  for (const each of running) {
    try {
      process.kill(each, name);
    } catch {
      // It has ended by itself.
    }
  }
  process.exit(code);
});

type Write = (text: string) => void;

const print: Write = (text) => void process.stdout.write(text);

/** @param detached in a group of its own, for a program that leaves behind what it started. */
async function stream(
  name: string,
  command: readonly string[],
  { cwd = root, write = print, detached = false } = {},
) {
  write(`\n# ${name}\n`);
  const child = Bun.spawn([...command], {
    cwd,
    detached,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: zigEnv,
  });
  const signalled = detached ? -child.pid : child.pid;
  running.add(signalled);
  let text = "";
  const take = (line: string) => {
    write(`${line}\n`);
    text += `${line}\n`;
  };
  // By lines, so that neither stream cuts one of the other.
  const copy = async (from: ReadableStream<Uint8Array>) => {
    const lines = new Lines();
    for await (const chunk of from) for (const line of lines.push(chunk)) take(line);
    for (const line of lines.end()) take(line);
  };
  await Promise.all([copy(child.stdout), copy(child.stderr)]);
  const code = await child.exited;
  running.delete(signalled);
  return { code, text };
}

async function single(name: string, command: readonly string[]): Promise<void> {
  const { code, text } = await stream(name, command);
  if (code === 0) total.passed += 1;
  else total.failed += 1;
  if (code !== 0) failed.push(`${name}:\n${tail(text)}`);
}

function count(text: string, pattern: RegExp): number {
  let sum = 0;
  for (const match of text.matchAll(pattern)) sum += Number(match[1]);
  return sum;
}

/** A runner that ended badly without naming a failed test, or passed none, still is a failure. */
function add(counts: Counts, code: number): void {
  if (counts.failed === 0 && (code !== 0 || counts.passed === 0)) counts.failed = 1;
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}

async function zigTests(write: Write): Promise<void> {
  const { code, text } = await stream(
    "zig build test",
    [zig, "build", "test", "--summary", "all"],
    // Its build runner, a process of its own, would go on.
    { cwd: join(root, "native/zig"), write, detached: true },
  );
  const plain = Bun.stripANSI(text);
  const summary = plain.match(/Build Summary:.*/)?.[0] ?? "";
  const passed = count(summary, /(\d+)\/\d+ tests passed/g);
  if (code !== 0 || passed === 0) failed.push(`zig build test:\n${tail(plain)}`);
  add(
    {
      passed,
      failed: count(summary, /(\d+) (?:failed|crashed|leaked)/g),
      skipped: count(summary, /(\d+) skipped/g),
    },
    code,
  );
}

async function bunTests(words: readonly string[]): Promise<void> {
  const { code, text } = await stream(["bun test", ...words].join(" "), [
    process.execPath,
    "test",
    "--timeout",
    "120000",
    ...words,
  ]);
  const plain = Bun.stripANSI(text);
  const named = failures(plain);
  failed.push(...named);
  const passed = count(plain, /^ *(\d+) pass$/gm);
  if (named.length === 0 && (code !== 0 || passed === 0)) failed.push(`bun test:\n${tail(plain)}`);
  add(
    {
      passed,
      failed: count(plain, /^ *(\d+) fail$/gm),
      skipped: count(plain, /^ *(\d+) (?:skip|todo)$/gm),
    },
    code,
  );
}

/** Emulated hosts and litmus shapes: their processors are to run at once. */
const alone = ["tests/lab", "tests/litmus"];
const places = ["src", "tests", "scripts", "build.ts"];
const started = Date.now();
await single("format", [process.execPath, "fmt", "--check", ...places]);
await single("format (zig)", [zig, "fmt", "--check", "native/zig"]);
await single("lint", [oxlint, "--deny-warnings", ...places]);
await single("types", [process.execPath, "check", "--no-script"]);
const filters = process.argv.slice(2);
if (filters.length > 0) {
  await zigTests(print);
  await bunTests(filters);
} else {
  const others = alone.flatMap((folder) => ["--path-ignore-patterns", `${folder}/**`]);
  await bunTests(["--parallel=2", ...others]);
  let shown = "";
  const zigDone = zigTests((text) => (shown += text));
  await Promise.all([bunTests(alone), zigDone.then(() => print(shown))]);
}
for (const each of failed) process.stdout.write(`\n# failed: ${each}\n`);
process.stdout.write(`\n${Math.round((Date.now() - started) / 1000)} s\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
