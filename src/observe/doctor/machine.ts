/** @module Memory and processor of this host. */

import { fail, type Finding, ok, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

const kilobytesPerMib = 1024;
const memoryMinMib = 512;

export function memory(host: HostSource): Finding {
  const line = /^MemAvailable:\s+(\d+) kB/m.exec(host.text("/proc/meminfo") ?? "");
  const mib = Math.floor(Number(line?.[1] ?? "0") / kilobytesPerMib);
  const found = `${mib.toLocaleString("en")} MiB available`;
  if (mib >= memoryMinMib) return ok("memory", found);
  return warn("memory", found, `free at least ${memoryMinMib} MiB or give nodes less memory`);
}

const needed = ["lm", "nx", "cx16", "tsc"] as const;
const wished = [
  ["constant_tsc", "the time stamp counter changes its rate: guest time will be wrong"],
  ["nonstop_tsc", "the time stamp counter may stop: guest time will be wrong"],
] as const;

export function processor(host: HostSource): readonly Finding[] {
  const info = host.text("/proc/cpuinfo") ?? "";
  const flags = new Set(/^flags\s*:\s*(.*)$/m.exec(info)?.[1]?.split(" "));
  const model = /^model name\s*:\s*(.*)$/m.exec(info)?.[1] ?? "unknown";
  const count = [...info.matchAll(/^processor\s*:/gm)].length;
  const lacking = needed.filter((flag) => !flags.has(flag));
  if (lacking.length > 0) {
    return [
      fail(
        "processor",
        `${model} lacks ${lacking.join(", ")}`,
        "use an x86-64 machine made after 2006; in a virtual machine pass the host's CPU through",
      ),
    ];
  }
  const clock = wished
    .filter(([flag]) => !flags.has(flag))
    .map(([flag, text]) => warn(flag, text, "use a machine with an invariant time stamp counter"));
  const few =
    count < 2
      ? [
          warn(
            "processors",
            "one: the engine and the vCPUs take turns, so each page fault waits for a switch",
            "give the machine two processors or more",
          ),
        ]
      : [];
  return [ok("processor", `${count} x ${model}`), ...clock, ...few];
}
