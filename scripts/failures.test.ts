/** @module What failed is found in what `bun test` really prints, one file at a time or two. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { temporaryFolder } from "../tests/program.ts";
import { failures } from "./failures.ts";

const head = 'import { afterAll, expect, test } from "bun:test";\n';
const files = {
  "one.test.ts": `${head}
    test("good", () => {});
    test("bad", () => { console.log("said by bad"); expect(1).toBe(2); });
    test("good as well", () => { console.log("said by good"); });
    test("late", async () => { await new Promise(() => {}); }, 10);`,
  "two.test.ts": `${head}
    test("good", () => {});
    throw new Error("outside");`,
  "three.test.ts": `${head}
    test("good", () => {});
    const many = () => { for (let n = 0; n < 500; n += 1) console.log("n" + n); };
    afterAll(() => { many(); throw new Error("x"); });`,
  // Of more than 20 Bun says twice which failed.
  "four.test.ts": `${head}
    for (let n = 0; n < 25; n += 1) test("good", () => {});`,
};

/** In their order. */
const names = Object.keys(files).map((name) => `./${name}`);

async function report(...options: string[]): Promise<string> {
  using folder = temporaryFolder();
  for (const [name, text] of Object.entries(files)) await Bun.write(join(folder.path, name), text);
  const both = [
    "/bin/sh",
    "-c",
    'exec "$0" test "$@" 2>&1',
    process.execPath,
    ...options,
    ...names,
  ];
  const env = { PATH: process.env["PATH"] ?? "" };
  const run = Bun.spawnSync(both, { cwd: folder.path, stdin: "ignore", env });
  const text = Bun.stripANSI(run.stdout.toString());
  expect(text.match(/^\(fail\) bad /gm)).toHaveLength(2);
  return text;
}

test("each failure once, with what it printed", async () => {
  const [bad, late, outside, after, ...others] = failures(await report());
  expect(others).toEqual([]);
  expect(bad).toMatch(/^said by bad\n[^]*Expected: 2\n[^]*\(fail\) bad \[/m);
  expect(late).toMatch(/^said by good\n\(fail\) late \[.*\n.*timed out/);
  expect(outside).toMatch(/^# Unhandled [^]*\/two\.test\.ts:4:/m);
  expect(after).toMatch(/^n499\n[^]*error: x\n[^]*\(fail\) \(unnamed\)/m);
  expect(after).not.toContain("n100\n");
});

test("each failure once where two files run at a time", async () => {
  const found = failures(await report("--parallel=2"));
  for (const name of ["(fail) bad", "(fail) late", "# Unhandled error", "(fail) (unnamed)"]) {
    expect(found.filter((each) => each.includes(name))).toHaveLength(1);
  }
  expect(found).toHaveLength(4);
});

test("what passed says nothing", () => {
  const good = "one.test.ts:\nprinted\n(pass) good [1.00ms]\n(skip) other\n\n 1 pass\n";
  expect(failures(good)).toEqual([]);
});
