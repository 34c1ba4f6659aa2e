/** @module What a reviewer should not have to look for: width, size, purity, dead files. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const root = join(import.meta.dir, "..");
const columnsMax = 100;
const linesMax = 300;
const functionLinesMax = 60;
/** Words in the head comment by which a longer file says why it is one. */
const reason = /long because/i;
const generated = new Set(["src/native/abi.ts", "native/c/giantvm.h"]);

function tracked(pattern: RegExp): string[] {
  const listed = Bun.spawnSync(["git", "ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
  });
  expect(listed.exitCode).toBe(0);
  return listed.stdout
    .toString()
    .split("\n")
    .filter((path) => pattern.test(path) && existsSync(join(root, path)));
}

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

const code = tracked(/\.(ts|mjs|zig|c|h)$/).filter((path) => !generated.has(path));

test("no line is wider than 100 columns", () => {
  const wide = code.flatMap((path) =>
    read(path)
      .split("\n")
      .flatMap((line, index) => ([...line].length > columnsMax ? [`${path}:${index + 1}`] : [])),
  );
  expect(wide).toEqual([]);
});

test("a file over 300 lines says in its head why it is one", () => {
  const crowded = code.filter((path) => {
    const lines = read(path).split("\n");
    return lines.length > linesMax && !reason.test(lines.slice(0, 20).join("\n"));
  });
  expect(crowded).toEqual([]);
});

test("every file says what it is for", () => {
  const silent = code.filter((path) => !/^(#!.*\n)?(\/\/|\/\*)/.test(read(path)));
  expect(silent.filter((path) => !path.endsWith(".d.ts"))).toEqual([]);
});

/** A line that opens the body of a function; formatted code closes it at the same indentation. */
function opensFunction(path: string, line: string): boolean {
  if (path.endsWith(".zig"))
    return /^\s*(test .*|(pub |export |inline )*fn .*|\).*) \{$/.test(line);
  if (/^\s*(describe|\} else|if|for|while|switch|do|try|\} catch)\b/.test(line)) return false;
  return /\bfunction\b.*\{$|=> \{$|^\s*\).*\{$|^\s*[\w#\s]+\(.*\)(: .+)? \{$/.test(line);
}

/** "path:line lines" of each function that is too long. */
function longFunctions(path: string): string[] {
  const lines = read(path).split("\n");
  return lines.flatMap((line, start) => {
    // A generic type is a function only by its syntax.
    if (!opensFunction(path, line) || line.endsWith(") type {")) return [];
    const indent = /^\s*/.exec(line)![0];
    const length = lines.slice(start + 1).findIndex((each) => each.startsWith(`${indent}}`)) + 2;
    return length > functionLinesMax ? [`${path}:${start + 1} ${length}`] : [];
  });
}

test("no function has more than 60 lines", () => {
  const functions = code.filter((path) => /\.(ts|mjs|zig)$/.test(path));
  expect(functions.flatMap(longFunctions)).toEqual([]);
});

test("the measure of functions finds what it should", () => {
  const opening = [
    "async function a(b: string): Promise<void> {",
    "  const c = (d: number) => {",
    "  ): string {",
    "  #e(f: number): void {",
    'test("g", async () => {',
  ];
  expect(opening.filter((line) => !opensFunction("x.ts", line))).toEqual([]);
  const zig = ["pub fn a() void {", "    fn b(c: u8) !void {", ") callconv(.c) i32 {"];
  expect(zig.filter((line) => !opensFunction("x.zig", line))).toEqual([]);
  const others = ["  if (a) {", "  } else {", "  for (const a of b) {", "type A = {"];
  expect(others.filter((line) => opensFunction("x.ts", line))).toEqual([]);
});

/** What a pure room must not know: the system, the time, chance. */
const impure = {
  zig:
    /std\.(os|posix|Thread|fs|process|crypto\.random|c|Io(?!\.Writer)|net)\b/.source +
    /|@import\("\.\.\/(sys|engine|vm)\//.source,
  ts:
    /from "(node:|bun|\.\.\/(net|native|cli)\/)|\b(Date|performance|process|crypto|Bun)\.\w|/
      .source +
    /\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bMath\.random\b|\bfetch\(|\bnew Date\b/
      .source,
};

test("pure Zig rooms make no system call and know no clock", () => {
  const pure = code.filter((path) =>
    /^native\/zig\/(dsm|transport|wire|apic|devices|sim|explore|faults)\//.test(path),
  );
  expect(pure.length).toBeGreaterThan(10);
  const pattern = new RegExp(impure.zig);
  for (const bad of ["std.c.getpid()", "std.Io.Clock", "std.posix.read"]) {
    expect(bad).toMatch(pattern);
  }
  expect(pure.filter((path) => pattern.test(read(path)))).toEqual([]);
});

/** A file's own tests, at its end, may ask the real kernel; so may what only tests import. */
function withoutTests(path: string): string {
  return read(path).split(/^(?:test |const testing = )/m)[0]!;
}

test("system calls go through the one door that tests can script", () => {
  const around = /\bos\.(?!errno\b|sigemptyset\b|sigaction\b)[a-z]\w*\(|std\.Thread\.spawn\(/;
  const impure = code.filter(
    (path) =>
      /^native\/zig\/(sys|engine|vm)\//.test(path) &&
      !/_test\.zig$|\/(kernel|scripted\w*|\w*rig|bare)\.zig$/.test(path) &&
      around.test(withoutTests(path)),
  );
  expect(impure).toEqual([]);
});

test("pure TypeScript rooms import no I/O", () => {
  const pattern = new RegExp(impure.ts);
  for (const bad of [
    "Math.random()",
    "setInterval(f, 1)",
    "performance.now()",
    "process.hrtime()",
  ]) {
    expect(bad).toMatch(pattern);
  }
  const pure = code.filter(
    (path) => /^src\/(protocol|sim)\//.test(path) && !path.endsWith("test.ts"),
  );
  expect(pure.length).toBeGreaterThan(5);
  expect(pure.filter((path) => pattern.test(read(path)))).toEqual([]);
});

/** Files that one names, in an import or to start them: beside it or from the root. */
function named(path: string): string[] {
  const names = read(path).matchAll(/"(?:-M\w+=)?([\w./-]+\.(?:ts|mjs|zig))"/g);
  const found = [...names].map((match) => match[1]!);
  return found.flatMap((name) => [normalize(join(dirname(path), name)), normalize(name)]);
}

function reachable(starts: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const queue = [...starts];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path) || !existsSync(join(root, path))) continue;
    seen.add(path);
    queue.push(...named(path));
  }
  return seen;
}

test("no file is dead", () => {
  const starts = code.filter(
    (path) =>
      /\.(test\.ts|d\.ts)$/.test(path) ||
      /^(scripts\/go\.mjs|native\/zig\/(build|tests)\.zig)$/.test(path) ||
      /^native\/zig\/[a-z_]+_(main|gen|tests)\.zig$/.test(path),
  );
  const alive = reachable(starts);
  const dead = code.filter((path) => /\.(ts|zig)$/.test(path) && !alive.has(path));
  expect(dead).toEqual([]);
});

test("nothing is left for later in the code", () => {
  const words = /\b(TOD[O]|FIXM[E]|XX[X])\b/;
  expect(code.filter((path) => words.test(read(path)))).toEqual([]);
});

test("the ABI files are the generated ones", () => {
  expect(read("src/native/abi.ts")).toStartWith("/** @module Generated");
  expect(read("native/c/giantvm.h")).toStartWith("/* Generated");
});
