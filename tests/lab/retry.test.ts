/** @module Failures of the emulation: tried once more, counted, and what is kept of them. */

import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { keep } from "../../scripts/lab/kept.ts";
import { summaryOf, transcriptOf } from "../../scripts/lab/report.ts";
import { fakePids, short, withFake } from "./fake.ts";

test("a host that died by itself is retried once and counted", async () => {
  const { outcome, starts } = await withFake("dies-once");
  expect(outcome).toMatchObject({ ok: true, hostsDied: 1 });
  expect(starts).toBe(2);
  expect(summaryOf(outcome)).toMatch(/, hosts that died by themselves: 1$/m);
});

test("a host that keeps dying fails with its reason", async () => {
  const { outcome, starts } = await withFake("panics");
  expect(outcome).toMatchObject({ ok: false, hostsDied: 2 });
  expect(outcome.reason).toBe("host 0 died: Kernel panic");
  expect(starts).toBe(2);
});

test("a host that does not come up has died, whatever giantvm would have done on it", async () => {
  const { outcome } = await withFake("mute", { ...short, patience: 0.001 });
  expect(outcome).toMatchObject({ ok: false, hostsDied: 2 });
  expect(outcome.reason).toBe("host 0 did not come up within 0.18 s");
});

test("an oops of the guest's kernel is a failure of the VM, tried no second time", async () => {
  const { outcome, starts } = await withFake("oops");
  const reason = "the guest's console says: Oops: invalid opcode: 0000";
  expect(outcome).toMatchObject({ ok: false, reason, hostsDied: 0 });
  expect(starts).toBe(1);
});

test("of a long console its first complaint is shown, too, with what follows", async () => {
  const { outcome } = await withFake("oops");
  const [before, after] = ["before it\n".repeat(1000), "after it\n".repeat(2000)];
  const console = `${before}WARNING: here\nand there\n${after}the end`;
  const shown = transcriptOf({ ...outcome, console });
  expect(shown).toContain("--- the guest's console\nWARNING: here\nand there\nafter it\n");
  expect(shown).toEndWith("after it\nthe end\n---\n");
  expect(shown.length).toBeLessThan(14_000);
});

test("several runs end with their sums, also when one fails", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gvmfake-"));
  const run = (behaviour: string) => {
    const program = [process.execPath, join(import.meta.dir, "fake-lab.ts"), folder];
    const done = Bun.spawnSync([...program, behaviour, "2"], { stdout: "pipe" });
    return { code: done.exitCode, text: done.stdout.toString() };
  };
  try {
    const passed = run("dies-once");
    expect(passed.code).toBe(0);
    expect(passed.text).toEndWith("2 of 2 runs passed, hosts that died by themselves: 1\n");
    expect(fakePids(folder).length).toBe(3);
    const failed = run("panics");
    expect(failed.code).toBe(1);
    expect(failed.text).toEndWith("0 of 1 runs passed, hosts that died by themselves: 2\n");
    const kept = join(folder, "failed", short.name);
    expect(failed.text).toContain(`lab: all that was printed: ${relative(process.cwd(), kept)}\n`);
    expect(readFileSync(join(kept, "host-0.log"), "utf8")).toContain("Kernel panic");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("of a failure all is kept, and of the one before nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gvmfake-"));
  try {
    const { outcome } = await withFake("oops");
    const long = "a line of a log\n".repeat(10_000);
    const kept = keep({ ...outcome, logs: [long, "second"], where: "at rip 0" }, folder);
    expect(kept).toBe(join(folder, outcome.scenario));
    expect(readFileSync(join(kept, "host-0.log"), "utf8")).toBe(long);
    expect(readdirSync(kept).toSorted()).toEqual([
      "console.txt",
      "host-0.log",
      "host-1.log",
      "where.txt",
    ]);
    keep({ ...outcome, logs: ["first"] }, folder);
    expect(readdirSync(kept).toSorted()).toEqual(["console.txt", "host-0.log"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
