/** @module What is a complaint: on a console, and as the guest's shell looks for it. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { complaintOf, findComplaints, noComplaints } from "../../scripts/lab/complaints.ts";
import { questionsOf, scenarios } from "../../scripts/lab/scenarios.ts";
import { lenient } from "./find.ts";

test("what Linux says of lost time and bugs is seen, and nothing else", () => {
  const lines = [
    "[  1.0] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable",
    "[  1.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s!",
    "[  1.0] BUG: workqueue lockup - pool cpus=1 node=1 flags=0x0 nice=0 stuck for 32s!",
    "[  1.0] BUG: scheduling while atomic: swapper/0/1/0x00000002",
    "[  1.0] BUG: stack guard page was hit at 0000000012345678",
    "[  1.0] BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "[  1.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "[  1.0] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    "[  1.0] INFO: task kworker/1:0:24 blocked for more than 120 seconds.",
    "[  1.0] APIC timer disabled due to verification failure",
    "[  1.0] WARNING: CPU: 0 PID: 1 at kernel/smp.c:1",
    "[  1.0] Oops: 0000 [#1] PREEMPT SMP NOPTI",
    "Using: Core #0 | Pass:  1        Errors: 16",
  ];
  for (const line of lines) expect(complaintOf(`a\n${line}\nb`)).toBe(line);
  expect(lines.filter((line) => complaintOf(line, false) === undefined)).toEqual(
    lines.filter((line) => /lockup|stall|blocked for|APIC timer/.test(line)),
  );
  expect(
    complaintOf("sched_clock: Marking stable (1, 2)\nrcu: stall timeout 21 s\nErrors: 0  "),
  ).toBeUndefined();
});

/** What the guest's shell prints where its kernel's log is this. */
function shown(log: string, find = findComplaints()) {
  const command = `dmesg() { printf '%s' "$LOG"; }; ${find}`;
  return Bun.spawnSync(["sh", "-c", command], { env: { ...process.env, LOG: log } });
}

test("the guest shows its complaints with the backtraces behind them, of many the first", () => {
  const quiet = shown("[  1.0] Linux version\n[  2.0] Run /init\n");
  expect([quiet.stdout.toString(), quiet.exitCode]).toEqual(["", 0]);
  const lockup = "[  3.0] watchdog: BUG: soft lockup - CPU#2 stuck for 22s!\n";
  const traced = `${lockup}[  3.1]  inet_init+0x1\n`;
  expect(shown(`[  1.0] x\n${traced}`).stdout.toString()).toBe(traced);
  expect(shown(traced.repeat(200)).stdout.toString()).toBe(traced.repeat(100));
});

/** As Debian's 6.12.117 gives it on QEMU without giantvm (docs/lab.md), shortened. */
const lateTimer = readFileSync(join(import.meta.dir, "late-timer.txt"), "utf8");

test("the kernel's own warning of a late deadline timer is let pass, and nothing beside it", () => {
  const lockup = "[   17.8] watchdog: BUG: soft lockup - CPU#2 stuck for 22s!\n";
  const oops = "[   17.8] Oops: 0000 [#1] PREEMPT SMP NOPTI\n";
  const amid = (line: string) => lateTimer.replace(/(?=^.* __hrtimer_run)/m, line);
  const good = ["", lateTimer, lateTimer.repeat(2), `${oops.replace("Oops", "x")}${lateTimer}`];
  const bad = [
    oops,
    `${oops}${lateTimer}`,
    `${lateTimer}${oops}`,
    `${lateTimer}${oops}${lateTimer}`,
    amid(oops),
    lateTimer.replace("hrtimer_forward", "hrtimer_start"),
    lateTimer.replace("dl_task_timer", "tick_nohz_handler"),
    lateTimer + lateTimer.replace("dl_task_timer", "tick_nohz_handler"),
    // More than the guest shows, cut where nothing is missing of the last that it shows.
    `${lateTimer}[   17.8] z\n`.repeat(50),
  ];
  const late = [lockup, `${lateTimer}${lockup}`, amid(lockup), amid("[  17.8] Call Trace:\n")];
  for (const lateCounts of [true, false]) {
    // As the lab takes an answer: without the end of its last line.
    const judged = (log: string) =>
      noComplaints(lateCounts).test(
        shown(log, findComplaints(lateCounts)).stdout.toString().trimEnd(),
      );
    expect(good.map(judged)).toEqual(good.map(() => true));
    expect(bad.map(judged)).toEqual(bad.map(() => false));
    expect(late.map(judged)).toEqual(late.map(() => !lateCounts));
  }
});

test("where lateness is let pass, the guest's log is asked for all else", () => {
  const asked = questionsOf(lenient(scenarios.get("pair-brief")!)).at(-1)!;
  expect([asked.answer.source, asked.again]).toEqual([noComplaints(false).source, true]);
  const late = "[  3.0] watchdog: BUG: soft lockup - CPU#2 stuck for 22s!\n";
  const unstable = "[  4.0] clocksource: Marking clocksource 'tsc' as unstable\n";
  const warning = "[  5.0] WARNING: CPU: 0 PID: 1 at kernel/smp.c:1\n";
  expect(shown(late, asked.command).stdout.toString()).toBe("");
  for (const wrong of [unstable, warning]) {
    expect(shown(late + wrong, asked.command).stdout.toString()).toBe(wrong);
  }
});
