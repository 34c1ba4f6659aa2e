/** @module What of `stress-ng --verify` counts as held. */

import { expect, test } from "bun:test";
import { stressNgHeld } from "../../scripts/lab/scenarios/stress.ts";

const info = "stress-ng: info:  [180] dispatching hogs: 1 vm, 2 atomic\n";
const doubt = (name: string) =>
  `stress-ng: warn:  [187] ${name}: WARNING: bogo-ops counter in non-ready state, metrics are ` +
  "untrustworthy (process may have been terminated prematurely)\n";
const failure = "stress-ng: fail:  [182] vm: detected 1 bit errors while stressing memory\n";
const ended = (code: number) => `stress-ng ended with ${code}`;

test("stress-ng held where it found nothing, also when `atomic` doubts its own count", () => {
  expect(info + ended(0)).toMatch(stressNgHeld);
  expect(info + doubt("atomic") + doubt("atomic") + ended(7)).toMatch(stressNgHeld);
});

test("stress-ng did not hold where it found something, or ends otherwise", () => {
  const bad = [
    info + failure + ended(2),
    info + failure + doubt("atomic") + ended(7),
    info + ended(2),
    info + ended(7),
    info + doubt("vm") + ended(7),
    info + doubt("atomic") + doubt("vm") + ended(7),
    info + doubt("atomic") + ended(3),
    info,
  ];
  for (const text of bad) expect(text).not.toMatch(stressNgHeld);
});
