/**
 * @module Live progress of a guest that takes minutes: node 0 is asked for its counters on the
 * console (Ctrl-A c, which the guest does not see) and answers in its host's log.
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

export function pulseLine(host: Pick<Host, "log" | "console">): string {
  const parts: string[] = [];
  const counters = lastCounters(host.log.text);
  if (counters === undefined) {
    parts.push(
      isUp(host.log.text)
        ? "the nodes find each other and load the guest"
        : "the emulated hosts boot",
    );
  } else {
    const shown = [
      ["exits", "exits"],
      ["faultRemoteCount", "remote faults"],
      ["pagesReceived", "pages received"],
    ] as const;
    const values = shown.map(
      ([name, text]) => `${(counters[name] ?? 0).toLocaleString("en")} ${text}`,
    );
    parts.push(`node 0: ${values.join(", ")}`);
  }
  const said = lastLine(host.console.text);
  if (said !== "") parts.push(`guest: ${said}`);
  return parts.join("; ");
}

/**
 * Says every few seconds how far the guest is, until `waited` is over.
 * @param line what there is to say of it.
 */
export async function narrated<T>(
  host: Host,
  everyMs: number,
  say: (line: string) => void,
  waited: Promise<T>,
  line: (host: Host) => string,
): Promise<T> {
  let lines = 0;
  const timer = setInterval(() => {
    say(line(host));
    lines += 1;
    // Before the VM runs nobody reads the key.
    const asked = lines % linesPerCount === 1 && /the VM runs/.test(host.log.text);
    if (asked) host.type(counterKey);
  }, everyMs);
  try {
    return await waited;
  } finally {
    clearInterval(timer);
  }
}
