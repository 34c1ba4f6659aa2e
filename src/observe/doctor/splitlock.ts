/**
 * @module Split locks: instructions that lock what lies in two cache lines. Processors of Intel's
 * since 2019 trap them, also a guest's, and the host's kernel decides what becomes of it
 * (arch/x86/kernel/cpu, handle_guest_split_lock).
 */

import { fail, type Finding, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

const option = "split_lock_detect";
const instruction = "an instruction of the guest that locks across two cache lines";

/** What the kernel was told at its start; of several the last counts. */
function mode(host: Pick<HostSource, "text">): string {
  const words = (host.text("/proc/cmdline") ?? "").split(/\s+/);
  return (
    words.findLast((word) => word.startsWith(`${option}=`))?.slice(option.length + 1) ?? "warn"
  );
}

/**
 * Mode "warn" sleeps 10 ms before it lets such an instruction through, and a signal that ends the
 * sleep has it trap again. The timer of a vCPU is such a signal (native/zig/vm/mailbox.zig), and
 * Linux sets it every 4 ms. Modes "off" and "ratelimit" leave guests alone.
 */
export function splitLocks(host: Pick<HostSource, "text">): readonly Finding[] {
  const flags = /^flags\s*:\s*(.*)$/m.exec(host.text("/proc/cpuinfo") ?? "")?.[1]?.split(" ");
  if (!flags?.includes(option)) return [];
  const how = mode(host);
  const name = "split locks";
  if (how === "fatal") {
    return [
      fail(
        name,
        `${option}=fatal: the kernel ends giantvm by SIGBUS at ${instruction}`,
        `put ${option}=off in its place on the command line of this host's kernel`,
      ),
    ];
  }
  const sysctl = host.text("/proc/sys/kernel/split_lock_mitigate");
  if (how === "off" || how.startsWith("ratelimit") || sysctl === "0") return [];
  return [
    warn(
      name,
      `the kernel holds up ${instruction}, and the timer of its vCPU may have that begin again ` +
        "and again: the guest hangs there",
      sysctl === undefined
        ? `put ${option}=off on the command line of this host's kernel`
        : "sysctl -w kernel.split_lock_mitigate=0",
    ),
  ];
}
