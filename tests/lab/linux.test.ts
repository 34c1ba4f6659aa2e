/** @module Debian's kernel on giantvm, in emulated hosts with /dev/kvm: one node, then two. */

import { expect, test } from "bun:test";
import { overheadSeconds, play } from "../../scripts/lab/play.ts";
import { scenarios } from "../../scripts/lab/scenarios.ts";
import { findLab, say } from "./find.ts";

const lab = await findLab();

for (const name of ["single1", "single2", "pair"]) {
  const scenario = scenarios.get(name)!;
  // Both attempts, each with the scenario's own watchdogs.
  const answers = scenario.questions.length * scenario.answerSeconds;
  const seconds = 2 * (scenario.bootSeconds + answers + overheadSeconds);
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
