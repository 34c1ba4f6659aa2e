/**
 * @module Run by console.test.ts on a terminal: a node is opened, the terminal made raw, the node
 * opened again as at a reset, and then a call breaks an assertion of the data plane.
 */

import { openDataPlane } from "../../src/native/index.ts";
import { library } from "../../src/native/library.ts";

const first = openDataPlane({ address: "127.0.0.1" });
process.stdin.setRawMode(true);
await first.close();
openDataPlane({ address: "127.0.0.1" });
process.stdout.write("now raw\r\n");
process.stdin.once("data", () => library().gvm_stop(0n));
