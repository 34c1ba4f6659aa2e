/** @module Memory on both sides of the hole below 4 GiB, where the PCI devices are. */

import { gpaRanges, highRamStart } from "../../../src/machine/map.ts";
import { linuxScenario } from "./linux.ts";
import { cpus, dmesg, meminfo, numa, tuned } from "./questions.ts";
import { type Asked, maskOf, type Node, type Scenario } from "./types.ts";

function megabytes({ memory }: Node): number {
  return Number.parseInt(memory, 10);
}

/** Of what its host gives the kernel keeps some: its image, tables of pages, bounce buffers. */
const amounts: Asked = (nodes) => {
  const percent = nodes.map((node, index) => {
    const total = meminfo(`node${index}`, "MemTotal");
    return `echo $((100 * ${total} / ${1024 * megabytes(node)}))`;
  });
  return {
    command: percent.join("; "),
    answer: new RegExp(`^${nodes.map(() => "([89]\\d|100)").join("\\n")}$`),
    meaning: "each NUMA node has the memory that its host gives",
  };
};

const aboveHole: Asked = (nodes) => {
  const bytes = nodes.reduce((sum, node) => sum + megabytes(node), 0) * 2 ** 20;
  const [, high] = gpaRanges(0, bytes);
  if (high === undefined) return undefined;
  const end = (high.first + high.length - 1).toString(16);
  return {
    command: "grep 'System RAM' /proc/iomem",
    answer: new RegExp(`^${highRamStart.toString(16)}-${end} : System RAM$`, "m"),
    meaning: "its memory goes on at 4 GiB",
  };
};

/** The first CPU of a node; behind the last node comes the first. */
function firstCpu(nodes: readonly Node[], node: number): number {
  return nodes.slice(0, node % nodes.length).reduce((sum, { cpus: count }) => sum + count, 0);
}

/**
 * A file of 2 MB in the memory of each node (tmpfs; Shmem lags by up to 125 pages a CPU): written
 * by a CPU of the next node, read by one of its own.
 */
const files: Asked = (nodes) => {
  const each = nodes.map((_, node) => {
    const at = `/tmp/node${node}`;
    const writer = `taskset ${maskOf(firstCpu(nodes, node + 1))}`;
    const reader = `taskset ${maskOf(firstCpu(nodes, node))}`;
    const shared = meminfo(`node${node}`, "Shmem");
    return [
      `mkdir -p ${at}`,
      `mount -t tmpfs -o mpol=bind:${node} node${node} ${at}`,
      `${writer} dd if=/dev/urandom of=${at}/noise bs=64k count=32 2>/dev/null`,
      `${writer} sha256sum ${at}/noise >/tmp/sum`,
      `${reader} sha256sum -c /tmp/sum`,
      `[ ${shared} -ge 1024 ] && echo in node ${node}`,
      `umount ${at}`,
    ].join("; ");
  });
  const lines = nodes.map((_, node) => `/tmp/node${node}/noise: OK\\nin node ${node}`);
  return {
    command: each.join("; "),
    answer: new RegExp(`^${lines.join("\\n")}$`),
    meaning: "a file in the memory of each node, written by another's CPU, is read by its own",
    seconds: 600,
  };
};

const pair = linuxScenario(
  "pair-4g",
  "Debian's kernel over two hosts with memory on both sides of the hole below 4 GiB",
  [1, 1],
);

/** A host has less than the guest: memory is there once it is used. */
export const holes: readonly Scenario[] = [
  {
    ...pair,
    nodes: [
      { cpus: 1, memory: "1900M" },
      { cpus: 1, memory: "1500M" },
    ],
    programs: [],
    questions: [cpus, numa, tuned, amounts, aboveHole, files, dmesg],
    // What Linux keeps of each page, and its bounce buffers, lie on the second host.
    bootSeconds: 1200,
  },
];
