/** @module Debian's kernel on giantvm, in emulated hosts with /dev/kvm: one node, then two. */

import { expect, test } from "bun:test";
import { makeLab } from "../../scripts/lab/lab.ts";
import { LabMissing } from "../../scripts/lab/packages.ts";
import { type Lab, overheadSeconds, play } from "../../scripts/lab/play.ts";
import { scenarios } from "../../scripts/lab/scenarios.ts";

function say(line: string): void {
  console.log(`lab: ${line}`);
}

async function findLab(): Promise<Lab | undefined> {
  try {
    return await makeLab(say);
  } catch (error) {
    if (!(error instanceof LabMissing)) throw error;
    console.warn(`SKIPPED: the lab is not available here: ${error.message}`);
    return undefined;
  }
}

const lab = await findLab();

for (const name of ["single1", "single2", "pair"]) {
  const scenario = scenarios.get(name)!;
  // Both attempts, each with the scenario's own watchdogs.
  const seconds = 2 * (scenario.bootSeconds + 3 * scenario.answerSeconds + overheadSeconds);
  test.skipIf(lab === undefined)(
    scenario.title,
    async () => {
      const outcome = await play(lab!, scenario, { say, console: () => {}, log: () => {} });
      if (!outcome.ok) console.error([...outcome.logs, outcome.console].join("\n---\n"));
      expect(outcome.reason).toBe("");
      expect(outcome.answers.map((answer) => answer.ok)).toEqual(
        scenario.questions.map(() => true),
      );
    },
    seconds * 1000,
  );
}
