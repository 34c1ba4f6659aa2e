/**
 * @module Run by console.test.ts on a terminal: as in `run` the library is loaded and asked for the
 * time, the terminal made raw, and a node opened, and again as at a reset; then a call breaks an
 * assertion of the data plane.
 */

import { openTerminal } from "../../src/cli/terminal.ts";
import { monotonicNs } from "../../src/native/clock.ts";
import { openDataPlane } from "../../src/native/index.ts";
import { library } from "../../src/native/library.ts";

monotonicNs();
openTerminal(() => {
  library().gvm_stop(0n);
  return true;
}, true);
await openDataPlane({ address: "127.0.0.1" }).close();
openDataPlane({ address: "127.0.0.1" });
process.stdout.write("now raw\r\n");
