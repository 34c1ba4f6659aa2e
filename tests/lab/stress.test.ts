/** @module What of `stress-ng --verify` counts as held, and when it runs once more. */

import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stressful, stressNgHeld } from "../../scripts/lab/scenarios/stress.ts";
import { temporaryFolder } from "../program.ts";

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

/** The command of a scenario with a stress-ng that ends so, one run after the other. */
function ranWith(codes: readonly number[]): string {
  using folder = temporaryFolder();
  const program = join(folder.path, "stress-ng");
  const nth = `n=$(cat ${folder.path}/n 2>/dev/null || echo 1); echo $((n + 1)) >${folder.path}/n`;
  const each = codes.map((code, index) => `${index + 1}) exit ${code};;`).join(" ");
  writeFileSync(program, `#!/bin/sh\necho ran\n${nth}\ncase $n in ${each} *) exit 99;; esac\n`);
  chmodSync(program, 0o755);
  const { nodes, questions } = stressful.find(({ name }) => name === "pair-brief")!;
  const commands = questions.flatMap((asked) => {
    const question = typeof asked === "function" ? asked(nodes) : asked;
    return question?.command.includes("stress-ng") ? [question.command] : [];
  });
  expect(commands.length).toBe(1);
  const env = { PATH: `${folder.path}:${process.env["PATH"]}` };
  return Bun.spawnSync(["sh", "-c", commands[0]!], { env }).stdout.toString();
}

test("stress-ng runs once more where a stressor had no time, and only then, and only once", () => {
  expect(ranWith([0])).toBe("ran\nstress-ng ended with 0\n");
  expect(ranWith([2])).toBe("ran\nstress-ng ended with 2\n");
  expect(ranWith([3, 0])).toBe("ran\nonce more\nran\nstress-ng ended with 0\n");
  expect(ranWith([3, 3])).toBe("ran\nonce more\nran\nstress-ng ended with 3\n");
  expect("ran\nonce more\nran\nstress-ng ended with 3").not.toMatch(stressNgHeld);
});
