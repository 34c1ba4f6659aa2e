/**
 * @module The program of the guest's checks between CPUs (scripts/lab/guest) on this machine, where
 * memory is known to be sound: it finds nothing wrong here, and each check finds what it should.
 */

import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { buildCross } from "../../scripts/lab/programs.ts";

const names = [
  "atomics",
  "messages",
  "clock",
  "futex",
  "mutex",
  "pipes",
  "signals",
  "fork",
  "mprotect",
  "munmap",
  "pagecache",
];
const missing = availableParallelism() < 2 || process.platform !== "linux";
if (missing) console.warn("SKIPPED: the guest's checks need two CPUs here");

async function cross(...args: readonly string[]) {
  const child = Bun.spawn([buildCross(), ...args], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, stderr };
}

test.skipIf(missing)("all checks hold between two CPUs of one machine", async () => {
  const { code, stdout } = await cross("0,1", "200");
  const lines = stdout.trim().split("\n");
  expect(lines.at(-1)).toBe("cross: all checks held on 2 CPUs");
  expect(lines.slice(0, -1).map((line) => line.replace(/ [1-9]\d* \d+ ms$/, ""))).toEqual(
    names.map((name) => `ok ${name}`),
  );
  expect(code).toBe(0);
});

const wrong: Readonly<Record<string, RegExp>> = {
  atomics: /399 additions of 400 are there/,
  messages: /word 7 of message 1 is 0/,
  clock: /time went back by \d+ ns/,
  futex: /did not end within 1 s/,
  mutex: /did not end within 1 s/,
  pipes: /block 0 came changed/,
  signals: /signal 0 brought 1/,
  fork: /child 1 ended with 0x6300/,
  mprotect: /did not end within 1 s/,
  munmap: /did not end within 1 s/,
  pagecache: /word 0 by pread is 0x10001/,
};

for (const name of names) {
  test.skipIf(missing)(`what goes wrong with ${name} is found`, async () => {
    const { code, stdout } = await cross("0,1", "200", "limit=1", `only=${name}`, `break=${name}`);
    expect(stdout).toMatch(new RegExp(`^FAIL ${name} ${wrong[name]!.source}\ncross: FAILED\n$`));
    expect(code).toBe(1);
  });
}

test.skipIf(missing)("arguments that say nothing are refused", async () => {
  for (const args of [[], ["0", "10"], ["0,1", "0"], ["0,1", "10", "only=none"], ["0,x", "10"]]) {
    const { code, stderr } = await cross(...args);
    expect(stderr).toStartWith("usage: cross ");
    expect(code).toBe(2);
  }
});
