/** @module What a reviewer should not have to look for: width, size, purity, dead files. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const root = join(import.meta.dir, "..");
const columnsMax = 100;
const linesMax = 300;
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

test("pure Zig rooms make no system call and know no clock", () => {
  const impure =
    /std\.(os|posix|Thread|fs|process|crypto\.random)\b|@import\("\.\.\/(sys|engine|vm)\//;
  const pure = code.filter((path) =>
    /^native\/zig\/(dsm|transport|wire|apic|devices|sim|explore)\//.test(path),
  );
  expect(pure.length).toBeGreaterThan(10);
  expect(pure.filter((path) => impure.test(read(path)))).toEqual([]);
});

test("pure TypeScript rooms import no I/O", () => {
  const impure = /from "(node:|bun|\.\.\/(net|native|cli)\/)|\bDate\.now\b|\bsetTimeout\b|\bBun\./;
  const pure = code.filter(
    (path) => /^src\/(protocol|sim)\//.test(path) && !path.endsWith("test.ts"),
  );
  expect(pure.length).toBeGreaterThan(5);
  expect(pure.filter((path) => impure.test(read(path)))).toEqual([]);
});

/** Relative imports of one file, TypeScript or Zig. */
function imports(path: string): string[] {
  const text = read(path);
  const found = [
    ...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+\.(?:ts|mjs))"/g),
    ...text.matchAll(/@import\("([^"]+\.zig)"\)/g),
  ];
  return found.map((match) => normalize(join(dirname(path), match[1]!)));
}

function reachable(starts: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const queue = [...starts];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path) || !existsSync(join(root, path))) continue;
    seen.add(path);
    queue.push(...imports(path));
  }
  return seen;
}

test("no file is dead", () => {
  const starts = code.filter(
    (path) =>
      /\.(test\.ts|mjs|d\.ts)$/.test(path) ||
      /^(build\.ts|src\/main\.ts|scripts\/.*\.ts|native\/zig\/(build|lib|tests)\.zig)$/.test(
        path,
      ) ||
      /^native\/zig\/[a-z_]+_(main|gen)\.zig$|^native\/zig\/guest\/main\.zig$/.test(path),
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
