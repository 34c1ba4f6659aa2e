/** @module How the lab judges what it sees, with a scripted QEMU in place of a real one. */

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { hostCommand } from "../../scripts/lab/commands.ts";
import { Cpio } from "../../scripts/lab/cpio.ts";
import { dmesg } from "../../scripts/lab/scenarios/questions.ts";
import { transcriptOf } from "../../scripts/lab/report.ts";
import { type Scenario, scenarios } from "../../scripts/lab/scenarios.ts";
import { excerpt, Transcript } from "../../scripts/lab/transcript.ts";
import { short, withFake } from "./fake.ts";

function leftovers(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.includes(`-${process.pid}-`));
}

test("a good run: answers, counters, nothing left behind", async () => {
  const { outcome, starts } = await withFake("works");
  expect(outcome.reason).toBe("");
  expect(outcome).toMatchObject({ ok: true, hostsDied: 0, counters: [{ exits: 7 }] });
  expect(outcome.answers.map((answer) => answer.text)).toEqual(["2", "2"]);
  expect(starts).toBe(1);
  expect(leftovers()).toEqual([]);
});

test("giantvm's own failure is not retried", async () => {
  const { outcome, starts } = await withFake("crashes");
  expect(outcome.reason).toBe("the guest did not boot: giantvm ended before (exit codes 6)");
  expect(starts).toBe(1);
});

test("a wrong answer fails", async () => {
  const { outcome } = await withFake("lies");
  expect(outcome.reason).toBe('the guest answered "1" to "nproc"');
});

test("a guest that reboots is asked again, and only what is to be asked again", async () => {
  const { outcome } = await withFake("works", { ...short, reboots: 3 });
  expect(outcome.reason).toBe("");
  expect(outcome.rebootSeconds.length).toBe(3);
  expect(outcome.answers.map(({ question }) => question.command)).toEqual([
    "nproc",
    "nproc --all",
    "nproc",
    "nproc",
    "nproc",
  ]);
});

test("somebody at the console types instead of questions, until the guest powers off", async () => {
  let printed = "";
  let typed: ((text: string) => void) | undefined;
  const { outcome } = await withFake("works", short, {
    session: {
      attach: (type) => {
        typed = type;
        type("nproc\n");
      },
      output: (bytes) => {
        printed += new TextDecoder().decode(bytes);
        if (printed.endsWith("guest# ")) typed?.("poweroff -f\n");
      },
    },
  });
  expect(outcome).toMatchObject({ reason: "", answers: [] });
  expect(printed).toStartWith("2\r\n");
});

test("a guest that complains has not passed, whatever it answers", async () => {
  const { outcome } = await withFake("complains");
  expect(outcome.reason).toBe("the guest's console says: clocksource: tsc is unstable");
});

test("what a guest quotes of its log is an answer, what it says beside counts", async () => {
  const scenario = { ...short, questions: [...short.questions, dmesg], reboots: 1 };
  const good = await withFake("quotes", scenario);
  expect(good.outcome.reason).toBe("");
  const bad = await withFake("complains-late", scenario);
  expect(bad.outcome.reason).toBe(
    "the guest's console says: guest# guest# Oops: invalid opcode: 0000",
  );
});

/** Answers of giantvm on the first host to what it is asked about a guest that is given up. */
const asked = {
  registers: [7, 7, 9].map((page) => `vCPU waits for page 0x${page}000 since 1 s\n`).join(""),
  pages: "asked giantvm debug page 0x7000\nasked giantvm debug page 0x9000\n",
  backtrace: "asked giantvm debug backtrace --symbols /proc/kallsyms\n",
  counters: "asked giantvm debug counters\n",
};

test("a guest that is given up leaves its complaint, and where its vCPUs are", async () => {
  const { outcome } = await withFake("stuck", short, { everyMs: 60_000 });
  expect(outcome.reason).toBe(
    "the guest did not boot within 2 s; its console says: " +
      "watchdog: BUG: soft lockup - CPU#1 stuck",
  );
  const { registers, pages, backtrace, counters } = asked;
  const transcript = transcriptOf(outcome);
  expect(transcript).toContain(
    `--- where the guest was\n${registers}${pages}${backtrace}${counters}`,
  );
  expect(transcript).toContain("--- the guest's console\nwatchdog: BUG");
});

test("another kernel than the hosts' is not shown by their symbols", async () => {
  const { registers, pages, counters } = asked;
  for (const other of [{ kernel: "cloud-6.1" }, { guest: "builtin" } as const]) {
    const { outcome } = await withFake("stuck", { ...short, ...other, bootSeconds: 0.5 });
    expect(outcome.where).toBe(registers + pages + counters);
  }
  const { outcome } = await withFake("stuck", {
    ...short,
    kernel: "cloud-6.12-vmlinux",
    bootSeconds: 0.5,
  });
  expect(outcome.where).toContain(asked.backtrace);
});

test("the built-in guest needs no questions, and its verdict counts", async () => {
  const builtin: Scenario = { ...short, guest: "builtin", questions: [] };
  expect((await withFake("verdict-pass", builtin)).outcome).toMatchObject({ ok: true });
  const { outcome } = await withFake("verdict-fail", builtin);
  expect(outcome.reason).toBe("the guest did not pass: check lock fail 0.00 us - lost");
});

test("a guest without a shell is watched, then ended from the console", async () => {
  const shown = ["one", "two"].map((word) => ({ pattern: RegExp(word), meaning: word }));
  const watched = { commandLine: "quiet", shows: () => shown };
  const scenario: Scenario = { ...short, guest: "watched", watched, questions: [] };
  const files = "--kernel /images/vmlinuz --initrd /images/guest.cpio";
  expect(hostCommand(scenario, 0)).toContain(`${files} --command-line 'quiet'`);
  expect((await withFake("watched", scenario)).outcome).toMatchObject({ ok: true, reason: "" });
  const { outcome } = await withFake("watched-in-part", scenario);
  expect(outcome.reason).toBe("the console does not show that two within 2 s");
});

test("native threads on two hosts: what they saw counts, on clocks that differ", async () => {
  const guest = { seed: 1, operationsPerThread: 1, pauseUs: 0 };
  const pair: Scenario = { ...short, guest, nodes: [...short.nodes, ...short.nodes] };
  const { outcome } = await withFake("threads", pair);
  expect(outcome.reason).toBe("");
  expect(outcome).toMatchObject({ ok: true, counters: [{ pagesReceived: 3 }, {}] });
  expect(outcome.threads).toMatchObject({ problems: [], handovers: 0 });
  expect(outcome.threads!.uncertaintyNs).toBeGreaterThan(0);
  const stale = await withFake("threads-stale", pair);
  expect(stale.outcome.reason).toContain("each must come before the next");
});

test("what hangs is ended by the watchdog, deaf to SIGTERM or not", async () => {
  const { outcome } = await withFake("hangs");
  expect(outcome.reason).toBe("the guest did not boot within 2 s");
});

test("while the guest boots, what it does is said again and again", async () => {
  const said: string[] = [];
  await withFake("slow", short, { say: (line) => said.push(line) });
  const line = said.find((each) => each.includes("2,000 exits"));
  expect(line).toMatch(/^\d+\.\d s: node 0: 2,000 exits, 20 remote faults, 30 pages received; /);
  expect(line).toEndWith("guest: [    0.1] Linux version 6.12");
});

test("the command line on each host", () => {
  const pair = scenarios.get("pair")!;
  expect(hostCommand(pair, 1)).toBe(
    "giantvm run -v --local-cpu 1 --local-memory 128M --kernel /images/vmlinuz " +
      "--initrd /images/guest.cpio --silence 30000 --report /tmp/report --control /tmp/control " +
      "--peers 10.99.0.1,10.99.0.2 --self 10.99.0.2",
  );
  expect(hostCommand(scenarios.get("netem")!, 0)).toBe(
    "giantvm run -v --local-cpu 1 --local-memory 64M --scale 5 --silence 30000 " +
      "--report /tmp/report --control /tmp/control --peers 10.99.0.1,10.99.0.2 --self 10.99.0.1",
  );
  expect(hostCommand(scenarios.get("netem-threads")!, 1)).toBe(
    "engine_node node=1 nodes=2 seed=1 operations=4000 pause=5000us here=10.99.0.2 " +
      "patience=370s silence=30000ms guard= && echo ended",
  );
  const onDisk = scenarios.get("disk-pair")!;
  expect(hostCommand(onDisk, 0)).toMatch(/ --disk path=\/images\/disk.img .*; e2fsck -fn /s);
  expect(hostCommand(onDisk, 1)).toEndWith(" --self 10.99.0.2");
  expect(hostCommand(onDisk, 1)).toContain(" --disk path=/images/disk.img ");
  expect(hostCommand({ ...short, append: "a 'b'" }, 0)).toContain(`--append 'a '\\''b'\\'''`);
});

test("a transcript finds what comes in pieces and ends its waits when closed", async () => {
  let heard = "";
  const transcript = new Transcript((text) => (heard += text));
  const found = transcript.wait(/b(.)d\n/);
  const line = transcript.waitLine(/^ab(.)d\n/m);
  for (const piece of ["x\na", "b", "cd", "\r\n"]) transcript.push(new TextEncoder().encode(piece));
  expect((await found)?.[1]).toBe("c");
  expect((await line)?.[1]).toBe("c");
  const never = transcript.wait(/b.d\n/, transcript.text.length);
  transcript.push(new TextEncoder().encode("cut o"));
  transcript.close();
  expect(await never).toBeUndefined();
  // Whoever writes it on begins a new line for what comes after it.
  expect(heard).toBe("x\nabcd\ncut o\n");
});

test("a long answer is told by both ends", () => {
  expect(excerpt("short", 6)).toBe("short");
  expect(excerpt(`${"a".repeat(500)}${"b".repeat(500)}`, 6)).toBe("aaa [994 characters] bbb");
});

test("an archive holds parents before children, padded to four bytes", () => {
  const archive = new Cpio();
  archive.file("etc/deep/file", "hello");
  const text = Buffer.concat(archive.pieces()).toString("latin1");
  const names = [...text.matchAll(/070701[0-9a-f]{104}([^\0]+)\0/g)].map((match) => match[1]);
  expect(names).toEqual(["etc", "etc/deep", "etc/deep/file", "TRAILER!!!"]);
  for (const match of text.matchAll(/070701/g)) expect(match.index % 4).toBe(0);
});
