/**
 * @module `npm run demo:linux`: Debian's unmodified kernel over two emulated hosts, one node and
 * one vCPU on each. Arguments name another scenario of scenarios.ts.
 */

import { exitOnSignals, main } from "./main.ts";

exitOnSignals();
const args = process.argv.slice(2);
process.exitCode = await main(args.some((arg) => !arg.startsWith("--")) ? args : [...args, "pair"]);
