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
};

async function report(...options: string[]): Promise<string> {
  using folder = temporaryFolder();
  for (const [name, text] of Object.entries(files)) await Bun.write(join(folder.path, name), text);
  const both = ["/bin/sh", "-c", 'exec "$0" test "$@" 2>&1', process.execPath, ...options];
  const run = Bun.spawnSync(both, { cwd: folder.path, stdin: "ignore" });
  return Bun.stripANSI(run.stdout.toString());
}

test.each([[], ["--parallel=2"]])("each failure with what it printed, once (%p)", async (...o) => {
  const found = failures(await report(...o));
  const one = (text: string): string => {
    const [first, ...others] = found.filter((each) => each.includes(text));
    expect(others).toEqual([]);
    return first!;
  };
  expect(found).toHaveLength(4);
  expect(one("(fail) bad")).toMatch(/^one\.test\.ts:\n/);
  expect(one("(fail) bad")).toContain("Expected: 2");
  expect(one("(fail) late")).toContain("timed out");
  expect(one("error: outside")).toMatch(/^two\.test\.ts:\n/);
  expect(one("error: x")).toContain("n499");
  expect(one("error: x")).not.toContain("n100\n");
  expect(found.join("\n")).not.toContain("said by good");
});

test("what passed says nothing", () => {
  const good = "one.test.ts:\nprinted\n(pass) good [1.00ms]\n(skip) other\n\n 1 pass\n";
  expect(failures(good)).toEqual([]);
});
