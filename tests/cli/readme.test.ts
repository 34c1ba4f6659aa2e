/** @module What README.md tells a newcomer to type is what the program takes. */

import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exitCode } from "../../src/cli/failure.ts";
import { readRunConfig } from "../../src/config/run.ts";
import { run, temporaryFolder } from "../program.ts";

const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");

test("every exit code of the program is in the table, and no other", () => {
  const rows = [...readme.matchAll(/^\| ([\d, ]+) \|/gm)].map((match) => match[1]!);
  const told = rows.flatMap((row) => row.split(",").map(Number)).toSorted((a, b) => a - b);
  expect(told).toEqual(Object.values(exitCode).toSorted((a, b) => a - b));
});

test("every option it names is one of some command", async () => {
  const commands = ["run", "demo", "doctor", "bench", "debug", "hot"];
  const helps = await Promise.all(commands.map((name) => run([name, "--help"])));
  const known = new Set(helps.flatMap(({ stdout }) => stdout.match(/--[a-z-]+/g) ?? []));
  // Of the scripts, not of the program.
  for (const script of ["--demos", "--linux", "--minutes", "--hosts", "--list"]) known.add(script);
  const named = new Set(readme.match(/(?<=[\s`])--[a-z-]+/g));
  expect(named.size).toBeGreaterThan(15);
  expect([...named].filter((option) => !known.has(option))).toEqual([]);
});

test("its configuration file is read as meant", () => {
  const text = /```\n(# vm\.toml\n[^`]+)```/.exec(readme)![1]!;
  using folder = temporaryFolder();
  const config = join(folder.path, "vm.toml");
  writeFileSync(config, text);
  const read = readRunConfig({ config }, {});
  expect(read).toMatchObject({ cpus: 16, memoryBytes: 10 * 2 ** 30, verbose: true });
  expect(read.peers.map(({ host }) => host)).toEqual(["10.0.0.1", "10.0.0.2"]);
});

test("the demo's output it shows has every check of the guest's source", () => {
  const shown = [...readme.matchAll(/^ {2}ok {4}(\S+)/gm)].map((match) => match[1]!);
  const folder = join(import.meta.dir, "../../native/zig/guest");
  const sources = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".zig"))
    .map((name) => readFileSync(join(folder, name), "utf8"));
  const checks = [...sources.join("\n").matchAll(/\.name = "([\w-]+)",\s+\.unit/g)];
  expect(checks.length).toBeGreaterThan(10);
  expect(shown.toSorted()).toEqual(checks.map((match) => match[1]!).toSorted());
});
