/**
 * @module `npm run lab -- --runs N` with a fake QEMU. Arguments: a folder, how the QEMU behaves, N.
 * A guest that does not boot is waited for without end.
 */

import { join } from "node:path";
import { exitOnSignals, plays } from "../../scripts/lab/main.ts";
import { fakeLab, short } from "./fake.ts";

const [folder = "", behaviour = "", runs = "1"] = process.argv.slice(2);
exitOnSignals();
const scenario = { ...short, bootSeconds: 100_000 };
process.exitCode = await plays(
  fakeLab(folder, behaviour),
  { kind: "play", scenario, logs: false, runs: Number(runs) },
  join(folder, "failed"),
);
