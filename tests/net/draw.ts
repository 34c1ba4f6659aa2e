/** @module What a seed of `npm run faults` runs, on what network. */

import { Random } from "../../src/sim/random.ts";
import { type NetworkOptions, terrible } from "./network.ts";

export type Drawn = {
  readonly kind: "engines" | "guest";
  readonly nodes: number;
  readonly network: NetworkOptions;
};

function pick<T>(random: Random, values: readonly [T, ...T[]]): T {
  return values[random.below(values.length)] ?? values[0];
}

/** One seed in two has the faults that are promised, the others anything up to worse ones. */
export function draw(seed: number): Drawn {
  const random = new Random(seed);
  const kind = pick(random, ["engines", "guest"] as const);
  const nodes = pick(random, [2, 2, 3, 3, 4]);
  if (random.chance(50)) return { kind, nodes, network: { seed, ...terrible } };
  const chance = () => pick(random, ["0%", "1%", "5%", "10%", "20%"]);
  return {
    kind,
    nodes,
    network: {
      seed,
      mtu: pick(random, [1280, 1500, 1500, 9000]),
      loss: chance(),
      duplicate: chance(),
      reorder: chance(),
      late: pick(random, ["500us", "4ms", "30ms"]),
      delay: pick(random, ["0us", "200us", "5ms"]),
      jitter: pick(random, ["0us", "1ms", "10ms"]),
      rate: pick(random, ["0", "10M", "50M", "1G"]),
      queue: pick(random, ["16k", "64k"]),
      cut: pick(random, ["0ms", "50ms", "200ms", "500ms"]),
      every: pick(random, ["800ms", "3s"]),
    },
  };
}
