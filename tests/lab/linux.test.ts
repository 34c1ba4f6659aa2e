/**
 * @module Debian's kernels on giantvm, in emulated hosts with /dev/kvm. Two scenarios are part of
 * `npm test`: one host and two, each with the checks between CPUs, a minute of stress and a reboot;
 * there a stall on the guest's console is told and let pass, in `npm run test:lab` it is a failure.
 */

import { expect, test } from "bun:test";
import { attemptSeconds } from "../../scripts/lab/play.ts";
import { summaryOf } from "../../scripts/lab/report.ts";
import { questionsOf, scenarios } from "../../scripts/lab/scenarios.ts";
import { findLab, lenient, playShown, ready, wholeLab } from "./find.ts";

const bounded = ["single2-brief", "pair-brief"];
const lab = await findLab();
const all = [...scenarios.values()].filter((each) => each.guest === "linux");

if (!wholeLab) {
  const others = all.length - bounded.length;
  console.warn(`SKIPPED: ${others} scenarios of Linux guests; npm run test:lab plays them`);
}

for (const scenario of all) {
  if (!wholeLab && !bounded.includes(scenario.name)) continue;
  // On a machine shared with others a stall says more of it than of the guest: told, not failed.
  const played = wholeLab ? scenario : lenient(scenario);
  test.skipIf(lab === undefined || !ready(scenario))(
    `${scenario.name}: ${scenario.title}`,
    async () => {
      const outcome = await playShown(lab!, played);
      console.log(summaryOf(outcome));
      expect(outcome.reason).toBe("");
      const asked = questionsOf(played);
      const again = asked.filter((question) => question.again);
      const { reboots = 0 } = played;
      expect(outcome.rebootSeconds.length).toBe(reboots);
      expect(outcome.answers.length).toBe(asked.length + reboots * again.length);
      expect(outcome.answers.every((answer) => answer.ok)).toBe(true);
    },
    // Both attempts, each with its own watchdogs.
    2 * attemptSeconds(played) * 1000,
  );
}
