/** @module What a Linux guest is asked at its shell. */

import { findComplaints, noComplaints } from "../complaints.ts";
import { type Asked, cpusOf, maskOf, type Node, type Question } from "./types.ts";

export function cpus(nodes: readonly Node[]): Question {
  const count = cpusOf(nodes);
  return {
    command: "nproc",
    answer: new RegExp(`^${count}$`, "m"),
    meaning: `the guest sees ${count} CPU${count > 1 ? "s" : ""}`,
    again: true,
  };
}

/** Shell text for a number of a NUMA node's meminfo, kB. */
export function meminfo(node: string, name: string): string {
  const path = `/sys/devices/system/node/${node}/meminfo`;
  return `$(sed -n 's/.*${name}: *\\([0-9]*\\) kB/\\1/p' ${path})`;
}

/** Each node of ours is a NUMA node with its CPUs and its memory, as far from each other one. */
export function numa(nodes: readonly Node[]): Question {
  let first = 0;
  const lists = nodes.map(({ cpus: count }, node) => {
    const last = first + count - 1;
    const list = count === 1 ? `${first}` : `${first}-${last}`;
    first = last + 1;
    const distances = nodes.map((_, other) => (other === node ? 10 : 40)).join(" ");
    return `${list} [1-9]\\d* ${distances}`;
  });
  return {
    command:
      "cd /sys/devices/system/node; for n in node*; do " +
      `echo $(cat $n/cpulist) ${meminfo("$n", "MemTotal")} $(cat $n/distance); done; cd`,
    answer: new RegExp(`^${lists.join("\\n")}$`),
    meaning: `its NUMA node${nodes.length > 1 ? "s are the hosts" : " is the host"}`,
    again: true,
  };
}

/** What the default command line (docs/booting.md) sets where there are several nodes. */
export function tuned(nodes: readonly Node[]): Question {
  // Of the last word, which Linux before 6.6 does not know, the mask without zeros in front.
  const mask = "sed 's/,//g; s/^0*//' /sys/devices/virtual/workqueue/cpumask";
  const unbound = `case $(uname -r) in [1-5].*|6.[0-5].*);; *) ${mask};; esac`;
  const huge = "sed 's/.*\\[//; s/].*//' /sys/kernel/mm/transparent_hugepage/enabled";
  const own = ((1n << BigInt(nodes[0]?.cpus ?? 0)) - 1n).toString(16);
  const several = new RegExp(`^0\\n0\\nnever(\\n${own})?$`);
  const sysctls = "cat kernel/numa_balancing vm/compaction_proactiveness";
  return {
    command: `cd /proc/sys; ${sysctls}; cd; ${huge}; ${unbound}`,
    // With less than 512 MB one node has no huge pages, either.
    answer: nodes.length > 1 ? several : /^\d\n[1-9]\d*\n(always|never)(\n[\da-f]+)?$/,
    meaning: `its kernel is tuned for ${nodes.length > 1 ? "several nodes" : "one node"}`,
  };
}

/**
 * Shell text that runs a command on each CPU, whose number is $c there. One for all: a terminal
 * takes 4,095 characters of a line.
 * @param command With what ends it, ";" or "&".
 */
export function onEachCpu(nodes: readonly Node[], command: string): string {
  const list = `$(seq 0 ${cpusOf(nodes) - 1})`;
  return `for c in ${list}; do taskset $(printf %x $((1 << c))) ${command} done`;
}

/** Work on every CPU at once: a shell that counts and says so. */
export function busy(nodes: readonly Node[]): Question {
  const all = Array.from({ length: cpusOf(nodes) }, (_, cpu) => cpu);
  const counts = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; echo done $i on $0";
  return {
    command:
      `{ ${onEachCpu(nodes, `sh -c '${counts}' $c &`)}; wait; } | ` +
      "sort -k4n | tr '\\n' ' '; echo",
    answer: new RegExp(all.map((cpu) => `done 2000 on ${cpu}`).join(".*")),
    meaning: "every CPU runs a program",
  };
}

const clockSource = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/** Linux takes `tsc` in place of `tsc-early` a second after its drivers. */
export const clock: Question = {
  command:
    `n=0; until grep -qx tsc ${clockSource} || [ $n = 30 ]; do sleep 1; n=$((n+1)); done; ` +
    `cat ${clockSource}`,
  answer: /^tsc$/,
  meaning: "the guest trusts its TSCs",
  again: true,
};

/**
 * Made when the guest is up, asked a little later; one that is slow to answer is no wrong date.
 * @returns the question for the guest's date less the date now, seconds.
 */
export function date(): Question {
  return {
    command: `echo $(($(date +%s) - ${Math.round(Date.now() / 1000)}))`,
    answer: /^(-[1-5]?\d|\d{1,3})$/,
    meaning: "the guest's date is the host's",
  };
}

const rtc = "/sys/class/rtc/rtc0";

/** By its own driver: the clock chip is set, and its alarm comes as an interrupt. */
export const clockChip: Question = {
  command:
    `hwclock -u -w && hwclock -u >/dev/null && echo +2 >${rtc}/wakealarm && ` +
    `n=0; while [ -n "$(cat ${rtc}/wakealarm)" ] && [ $n -lt 60 ]; do sleep 1; n=$((n+1)); done; ` +
    `echo $(($(cat ${rtc}/since_epoch) - $(date +%s))); ` +
    "awk '/rtc0/ { print $2 + $3 }' /proc/interrupts",
  answer: /^-?\d\n[1-9]\d*$/,
  meaning: "it sets its clock chip, whose alarm interrupts",
};

/** Of giantvm, which knows the mode of each local APIC. */
export const x2apic: Asked = (nodes) => ({
  host: 0,
  command: "giantvm debug registers | grep -c 'APIC id .* x2APIC enabled'",
  answer: new RegExp(`^${cpusOf(nodes)}$`),
  meaning: "all CPUs use their x2APIC",
});

export const bridge: Question = {
  command:
    "cat /sys/bus/pci/devices/0000:00:00.0/vendor; dmesg | grep -c 'PCI: Fatal'; " +
    "grep -cE 'PCI (ECAM|MMCONFIG) 0000' /proc/iomem",
  answer: /^0x8086\s+0\s+1$/,
  meaning: "the guest has found the PCI host bridge and its memory-mapped configuration",
};

export const dmesg: Question = {
  command: findComplaints(),
  answer: noComplaints(),
  meaning: "its kernel's log has no lockup, stall, clock warning or bug",
  again: true,
  shown: true,
  quotes: true,
};

/** The same where the machine below may be late; what of that is on the console is told. */
export const dmesgWhenLate: Question = {
  ...dmesg,
  command: findComplaints(false),
  answer: noComplaints(false),
  meaning: "its kernel's log has no clock warning or bug",
};

/** Symbols of hot pages; these two are among them in each boot over two hosts. */
const hotSymbols = ["init_top_pgt", "level3_kernel_pgt"];
/** How each stack of x86-64 begins, or the one of an interrupt or exception. */
const stackBegins =
  "cpu_startup_entry|ret_from_fork|entry_SYSCALL_64_after_hwframe|__irq_exit_rcu|" +
  "(?:asm_)?(?:sysvec|exc)_\\w+";

/** @returns the question where there are several nodes. */
function ofSeveral(question: Question): Asked {
  return (nodes) => (nodes.length > 1 ? question : undefined);
}

/**
 * What the boot has cost, from the first host: counters of all nodes and, of several, the hottest
 * pages and where the vCPUs are. The hosts' kernel is the guest's.
 */
export const costs: readonly Asked[] = [
  {
    host: 0,
    command: "giantvm debug counters",
    answer: /^faultRemoteCount +\d/m,
    meaning: "counters of the boot",
    shown: true,
  },
  ofSeveral({
    host: 0,
    command: "giantvm hot --top 20 --symbols /proc/kallsyms",
    answer: new RegExp(
      `^${hotSymbols.map((name) => `(?=[^]*\\b${name}\\b)`).join("")}` +
        "[^]*^tables of the address spaces",
      "m",
    ),
    meaning: "pages that moved most",
    shown: true,
  }),
  ofSeveral({
    host: 0,
    command: "giantvm debug backtrace --symbols /proc/kallsyms",
    answer: new RegExp(
      `^vCPU 1: .*(?:\\n {2}.*)*\\n {2}[ ?] (?:${stackBegins})\\+0x[\\da-f]+$`,
      "m",
    ),
    meaning: "where the vCPUs of both nodes are",
    shown: true,
  }),
];

/** CPUs of the guest, neighbours in the list on different hosts as long as there are any. */
export function spread(nodes: readonly Node[]): readonly number[] {
  let next = 0;
  const own = nodes.map(({ cpus: count }) => {
    next += count;
    return Array.from({ length: count }, (_, index) => next - count + index);
  });
  const longest = Math.max(...own.map((list) => list.length));
  return Array.from({ length: longest }, (_, index) =>
    own.flatMap((list) => list[index] ?? []),
  ).flat();
}

/**
 * A program on the last host prints to the console, whose interrupts the first host's CPU takes,
 * for longer than a kernel lets a CPU do nothing else (20 s).
 * @param lines About 5 bytes each, and up to 1 ms a byte over two hosts.
 */
export function flood(lines: number): Asked {
  return (nodes) => {
    const cpu = cpusOf(nodes) - 1;
    const all = Array.from({ length: lines }, (_, index) => index + 1).join("\n");
    return {
      command: `taskset ${maskOf(cpu)} seq 1 ${lines}`,
      answer: new RegExp(`^${all}$`),
      meaning: `what CPU ${cpu} prints without end reaches the console, ${lines} lines of it`,
      seconds: 600,
    };
  };
}

/**
 * The checks of guest/cross.c.
 * @param rounds How much on one host; over several a tenth, as faults cost milliseconds there.
 */
export function cross(rounds: number): Asked {
  return (nodes) => {
    const list = spread(nodes).slice(0, 16);
    if (list.length < 2) return undefined;
    const some = nodes.length === 1 ? rounds : Math.ceil(rounds / 10);
    const limit = nodes.length === 1 ? 300 : 600;
    return {
      command: `cross ${list.join(",")} ${some} limit=${limit}`,
      answer: new RegExp(`^cross: all checks held on ${list.length} CPUs$`, "m"),
      meaning:
        "atomics, futexes, pipes, signals, fork, shoot-downs and files hold between " +
        `CPUs ${list.join(" and ")}`,
      seconds: nodes.length === 1 ? 600 : 1200,
    };
  };
}
