/** @module Kernels without a shell: what their consoles show while they run over several hosts. */

import type { Scenario, Shown, Watched } from "./types.ts";

/** memtest86+ draws a screen, and again on the serial port whatever changes of it. */
const memtest: Watched = {
  commandLine: "console=ttyS0,115200 nopause nobench nosm nobigstatus",
  shows: (cpus): readonly Shown[] => [
    { pattern: /Memtest86\+ v[\d.]+/, meaning: "memtest86+ has found its way" },
    {
      pattern: new RegExp(`SMP: ${cpus}T \\(PAR\\)`),
      meaning: `it counts ${cpus} CPUs`,
    },
    // It says so once every CPU has started.
    { pattern: /Status: Testing/, meaning: "all of them have started and it tests" },
    // The screen comes every two seconds, by which the first test may be over.
    { pattern: /#\d+ +\[\w[^\]]*\]/, meaning: "a test runs" },
  ],
};

/** A multiboot kernel, which ends as what it gets for its first guest's kernel is none. */
const xen: Watched = {
  commandLine: "console=com1 com1=115200,8n1 noreboot",
  shows: (cpus): readonly Shown[] => [
    { pattern: /\(XEN\) Xen version [\d.]+/, meaning: "Xen has found its way" },
    { pattern: /Bootloader: GiantVM/, meaning: "it knows who has loaded it" },
    { pattern: new RegExp(`Brought up ${cpus} CPUs`), meaning: `it has started ${cpus} CPUs` },
    { pattern: /Could not construct domain 0/, meaning: "it looks at the module it was given" },
  ],
};

function watchedOn(
  name: string,
  title: string,
  what: Pick<Scenario, "kernel" | "watched">,
  memory: string,
  nodeCpus: readonly number[],
): Scenario {
  return {
    name,
    title,
    guest: "watched",
    ...what,
    network: undefined,
    nodes: nodeCpus.map((cpus) => ({ cpus, memory })),
    append: undefined,
    questions: [],
    bootSeconds: 240 * nodeCpus.length,
    answerSeconds: 0,
  };
}

const memtestKernel = { kernel: "memtest86+", watched: memtest };

export const watched: readonly Scenario[] = [
  watchedOn("memtest-single", "memtest86+ on one host, 2 vCPUs", memtestKernel, "64M", [2]),
  watchedOn("memtest", "memtest86+ over two hosts, 1 vCPU each", memtestKernel, "64M", [1, 1]),
  watchedOn("xen", "Xen by multiboot on one host", { kernel: "xen", watched: xen }, "128M", [2]),
];
