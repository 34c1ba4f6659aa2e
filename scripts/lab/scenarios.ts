/** @module What the lab can show, by name; a family of scenarios is a file in scenarios/. */

import { caches } from "./scenarios/cache.ts";
import { debuggers } from "./scenarios/debug.ts";
import { disks } from "./scenarios/disk.ts";
import { holes } from "./scenarios/hole.ts";
import { linux } from "./scenarios/linux.ts";
import { network } from "./scenarios/network.ts";
import { stressful } from "./scenarios/stress.ts";
import { watched } from "./scenarios/watched.ts";
import type { Scenario } from "./scenarios/types.ts";

export * from "./scenarios/types.ts";

const all = [
  ...linux,
  ...holes,
  ...caches,
  ...stressful,
  ...disks,
  ...debuggers,
  ...network,
  ...watched,
];

export const scenarios: ReadonlyMap<string, Scenario> = new Map(
  all.map((each) => [each.name, each]),
);
