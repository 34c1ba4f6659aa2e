/** @module The lab of emulated hosts as its tests use it: there, or loudly said to be missing. */

import { makeLab } from "../../scripts/lab/lab.ts";
import { LabMissing } from "../../scripts/lab/packages.ts";
import type { Lab } from "../../scripts/lab/play.ts";

export function say(line: string): void {
  console.log(`lab: ${line}`);
}

/** The same for scenarios that take minutes each: only `npm run test:lab` plays them. */
export async function findWholeLab(): Promise<Lab | undefined> {
  if (process.env["GIANTVM_TEST_LAB"] === "all") return findLab();
  console.warn("SKIPPED: scenarios of the lab that take minutes each; npm run test:lab plays them");
  return undefined;
}

/** Undefined where the lab cannot be built, after a line that says why. */
export async function findLab(): Promise<Lab | undefined> {
  try {
    return await makeLab(say);
  } catch (error) {
    if (!(error instanceof LabMissing)) throw error;
    console.warn(`SKIPPED: the lab is not available here: ${error.message}`);
    return undefined;
  }
}
