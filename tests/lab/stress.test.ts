/** @module What of `stress-ng --verify` counts as held. */

import { expect, test } from "bun:test";
import { stressNgHeld } from "../../scripts/lab/scenarios/stress.ts";

const info = "stress-ng: info:  [180] dispatching hogs: 1 vm, 2 atomic\n";
const doubt = (name: string) =>
  `stress-ng: warn:  [187] ${name}: WARNING: bogo-ops counter in non-ready state, metrics are ` +
  "untrustworthy (process may have been terminated prematurely)\n";
const failure = "stress-ng: fail:  [182] vm: detected 1 bit errors while stressing memory\n";
const interrupted =
  "stress-ng: fail:  [220] pipe: termination write failed, errno=4 (Interrupted system call)\n";
const ended = (code: number) => `stress-ng ended with ${code}`;

test("stress-ng held where it found nothing, also when a stressor only ended badly", () => {
  expect(info + ended(0)).toMatch(stressNgHeld);
  expect(info + doubt("atomic") + doubt("atomic") + ended(7)).toMatch(stressNgHeld);
  expect(info + interrupted + ended(0)).toMatch(stressNgHeld);
  expect(info + interrupted + doubt("atomic") + ended(7)).toMatch(stressNgHeld);
});

test("stress-ng did not hold where it found something, or ends otherwise", () => {
  const bad = [
    info + failure + ended(2),
    info + interrupted + failure + ended(0),
    info + interrupted + ended(2),
    info + interrupted.replace("4", "9") + ended(0),
    info + interrupted.replace("termination ", "") + ended(0),
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
