/** @module The lab of emulated hosts as its tests use it: there, or loudly said to be missing. */

import { diskTools } from "../../scripts/lab/disk.ts";
import { makeLab } from "../../scripts/lab/lab.ts";
import { defaultKernel, kernelImage } from "../../scripts/lab/kernels.ts";
import { keep } from "../../scripts/lab/kept.ts";
import { hostKernel as modulesOf, LabMissing } from "../../scripts/lab/packages.ts";
import { type Lab, type Outcome, play } from "../../scripts/lab/play.ts";
import { guestProgram } from "../../scripts/lab/programs.ts";
import { transcriptOf } from "../../scripts/lab/report.ts";
import { dmesg, dmesgWhenLate } from "../../scripts/lab/scenarios/questions.ts";
import type { Scenario } from "../../scripts/lab/scenarios.ts";

export function say(line: string): void {
  console.log(`lab: ${line}`);
}

/** All scenarios are to be played, also those that take minutes. */
export const wholeLab = process.env["GIANTVM_TEST_LAB"] === "all";

/** The same for scenarios that take minutes each: only `npm run test:lab` plays them. */
export async function findWholeLab(): Promise<Lab | undefined> {
  if (wholeLab) return findLab();
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

/** Whether the scenario's kernel and programs are there; else a line says what is missing. */
export function ready(scenario: Scenario): boolean {
  const { name, kernel = defaultKernel, hostKernel, programs = [], disk = false } = scenario;
  try {
    kernelImage(kernel, say);
    if (hostKernel !== undefined) modulesOf(hostKernel, say);
    if (disk) diskTools(say);
    for (const program of programs) guestProgram(program, say);
    return true;
  } catch (error) {
    if (!(error instanceof LabMissing)) throw error;
    console.warn(`SKIPPED: ${name}: ${error.message}`);
    return false;
  }
}

/** The scenario on a machine that may be busy otherwise: stalls and lockups are no failure. */
export function lenient(scenario: Scenario): Scenario {
  const questions = scenario.questions.map((each) => (each === dmesg ? dmesgWhenLate : each));
  return { ...scenario, questions, lateCounts: false };
}

/** Plays, and shows all that is known of an attempt that failed. */
export async function playShown(lab: Lab, scenario: Scenario): Promise<Outcome> {
  const outcome = await play(lab, scenario, { say, console: () => {}, log: () => {} });
  if (!outcome.ok) console.error(transcriptOf(outcome), `all of it: ${keep(outcome)}`);
  return outcome;
}
