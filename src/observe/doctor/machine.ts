/** @module Memory and processor of this host. */

import { fail, type Finding, ok, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

const kilobytesPerMib = 1024;
const memoryMinMib = 512;

/** What is left of the limits on this process's control groups (cgroup-v2.rst, memory). */
function leftInGroups(host: Pick<HostSource, "text">): readonly number[] {
  const path = /^0::(\/.*)$/m.exec(host.text("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  const names = path.split("/").filter((name) => name !== "");
  const folders = names.map((_, depth) => `/sys/fs/cgroup/${names.slice(0, depth + 1).join("/")}`);
  // In a container its own group is the root that it sees.
  return ["/sys/fs/cgroup", ...folders].flatMap((folder) => {
    const text = (name: string) => host.text(`${folder}/memory.${name}`);
    // The cache of files is counted and gives way.
    const cached = [...(text("stat") ?? "").matchAll(/^(?:in)?active_file (\d+)$/gm)];
    const gives = cached.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    const left = Number(text("max") ?? "max") - Number(text("current") ?? 0) + gives;
    return Number.isNaN(left) ? [] : [Math.max(0, left) / kilobytesPerMib];
  });
}

/** Memory that this process can have without swap; undefined where the kernel does not tell. */
export function availableMib(host: Pick<HostSource, "text">): number | undefined {
  const line = /^MemAvailable:\s+(\d+) kB/m.exec(host.text("/proc/meminfo") ?? "");
  if (line === null) return undefined;
  return Math.floor(Math.min(Number(line[1]), ...leftInGroups(host)) / kilobytesPerMib);
}

export function memory(host: HostSource): Finding {
  const mib = availableMib(host) ?? 0;
  const found = `${mib.toLocaleString("en")} MiB available`;
  if (mib >= memoryMinMib) return ok("memory", found);
  return warn("memory", found, `free at least ${memoryMinMib} MiB or give nodes less memory`);
}

/** Guest memory is shared memory, which the kernel swaps like any other. */
export function swap(host: HostSource): Finding {
  const line = /^SwapTotal:\s+(\d+) kB/m.exec(host.text("/proc/meminfo") ?? "");
  const mib = Math.ceil(Number(line?.[1] ?? "0") / kilobytesPerMib);
  if (mib === 0) return ok("swap", "none");
  return warn(
    "swap",
    `${mib.toLocaleString("en")} MiB: a swapped page makes all nodes wait for the disk`,
    "swapoff -a",
  );
}

const needed = ["lm", "nx", "tsc"] as const;
const wished = [
  ["constant_tsc", "the time stamp counter changes its rate: guest time will be wrong"],
  ["nonstop_tsc", "the time stamp counter may stop: guest time will be wrong"],
] as const;

/**
 * The kernel takes a TSC that stopped, or differed between CPUs, off this list
 * (kernel/time/clocksource.c).
 */
function clockSource(host: Pick<HostSource, "text">): readonly Finding[] {
  const folder = "/sys/devices/system/clocksource/clocksource0";
  const offered = host.text(`${folder}/available_clocksource`);
  if (offered === undefined || offered.split(" ").includes("tsc")) return [];
  return [
    warn(
      "clocksource",
      `the kernel gave the time stamp counter up (it has ${offered}): guest time will be wrong`,
      "dmesg | grep -i tsc says why; update the firmware or use another machine",
    ),
  ];
}

function flagsOf(cpuinfo: string): ReadonlySet<string> {
  return new Set(/^flags\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(" "));
}

/** What makes guest time wrong. */
export function clockFindings(host: Pick<HostSource, "text">): readonly Finding[] {
  const flags = flagsOf(host.text("/proc/cpuinfo") ?? "");
  const clock = wished
    .filter(([flag]) => !flags.has(flag))
    .map(([flag, text]) => warn(flag, text, "use a machine with an invariant time stamp counter"));
  return [...clock, ...clockSource(host)];
}

export function processor(host: HostSource): readonly Finding[] {
  const info = host.text("/proc/cpuinfo") ?? "";
  const flags = flagsOf(info);
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
  return [ok("processor", `${count} x ${model}`), ...clockFindings(host), ...few];
}

const capSysNice = 23n;

/** The first one, whose number is fixed (include/linux/proc_ns.h, PROC_USER_INIT_INO). */
const firstUserNamespace = "user:[4026531837]";

/** Capabilities of such a namespace's root count in it alone (user_namespaces(7)). */
function inUserNamespace(host: HostSource): boolean {
  return (host.link("/proc/self/ns/user") ?? firstUserNamespace) !== firstUserNamespace;
}

/** Who may have SCHED_RR by sched(7); its control group may have none to give all the same. */
function mayAskToGoFirst(host: HostSource): boolean {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(host.text("/proc/self/status") ?? "")?.[1];
  const capable = ((BigInt(`0x${hex ?? "0"}`) >> capSysNice) & 1n) === 1n;
  const limit = /^Max realtime priority\s+(\S+)/m.exec(host.text("/proc/self/limits") ?? "")?.[1];
  return (capable && !inUserNamespace(host)) || (limit !== undefined && limit !== "0");
}

/** The engine thread asks for SCHED_RR (native/zig/sys/linux.zig), so that is tried. */
export function scheduling(host: HostSource): Finding {
  const name = "scheduling";
  const permitted = mayAskToGoFirst(host);
  if (host.probe()?.goesFirst ?? permitted) {
    return ok(name, "the engine may go before the vCPUs that wait for it");
  }
  return warn(
    name,
    "the engine may not go before vCPUs: on a full host a page may wait for a time slice",
    cureOfScheduling(host, permitted),
  );
}

function cureOfScheduling(host: HostSource, permitted: boolean): string {
  if (permitted) {
    return (
      "where the kernel keeps real-time budgets, write 950000 into this control group's " +
      "cpu.rt_runtime_us, or start giantvm in the root group"
    );
  }
  if (inUserNamespace(host)) {
    return (
      "root of a user namespace may not: start the container with `--ulimit rtprio=1` (rootless: " +
      "by a user who has that limit), or giantvm outside of it"
    );
  }
  return (
    "run as root (of a container: `--cap-add SYS_NICE`), or put `@kvm - rtprio 1` into " +
    "/etc/security/limits.d/giantvm.conf and log in again"
  );
}

/** Drivers whose `powersave` follows the load (admin-guide/pm/intel_pstate.rst, amd-pstate.rst). */
const ownGovernors = new Set(["intel_pstate", "amd-pstate-epp"]);

/** Nothing where the host's frequency is not this kernel's to choose, as in a virtual machine. */
export function frequency(host: HostSource): readonly Finding[] {
  const folder = "/sys/devices/system/cpu/cpu0/cpufreq";
  const governor = host.text(`${folder}/scaling_governor`);
  if (governor === undefined) return [];
  const driver = host.text(`${folder}/scaling_driver`) ?? "unknown";
  if (governor !== "powersave" || ownGovernors.has(driver)) {
    return [ok("cpu frequency", `${governor} by ${driver}`)];
  }
  return [
    warn(
      "cpu frequency",
      `powersave by ${driver}: the lowest frequency always`,
      "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    ),
  ];
}
