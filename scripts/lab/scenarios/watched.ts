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
    { pattern: /\[Address test, walking ones, no cache\]/, meaning: "the first test runs" },
  ],
};

function memtestOn(name: string, title: string, nodeCpus: readonly number[]): Scenario {
  return {
    name,
    title,
    guest: "watched",
    watched: memtest,
    kernel: "memtest86+",
    network: undefined,
    nodes: nodeCpus.map((cpus) => ({ cpus, memory: "64M" })),
    append: undefined,
    questions: [],
    bootSeconds: 240 * nodeCpus.length,
    answerSeconds: 0,
  };
}

export const watched: readonly Scenario[] = [
  memtestOn("memtest-single", "memtest86+ on one host, 2 vCPUs", [2]),
  memtestOn("memtest", "memtest86+ over two hosts, 1 vCPU each", [1, 1]),
];
