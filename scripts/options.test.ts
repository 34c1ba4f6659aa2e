/** @module A script refuses, before it starts anything, what it does not understand. */

import { expect, test } from "bun:test";
import { join } from "node:path";

const refused: readonly (readonly [script: string, words: string, sentence: string])[] = [
  ["faults", "--minute 1", "--minute: no such option; use --minutes N, --seed S"],
  ["faults", "--seed 1 --seed 2", "--seed is given twice; give it once"],
  ["faults", "--minutes 0", '--minutes "0": give a whole number from 1 to 1000000'],
  ["faults", "10", '"10": use --minutes N, --seed S'],
  ["fuzz", "--target nothing", "--target nothing: use --minutes N, --target NAME, "],
  ["fuzz", "--runs 3", "--seed, --runs and --hex take a --target: use --minutes N, "],
  ["fuzz", "--target dsm --hex 00 --seed 1", "--target dsm --hex --seed: use --minutes N, "],
  ["fuzz", "--target dsm --seed 1", "--target dsm --seed: use --minutes N, "],
  ["fuzz", "--target member --seed 1 --runs 9", "--target member --seed --runs: use --minutes "],
  ["fuzz", "--target member --seed 1 --minutes 9", "--target member --minutes --seed: use "],
  ["fuzz", "--Minutes 3", "--Minutes: no such option; write --minutes"],
  ["litmus", "--shapes SB,AB", '--shapes "AB": give SB or MP or '],
  ["litmus", "--iterations", "--iterations: give a value (N)"],
];

test.each(refused)("%s %s", async (script, words, sentence) => {
  const command = [process.execPath, join(import.meta.dir, `${script}.ts`), ...words.split(" ")];
  const run = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const texts = [run.stdout, run.stderr].map((stream) => new Response(stream).text());
  const [said, complained] = await Promise.all(texts);
  expect(complained).toStartWith(`${script}: ${sentence}`);
  expect({ code: await run.exited, said }).toEqual({ code: 2, said: "" });
});
