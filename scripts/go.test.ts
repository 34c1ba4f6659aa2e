/** @module What ends `npm run` ends the program behind it, whose end is then its own. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Log, temporaryFolder } from "../tests/program.ts";

/**
 * Stands in for Bun: says what it was started with, then each signal; TERM ends it with 3, INT as
 * INT does. It goes when its input does, so that none is left by a test that fails.
 */
const program = `#!${process.execPath}
process.stdin.on("end", () => process.exit(9)).resume();
for (const signal of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"]) {
  process.on(signal, () => {
    console.log(signal);
    if (signal === "SIGTERM") process.exit(3);
    if (signal === "SIGINT") process.kill(process.pid, "SIGKILL");
  });
}
console.log("started " + process.argv.slice(2).join(" "));
`;

let folder: ReturnType<typeof temporaryFolder>;
beforeAll(() => {
  folder = temporaryFolder();
  const at = (path: string) => join(folder.path, path);
  mkdirSync(at("node_modules/.bin"), { recursive: true });
  mkdirSync(at("scripts"));
  writeFileSync(at("node_modules/.bin/bun"), program, { mode: 0o755 });
  writeFileSync(at("package-lock.json"), "{}");
  const lock = createHash("sha256").update("package-lock.json").update("{}").digest("hex");
  writeFileSync(at("node_modules/.giantvm-lock"), lock);
  copyFileSync(join(import.meta.dir, "go.mjs"), at("scripts/go.mjs"));
});
afterAll(() => folder[Symbol.dispose]());

function go(...words: readonly string[]) {
  const child = Bun.spawn(["node", join(folder.path, "scripts/go.mjs"), ...words], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const log = new Log();
  const read = log.read(child.stdout);
  const end = async () => {
    await Promise.all([read, child.exited]);
    return { code: child.exitCode, signal: child.signalCode };
  };
  return { child, log, end, [Symbol.dispose]: () => void child.stdin.end() };
}

test("a signal reaches the program, whose exit code is returned", async () => {
  using run = go("sim", "--seeds", "1");
  await run.log.contains("scripts/sim.ts --seeds 1\n");
  for (const signal of ["SIGHUP", "SIGQUIT"] as const) {
    run.child.kill(signal);
    await run.log.contains(`${signal}\n`);
  }
  run.child.kill("SIGTERM");
  expect(await run.end()).toEqual({ code: 3, signal: null });
  expect(run.log.text).toEndWith("SIGHUP\nSIGQUIT\nSIGTERM\n");
});

test("the signal that ends the program is returned", async () => {
  using run = go("sim");
  await run.log.contains("started");
  run.child.kill("SIGINT");
  expect(await run.end()).toEqual({ code: null, signal: "SIGKILL" });
  expect(run.log.text).toEndWith("SIGINT\n");
});

test("a program's own end is returned, and what is no script is refused", async () => {
  using run = go("sim");
  await run.log.contains("started");
  run.child.stdin.end();
  expect(await run.end()).toEqual({ code: 9, signal: null });
  using unknown = go("constructor");
  expect(await unknown.end()).toEqual({ code: 2, signal: null });
});
