/** @module Nodes that have no memory for all pages of the others that they use. */

import { linuxScenario } from "./linux.ts";
import { clock, cpus, cross, dmesg, numa } from "./questions.ts";
import { type Asked, maskOf, type Scenario } from "./types.ts";

/** A file in the memory of each node, both written and read by the last CPU, read by the first. */
const fileMb = [40, 88] as const;

const files: Asked = (nodes) => {
  const last = nodes.reduce((sum, { cpus: count }) => sum + count, 0) - 1;
  const far = `taskset ${maskOf(last)}`;
  const each = [...fileMb.entries()].map(([node, mb]) => {
    const at = `/tmp/node${node}`;
    return [
      `mkdir -p ${at}`,
      `mount -t tmpfs -o mpol=bind:${node} node${node} ${at}`,
      `${far} dd if=/dev/urandom of=${at}/noise bs=64k count=${16 * mb} 2>/dev/null`,
      `${far} sha256sum ${at}/noise >>/tmp/sums`,
    ].join("; ");
  });
  // Its own memory first, so that it is full when the other's comes.
  const sums = fileMb.map((_, node) => `/tmp/node${node}/noise: OK`).toReversed();
  const twice = [...sums, ...sums].join("\\n");
  return {
    command:
      `${each.toReversed().join("; ")}; taskset 1 sha256sum -c /tmp/sums; ` +
      `${far} sha256sum -c /tmp/sums`,
    answer: new RegExp(`^${twice}$`),
    meaning: "files that its memory does not hold are what was written, for both CPUs",
    seconds: 1200,
  };
};

/** Of one node at least: thousands of pages went home, and their memory came back. */
const counted: Asked = {
  host: 0,
  command: "giantvm debug counters | grep -E '^pages(Taken|Evicted|Forgotten) '",
  answer: /^pagesTaken .*\npagesEvicted .*\b\d{4,}\b.*\npagesForgotten .*\b\d{4,}\b/,
  meaning: "pages went home and their memory came back",
  shown: true,
};

const pair = linuxScenario("pair-cache", "two hosts that are short of memory", [1, 1]);

export const caches: readonly Scenario[] = [
  {
    ...pair,
    cacheMemory: "16M",
    questions: [cpus, numa, clock, files, cross(1000), counted, dmesg],
  },
];
