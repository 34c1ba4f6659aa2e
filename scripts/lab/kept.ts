/** @module All that a failed scenario has printed, kept in files until it fails the next time. */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "./play.ts";

const failed = join(import.meta.dir, "../../dist/lab/failed");

/** @returns the folder, which holds nothing of an earlier failure. */
export function keep(outcome: Outcome, parent = failed): string {
  const folder = join(parent, outcome.scenario);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const files: readonly (readonly [string, string])[] = [
    ...outcome.logs.map((log, node) => [`host-${node}.log`, log] as const),
    ["console.txt", outcome.console],
    ["where.txt", outcome.where],
  ];
  for (const [name, text] of files) {
    if (text !== "") writeFileSync(join(folder, name), text);
  }
  return folder;
}
