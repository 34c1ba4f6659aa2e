/**
 * @module `npm run soak -- --demos N` or `--linux N`: runs in a row, a line each. A run passes when
 * its exit code says so and neither a process nor a file of it is left: every run gets a TMPDIR of
 * its own, which must be empty afterwards, and no process may still have it in its environment.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onSignals } from "../src/cli/signals.ts";

const root = join(import.meta.dir, "..");
const usage = "usage: npm run soak -- --demos N | --linux N\n";
const shownLines = 40;

type Kind = {
  readonly name: string;
  readonly command: readonly string[];
  /** What else a good run's output has. */
  readonly wanted: RegExp;
};

const demos: Kind = {
  name: "demo",
  command: [join(root, "dist/giantvm"), "demo", "--json"],
  wanted: /^\{"verdict":"pass"/m,
};
const linux: Kind = {
  name: "demo:linux",
  command: [process.execPath, join(root, "scripts/lab/demo-linux.ts")],
  wanted: /: passed$/m,
};
const kinds: ReadonlyMap<string, Kind> = new Map([
  ["--demos", demos],
  ["--linux", linux],
]);

type Result = { readonly seconds: number; readonly wrong: string; readonly emulation: number };

/** Processes that were started with this TMPDIR and are still there. */
function leftProcesses(folder: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      const zombie = /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
      return !zombie && readFileSync(`/proc/${pid}/environ`, "latin1").includes(folder);
    } catch {
      // It ended between the listing and the look, or is another user's.
      return false;
    }
  });
}

const running = new Set<Bun.Subprocess>();

async function once(kind: Kind): Promise<Result & { readonly output: string }> {
  const folder = mkdtempSync(join(tmpdir(), "gvm-soak-"));
  const started = performance.now();
  try {
    const child = Bun.spawn([...kind.command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, TMPDIR: folder },
    });
    running.add(child);
    const texts = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
    const [code, ...outputs] = await Promise.all([child.exited, ...texts]);
    running.delete(child);
    const output = outputs.join("");
    const wrong = [
      code === 0 ? "" : `exit ${child.signalCode ?? code}`,
      kind.wanted.test(output) ? "" : "no passed verdict",
      ...leftProcesses(folder).map((pid) => `process ${pid} is left`),
      ...readdirSync(folder).map((name) => `file ${name} is left`),
    ];
    const failures = output.matchAll(/died by themselves: (\d+)/g);
    return {
      seconds: (performance.now() - started) / 1000,
      wrong: wrong.filter(Boolean).join(", "),
      emulation: [...failures].reduce((sum, [, count]) => sum + Number(count), 0),
      output,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function spread(results: readonly Result[]): string {
  const seconds = results.map((each) => each.seconds).toSorted((a, b) => a - b);
  const at = (share: number) => (seconds[Math.floor(share * (seconds.length - 1))] ?? 0).toFixed(1);
  return `${at(0)} to ${at(1)} s, median ${at(0.5)} s`;
}

async function soak(kind: Kind, runs: number): Promise<number> {
  const results: Result[] = [];
  for (let run = 1; run <= runs; run += 1) {
    const { output, ...result } = await once(kind);
    results.push(result);
    const outcome = result.wrong === "" ? "passed" : `FAILED: ${result.wrong}`;
    const again = result.emulation === 0 ? "" : `, the emulation failed: ${result.emulation}`;
    const line = `${kind.name} ${run}/${runs}: ${outcome}, ${result.seconds.toFixed(1)} s${again}`;
    process.stdout.write(`${line}\n`);
    if (result.wrong === "") continue;
    process.stdout.write(`${output.trim().split("\n").slice(-shownLines).join("\n")}\n---\n`);
  }
  const failed = results.filter((each) => each.wrong !== "").length;
  const emulation = results.reduce((sum, each) => sum + each.emulation, 0);
  const counts = `${results.length - failed} passed, ${failed} failed`;
  process.stdout.write(`${spread(results)}\n${counts}; the emulation failed: ${emulation}\n`);
  return failed === 0 ? 0 : 1;
}

const [word = "", number = ""] = process.argv.slice(2);
const kind = kinds.get(word);
if (kind === undefined || !/^[1-9]\d{0,4}$/.test(number) || process.argv.length !== 4) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  onSignals((code) => {
    for (const child of running) child.kill("SIGTERM");
    void Promise.all([...running].map((child) => child.exited)).then(() => process.exit(code));
  });
  process.exitCode = await soak(kind, Number(number));
}
