/** @module A program's end is told: one that a signal ended has not succeeded. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { Log, temporaryFolder } from "../tests/program.ts";
import { compileProgram, root, runProgram } from "./zig.ts";

test("the exit code of a program, and 1 for one that a signal ends", () => {
  expect(runProgram("/bin/sh", ["-c", "exit 0"])).toBe(0);
  expect(runProgram("/bin/sh", ["-c", "exit 3"])).toBe(3);
  expect(runProgram("/bin/sh", ["-c", "kill -KILL $$"])).toBe(1);
});

test("a source that is not there is no program", () => {
  using folder = temporaryFolder();
  const program = join(folder.path, "program");
  expect(compileProgram("nowhere", program)).toMatch(/nowhere_main\.zig/);
});

test("an explorer that is killed ends npm run explore with a failure", async () => {
  const script = [process.execPath, join(root, "scripts/explore.ts")];
  const run = Bun.spawn(script, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const log = new Log();
  const read = log.read(run.stderr);
  // The first thing it says; there are minutes of states to look at behind it.
  await log.contains("\n");
  const [child] = (await Bun.file(`/proc/${run.pid}/task/${run.pid}/children`).text()).split(" ");
  process.kill(Number(child), "SIGKILL");
  await Promise.all([run.exited, read]);
  expect([run.exitCode, run.signalCode]).toEqual([1, null]);
}, 600_000);
