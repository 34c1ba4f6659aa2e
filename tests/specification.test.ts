/** @module docs/specification.md names tests that exist, so that each promise stays checked. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const text = readFileSync(join(root, "docs/specification.md"), "utf8");

/** Files with the tests named behind them: `file` "name", "name"; `file` alone counts, too. */
const citations = [...text.matchAll(/`([\w./-]+\.(?:zig|ts))`((?:,? "[^"]+")*)/g)].map(
  ([, path = "", names = ""]) => ({ path, names: [...names.matchAll(/"([^"]+)"/g)] }),
);

function place(path: string): string | undefined {
  return [path, join("native/zig", path)].map((each) => join(root, each)).find(existsSync);
}

test("every promise names tests that exist", () => {
  const missing: string[] = [];
  for (const { path, names } of citations) {
    const file = place(path);
    if (file === undefined) missing.push(path);
    const source = file === undefined ? "" : readFileSync(file, "utf8");
    for (const [, name = ""] of names) {
      if (!source.includes(`test "${name}"`) && !source.includes(`test("${name}"`)) {
        missing.push(`${path} "${name}"`);
      }
    }
  }
  expect(missing).toEqual([]);
  expect(citations.length).toBeGreaterThan(25);
});

test("no promise is without a check", () => {
  const rows = text.split("\n").filter((line) => line.startsWith("|"));
  const bare = rows.filter((row) => !/---|`|checked by|\| where \|/.test(row));
  expect(bare).toEqual([]);
});
