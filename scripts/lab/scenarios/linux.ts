/** @module Debian's kernel on one host and over several. */

import { bridge, busy, clock, cpus } from "./questions.ts";
import type { Scenario } from "./types.ts";

function scenario(name: string, title: string, nodeCpus: readonly number[]): Scenario {
  const total = nodeCpus.reduce((sum, count) => sum + count, 0);
  return {
    name,
    title,
    guest: "linux",
    network: undefined,
    nodes: nodeCpus.map((count) => ({
      cpus: count,
      memory: `${Math.max(128, 256 / nodeCpus.length)}M`,
    })),
    append: undefined,
    questions: [cpus(total), busy(total), clock, bridge],
    bootSeconds: nodeCpus.length === 1 ? 120 : 480,
    answerSeconds: nodeCpus.length === 1 ? 60 : 180,
  };
}

export const linux: readonly Scenario[] = [
  scenario("single1", "Debian's kernel on one host, 1 vCPU", [1]),
  scenario("single2", "Debian's kernel on one host, 2 vCPUs", [2]),
  scenario("pair", "Debian's kernel over two hosts, 1 vCPU each", [1, 1]),
  scenario("pair22", "Debian's kernel over two hosts, 2 vCPUs each", [2, 2]),
  scenario("trio", "Debian's kernel over three hosts, 1 vCPU each", [1, 1, 1]),
];
