/** @module Debian's kernels on one host and over several. */

import {
  bridge,
  busy,
  clock,
  clockChip,
  costs,
  cpus,
  cross,
  date,
  dmesg,
  flood,
  numa,
  tuned,
  x2apic,
} from "./questions.ts";
import type { Node, Scenario } from "./types.ts";

const guestMb = 256;
const nodeMbLeast = 128;

/** @param leastMb Of each node, where a scenario needs more than to boot. */
export function linuxNodes(nodeCpus: readonly number[], leastMb = nodeMbLeast): readonly Node[] {
  const memory = `${Math.max(leastMb, guestMb / nodeCpus.length)}M`;
  return nodeCpus.map((count) => ({ cpus: count, memory }));
}

/** Limits for a machine of so many hosts: a remote fault costs milliseconds under emulation. */
export function linuxSeconds(hosts: number): Pick<Scenario, "bootSeconds" | "answerSeconds"> {
  return hosts === 1
    ? { bootSeconds: 300, answerSeconds: 120 }
    : { bootSeconds: 240 * hosts, answerSeconds: 180 };
}

export function linuxScenario(name: string, title: string, nodeCpus: readonly number[]): Scenario {
  return {
    name,
    title,
    guest: "linux",
    network: undefined,
    nodes: linuxNodes(nodeCpus),
    append: undefined,
    programs: ["cross"],
    questions: [cpus, numa, tuned, busy, clock, bridge, cross(1000), dmesg],
    ...linuxSeconds(nodeCpus.length),
  };
}

function kernel(name: string, of: string, nodeCpus: readonly number[]): Scenario {
  const where = nodeCpus.length === 1 ? "one host, 2 vCPUs" : "two hosts, 1 vCPU each";
  return { ...linuxScenario(name, `Debian's ${of} on ${where}`, nodeCpus), kernel: of };
}

const single2 = linuxScenario("single2", "Debian's kernel on one host, 2 vCPUs", [2]);

export const linux: readonly Scenario[] = [
  linuxScenario("single1", "Debian's kernel on one host, 1 vCPU", [1]),
  { ...single2, questions: [date, clockChip, x2apic, ...single2.questions] },
  linuxScenario("pair", "Debian's kernel over two hosts, 1 vCPU each", [1, 1]),
  linuxScenario("pair22", "Debian's kernel over two hosts, 2 vCPUs each", [2, 2]),
  linuxScenario("pair21", "Debian's kernel over two hosts, 2 vCPUs and 1", [2, 1]),
  linuxScenario("trio", "Debian's kernel over three hosts, 1 vCPU each", [1, 1, 1]),
  {
    ...linuxScenario("costs", "what a boot over two hosts costs, and its hot pages", [1, 1]),
    programs: [],
    questions: [cpus, ...costs, dmesg],
  },
  {
    ...linuxScenario("pair-prints", "a program that prints without end, two hosts", [1, 1]),
    programs: [],
    questions: [cpus, flood(20_000), dmesg],
  },
  kernel("single-6.1", "cloud-6.1", [2]),
  kernel("single-generic", "generic-6.12", [2]),
  kernel("single-vmlinux", "cloud-6.12-vmlinux", [2]),
  kernel("pair-6.1", "cloud-6.1", [1, 1]),
  kernel("pair-generic", "generic-6.12", [1, 1]),
  {
    ...linuxScenario("pair-hosts-6.1", "over two hosts of Linux 6.1, 1 vCPU each", [1, 1]),
    hostKernel: "cloud-6.1",
  },
];
