/** @module `npm run explore`: all states of small worlds; docs/exploration.md. */

import { buildProgram, runProgram } from "./zig.ts";

process.exit(runProgram(buildProgram("explore"), process.argv.slice(2)));
