/** @module Two hosts whose own kernels make the network between them bad. */

import type { BadNetwork, Scenario } from "./types.ts";

const badNetwork: BadNetwork = {
  netem: "delay 2ms 1ms loss 5% duplicate 5% reorder 5% rate 100mbit limit 1000",
  cutMs: 200,
};

const netem: Scenario = {
  name: "netem",
  title: "the built-in guest over two hosts that lose, double and reorder 5 % each",
  guest: "builtin",
  network: badNetwork,
  nodes: [
    { cpus: 1, memory: "64M" },
    { cpus: 1, memory: "64M" },
  ],
  append: undefined,
  questions: [],
  bootSeconds: 400,
  answerSeconds: 0,
};

const netemThreads: Scenario = {
  ...netem,
  name: "netem-threads",
  title: "native threads on two hosts that lose, double and reorder 5 % each",
  guest: { seed: 1, operationsPerThread: 4000, pauseUs: 5000 },
  answerSeconds: 60,
};

export const network: readonly Scenario[] = [netem, netemThreads];
