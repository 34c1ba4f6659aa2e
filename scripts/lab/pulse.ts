/**
 * @module Live progress of a guest that takes minutes: what the hosts' logs say of its beginning;
 * then node 0 is asked for its counters on the console (Ctrl-A c, which the guest does not see) and
 * answers in its host's log.
 */

import type { Host } from "./host.ts";

/** Ctrl-A c. */
export const counterKey = "\x01c";
/** A line of counters costs the emulated host some milliseconds on its serial port. */
const linesPerCount = 2;
const countersPattern = /^\{"\w+":\d.*\}$/gm;
/** Of each vCPU of node 0, below its counters. */
const registersPattern =
  /^vCPU \d+ \w+, last exit .*(?:\r?\n(?:rip|rax|rsi|r9 |r13|cr0)=.*)+\r?\n/gm;

type Counters = Readonly<Record<string, number>>;

/** Whether a host's own boot is over, from its log. */
export function isUp(log: string): boolean {
  return /^LAB-UP /m.test(log);
}

/** The newest counters in a log; undefined before the first. */
export function lastCounters(log: string): Counters | undefined {
  const line = [...log.matchAll(countersPattern)].at(-1)?.[0];
  return line === undefined ? undefined : (JSON.parse(line) as Counters);
}

/** A log without what was asked for on the way, but for the last registers. */
export function withoutCounters(log: string): string {
  const last = [...log.matchAll(countersPattern)].at(-1)?.index ?? 0;
  const before = log.slice(0, last).replaceAll(registersPattern, "");
  return (before + log.slice(last)).replaceAll(countersPattern, "").replaceAll(/\n{3,}/g, "\n");
}

/** The last complete line of the guest's console, without what only terminals need. */
function lastLine(text: string): string {
  const lines = text.split("\n").slice(0, -1);
  return Bun.stripANSI(lines.findLast((line) => line.trim() !== "") ?? "").slice(0, 70);
}

/** Numbers as in "1, 2 and 3". */
function listed(numbers: readonly number[]): string {
  return new Intl.ListFormat("en-GB").format(numbers.map(String));
}

/** Which hosts are not up yet, from their logs; undefined when all are. */
export function bootingOf(logs: readonly string[]): string | undefined {
  const booting = logs.flatMap((log, node) => (isUp(log) ? [] : [node]));
  if (booting.length === 0) return undefined;
  if (booting.length === logs.length) {
    return logs.length > 1 ? "the emulated hosts boot" : "the emulated host boots";
  }
  const [hosts, boot] = booting.length === 1 ? ["host", "boots"] : ["hosts", "boot"];
  return `${hosts} ${listed(booting)} still ${boot}`;
}

/** What a node has said since the guest started anew. */
function sinceRestart(log: string): string {
  return log.split("the guest restarts\n").at(-1) ?? "";
}

function running(log: string): boolean {
  return sinceRestart(log).includes("the VM runs");
}

/** What the nodes do before the VM runs, from their logs. */
function beginningOf(logs: readonly string[]): string {
  const said = logs.map(sinceRestart);
  const agreed = said.map((text) => text.includes("agreed: "));
  if (agreed.every(Boolean)) return "node 0 loads the guest";
  if (logs.length === 1) return "giantvm starts";
  if (!said.some((text) => text.includes(" greets\n"))) return "the nodes look for each other";
  const waits = said.flatMap((text, node) => {
    const missing = said.flatMap((_, peer) =>
      peer === node || new RegExp(`node ${peer} \\(\\S+\\) greets`).test(text) ? [] : [peer],
    );
    if (agreed[node] || missing.length === 0) return [];
    return [`node ${node} waits for node${missing.length > 1 ? "s" : ""} ${listed(missing)}`];
  });
  return waits.length > 0 ? waits.join(", ") : "the nodes agree on a machine";
}

type Seen = Pick<Host, "log" | "console">;

/** How far a guest is, from all hosts. */
export function pulseLine(hosts: readonly Seen[]): string {
  const logs = hosts.map((host) => host.log.text);
  const [log = ""] = logs;
  const booting = bootingOf(logs);
  if (booting !== undefined) return booting;
  if (!running(log)) return beginningOf(logs);
  const counters = lastCounters(sinceRestart(log));
  const shown = [
    ["exits", "exits"],
    ["faultRemoteCount", "remote faults"],
    ["pagesReceived", "pages received"],
  ] as const;
  const values = shown.map(
    ([name, text]) => `${(counters?.[name] ?? 0).toLocaleString("en")} ${text}`,
  );
  const vm = counters === undefined ? "the VM runs" : `node 0: ${values.join(", ")}`;
  const console = hosts[0]?.console.text.split("reboot: Restarting system\n").at(-1) ?? "";
  const said = lastLine(console);
  return said === "" ? vm : `${vm}; guest: ${said}`;
}

/**
 * Says every few seconds how far the guest is, until `waited` is over.
 * @param line what there is to say of it.
 */
export async function narrated<T>(
  hosts: readonly Host[],
  everyMs: number,
  say: (line: string) => void,
  waited: Promise<T>,
  line: (hosts: readonly Host[]) => string,
): Promise<T> {
  const [first] = hosts;
  let lines = 0;
  const timer = setInterval(() => {
    say(line(hosts));
    lines += 1;
    // Before the VM runs nobody reads the key.
    if (lines % linesPerCount === 1 && first && running(first.log.text)) first.type(counterKey);
  }, everyMs);
  try {
    return await waited;
  } finally {
    clearInterval(timer);
  }
}
