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

/** A multiboot kernel, which ends for want of a kernel of its own to start. */
const xen: Watched = {
  commandLine: "console=com1 com1=115200,8n1 noreboot",
  shows: (): readonly Shown[] => [
    { pattern: /\(XEN\) Xen version [\d.]+/, meaning: "Xen has found its way" },
    { pattern: /Bootloader: GiantVM/, meaning: "it knows who has loaded it" },
    { pattern: /dom0 kernel not specified/, meaning: "it misses the kernel it should start" },
  ],
};

function watchedOn(
  name: string,
  title: string,
  what: Pick<Scenario, "kernel" | "watched">,
  nodeCpus: readonly number[],
): Scenario {
  return {
    name,
    title,
    guest: "watched",
    ...what,
    network: undefined,
    nodes: nodeCpus.map((cpus) => ({ cpus, memory: "64M" })),
    append: undefined,
    questions: [],
    bootSeconds: 240 * nodeCpus.length,
    answerSeconds: 0,
  };
}

const memtestKernel = { kernel: "memtest86+", watched: memtest };

export const watched: readonly Scenario[] = [
  watchedOn("memtest-single", "memtest86+ on one host, 2 vCPUs", memtestKernel, [2]),
  watchedOn("memtest", "memtest86+ over two hosts, 1 vCPU each", memtestKernel, [1, 1]),
  watchedOn("xen", "Xen by multiboot on one host", { kernel: "xen", watched: xen }, [2]),
];
