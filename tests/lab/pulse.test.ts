/** @module What is said of a guest while it boots, from the logs of all hosts and its console. */

import { expect, test } from "bun:test";
import { lastCounters, pulseLine, withoutCounters } from "../../scripts/lab/pulse.ts";
import { threadsLine } from "../../scripts/lab/threads.ts";
import { Transcript } from "../../scripts/lab/transcript.ts";

function transcript(text: string): Transcript {
  const made = new Transcript();
  made.push(new TextEncoder().encode(text));
  return made;
}

function seen(log: string, console = "") {
  return { log: transcript(log), console: transcript(console) };
}

const up = "LAB-UP 6.12\n";
const greets = (node: number) => `giantvm: node ${node} (10.99.0.${node + 1}:7777) greets\n`;
const agreed = "giantvm: agreed: 3 nodes, 3 vCPUs, 384 MiB\n";
const runs = "giantvm: the VM runs; guest clocks agree within 3 us\n";
const restarts = "giantvm: the guest restarts\n";
const counters = (exits: number) =>
  `\n{"exits":${exits},"faultRemoteCount":20,"pagesReceived":30}\n`;
const told = (exits: string) => `node 0: ${exits} exits, 20 remote faults, 30 pages received`;

function lines(...logs: readonly string[]): string {
  return pulseLine(logs.map((log) => seen(log)));
}

test("which host still boots, which node waits for which, and who loads the guest", () => {
  expect(lines("", "")).toBe("the emulated hosts boot");
  expect(lines(up, "", up)).toBe("host 1 still boots");
  expect(lines(up, "", "")).toBe("hosts 1 and 2 still boot");
  expect(lines(up, up, up)).toBe("the nodes look for each other");
  expect(lines(up + greets(1), up + greets(0), up + greets(0) + greets(1))).toBe(
    "node 0 waits for node 2, node 1 waits for node 2",
  );
  expect(lines(up, up + greets(0) + greets(2), up + greets(0) + greets(1))).toBe(
    "node 0 waits for nodes 1 and 2",
  );
  const all = up + greets(0) + greets(1) + greets(2);
  expect(lines(all, up + greets(2), all + agreed)).toBe("node 1 waits for node 0");
  expect(lines(all, all, all + agreed)).toBe("the nodes agree on a machine");
  expect(lines(all + agreed, all + agreed, all + agreed)).toBe("node 0 loads the guest");
  expect(lines(all + agreed + runs, all + agreed, all + agreed)).toBe("the VM runs");
});

test("one host finds no others", () => {
  expect(lines("")).toBe("the emulated host boots");
  expect(lines(up)).toBe("giantvm starts");
  expect(lines(up + agreed)).toBe("node 0 loads the guest");
});

test("a guest that runs: node 0's counters, and the console's last whole line", () => {
  const log = up + greets(1) + agreed + runs + counters(1000) + counters(2000);
  const other = up + greets(0) + agreed + runs;
  const console = "[    0.1] one\n\x1b[1m[    0.2] two\n\n[    0.3] thr";
  expect(pulseLine([seen(log, console), seen(other)])).toBe(
    `${told("2,000")}; guest: [    0.2] two`,
  );
});

test("after a restart what was before it is not said again", () => {
  const log = up + greets(1) + agreed + runs + counters(1000) + restarts;
  const other = up + greets(0) + agreed + runs;
  const console = "guest# [  193.1] reboot: Restarting system\n";
  const line = (more: string, printed = "") =>
    pulseLine([seen(log + more, console + printed), seen(other + restarts + greets(0))]);
  expect(pulseLine([seen(log, console), seen(other)])).toBe("node 0 waits for node 1");
  expect(line(greets(1))).toBe("the nodes agree on a machine");
  expect(line(greets(1) + agreed + runs)).toBe("the VM runs");
  expect(line(greets(1) + agreed + runs + counters(7))).toBe(told("7"));
  expect(line(greets(1) + agreed + runs + counters(7), "GUEST-UP 6.12\n")).toBe(
    `${told("7")}; guest: GUEST-UP 6.12`,
  );
});

test("native threads are through when those of all hosts are", () => {
  const done = seen(up, "0 add 1\ndone\n");
  expect(threadsLine([seen(up), seen("")])).toBe("host 1 still boots");
  expect(threadsLine([done, seen(up)])).toBe("the threads run");
  expect(threadsLine([done, done])).toBe("the threads are through");
});

function registers(ageMs: number): string {
  const groups = "rip=01 rsp=02\nrax=03\nr9 =04\ncr0=05 efer=0500\n";
  return `vCPU 0 halted, last exit ${ageMs} ms ago\n${groups}`;
}

test("counters asked for on the way are no part of the log that is shown", () => {
  const log = 'a\n\n{"exits":1,"b":2}\n\nLAB-REPORT {"node":0}\n';
  expect(lastCounters(log)).toEqual({ exits: 1, b: 2 });
  expect(withoutCounters(log)).toBe('a\nLAB-REPORT {"node":0}\n');
  const asked = `a\n{"exits":1}\n${registers(7)}b\n{"exits":1}\n${registers(8)}c\n`;
  expect(withoutCounters(asked)).toBe(`a\n\nb\n\n${registers(8)}c\n`);
});
