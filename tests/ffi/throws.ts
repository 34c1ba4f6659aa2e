/**
 * @module Run by dataplane.test.ts: the handler throws at the first of two events; both are told,
 * and so is what it threw.
 */

import { openDataPlane } from "../../src/native/index.ts";

process.on("unhandledRejection", (error) => process.stdout.write(`told: ${String(error)}\n`));
const dataPlane = openDataPlane({ address: "127.0.0.1" });
let events = 0;
dataPlane.onEvent(({ kind }) => {
  process.stdout.write(`${kind}\n`);
  events += 1;
  if (events === 1) throw new Error("thrown by the handler");
});
// Without a machine each is an event at once.
await Promise.all([dataPlane.stop(), dataPlane.stop()]);
await dataPlane.stop();
await dataPlane.close();
