/** @module Failures of the emulation: tried once more, counted, and what is kept of them. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { excusedOf, summaryOf, transcriptOf } from "../../scripts/lab/report.ts";
import { fakePids, short, withFake } from "./fake.ts";

test("a host that died by itself is retried once and counted", async () => {
  const { outcome, starts } = await withFake("dies-once");
  expect(outcome).toMatchObject({ ok: true, hostsDied: 1, flagsLost: 0 });
  expect(starts).toBe(2);
  expect(summaryOf(outcome)).toMatch(/, hosts that died by themselves: 1$/m);
  expect(excusedOf(outcome)).toBe("");
});

test("a host that keeps dying fails with its reason", async () => {
  const { outcome, starts } = await withFake("panics");
  expect(outcome).toMatchObject({ ok: false, hostsDied: 2, flagsLost: 0 });
  expect(outcome.reason).toBe("host 0 died: Kernel panic");
  expect(starts).toBe(2);
});

test("a host that does not come up has died, whatever giantvm would have done on it", async () => {
  const { outcome } = await withFake("mute", { ...short, patience: 0.001 });
  expect(outcome).toMatchObject({ ok: false, hostsDied: 2 });
  expect(outcome.reason).toBe("host 0 did not come up within 0.18 s");
});

const oops =
  "the emulated processor has lost its flags (EFLAGS: 1049064e): " +
  "the guest's console says: Oops: invalid opcode: 0000";

test("flags that no processor has are excused once, what is known of them is kept", async () => {
  const said: string[] = [];
  const { outcome, starts } = await withFake("flags-once", short, {
    say: (line) => said.push(line),
  });
  expect(outcome).toMatchObject({ ok: true, hostsDied: 0, flagsLost: 1 });
  expect(starts).toBe(2);
  expect(said).toContain(`${oops}; once more`);
  expect(summaryOf(outcome)).toMatch(
    /, hosts that died by themselves: 0, processors that lost their flags: 1$/m,
  );
  const kept = excusedOf(outcome);
  expect(kept).toStartWith(`--- excused: ${oops}\n--- log of host 0\nLAB-UP 6.12\n`);
  expect(kept).toContain(
    "--- the guest's console\nOops: invalid opcode: 0000\nRSP: 0018:fff8 EFLAGS",
  );
});

test("lost flags twice are a failure", async () => {
  const { outcome, starts } = await withFake("flags");
  expect(outcome).toMatchObject({ ok: false, reason: oops, hostsDied: 0, flagsLost: 2 });
  expect(starts).toBe(2);
  expect(excusedOf(outcome)).toContain("EFLAGS: 1049064e");
});

test("of a long console its first complaint is shown, too, with what follows", async () => {
  const { outcome } = await withFake("flags-once");
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
    const passed = run("flags-once");
    expect(passed.code).toBe(0);
    expect(passed.text).toEndWith(
      "2 of 2 runs passed, hosts that died by themselves: 0, processors that lost their flags: 1\n",
    );
    expect(passed.text).toContain(`--- excused: ${oops}\n`);
    expect(fakePids(folder).length).toBe(3);
    const failed = run("panics");
    expect(failed.code).toBe(1);
    expect(failed.text).toEndWith("0 of 1 runs passed, hosts that died by themselves: 2\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
