/** @module `npm run mutants`: each rule off alone; fails when no check notices. docs/mutants.md. */

import { buildProgram, runProgram } from "./zig.ts";

process.exit(runProgram(buildProgram("mutants")));
