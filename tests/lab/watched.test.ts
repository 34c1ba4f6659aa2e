/** @module Kernels that are not Linux on giantvm, in emulated hosts: memtest86+, Xen. */

import { expect, test } from "bun:test";
import { attemptSeconds } from "../../scripts/lab/play.ts";
import { summaryOf } from "../../scripts/lab/report.ts";
import { scenarios } from "../../scripts/lab/scenarios.ts";
import { findWholeLab, playShown, ready } from "./find.ts";

const lab = await findWholeLab();

for (const scenario of [...scenarios.values()].filter((each) => each.guest === "watched")) {
  test.skipIf(lab === undefined || !ready(scenario))(
    `${scenario.name}: ${scenario.title}`,
    async () => {
      const outcome = await playShown(lab!, scenario);
      console.log(summaryOf(outcome));
      expect(outcome.reason).toBe("");
    },
    2 * attemptSeconds(scenario) * 1000,
  );
}
