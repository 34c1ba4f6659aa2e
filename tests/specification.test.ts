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
    const source = file === undefined ? "" : readFileSync(file, "utf8").replaceAll(/\(\s+/g, "(");
    for (const [, name = ""] of names) {
      // Names may go on with what a test is repeated for, or with which seeds.
      const titles = ['test "', 'test("', "test(`", 'seeds("'].map((start) => start + name);
      if (!titles.some((title) => source.includes(title))) missing.push(`${path} "${name}"`);
    }
  }
  expect(missing).toEqual([]);
  expect(citations.length).toBeGreaterThan(25);
});

test("no table is cut in two: what follows an empty line is a head", () => {
  expect(text.match(/\n\n\|.*\n(?!\|---)/g)).toBeNull();
});

/** The last column of every row of promises and limits. */
const cells = text
  .split("\n")
  .filter((line) => /^\|(?!---)/.test(line))
  .map((line) => line.split("|").at(-2)?.trim() ?? "")
  .filter((cell) => cell !== "checked by" && cell !== "where");

test("each line names a test, or a command or check of the guest that exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  const guest = readFileSync(join(root, "docs/guest.md"), "utf8");
  const bare = cells.filter((cell) => !/"[^"]+"|`npm run |built-in guest: `/.test(cell));
  expect(bare).toEqual([]);
  for (const [, name = ""] of text.matchAll(/`npm run ([\w:-]+)`/g)) {
    expect(Object.keys(scripts)).toContain(name);
  }
  for (const cell of cells) {
    const listed = /built-in guest: ([^("]*)/.exec(cell)?.[1] ?? "";
    for (const [, name = ""] of listed.matchAll(/`([\w-]+)`/g))
      expect(guest).toContain(`\`${name}\``);
  }
});
