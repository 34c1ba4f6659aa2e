/**
 * @module A lab whose one host boots and then does what the second argument says, for
 * scratch.test.ts to end; the first is the folder of its fake QEMU.
 */

import { exitOnSignals } from "../../scripts/lab/main.ts";
import { play } from "../../scripts/lab/play.ts";
import { fakeLab, short } from "./fake.ts";

const [folder = "", behaviour = ""] = process.argv.slice(2);
exitOnSignals();
await play(
  fakeLab(folder, behaviour),
  { ...short, bootSeconds: 600 },
  { say: (line) => console.log(line), console: () => {}, log: () => {} },
);
