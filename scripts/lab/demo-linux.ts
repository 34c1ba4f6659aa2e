/**
 * @module `npm run demo:linux`: Debian's unmodified kernel over two emulated hosts, one node and
 * one vCPU on each. Arguments name another scenario of scenarios.ts.
 */

import { exitOnSignals, main } from "./main.ts";

exitOnSignals();
process.exitCode = await main(process.argv.slice(2), "pair");
