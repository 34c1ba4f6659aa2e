/** @module Zig programs that tests start, built as the product is and kept beside it. */

import { join } from "node:path";
import { root, zig, zigEnv } from "../scripts/zig.ts";

const prefix = join(root, "dist/build/tests");

/** Builds native/zig/NAME_main.zig, where it is not there already; returns the program's path. */
export function buildProgram(name: "relay" | "engine_node"): string {
  const built = Bun.spawnSync([zig, "build", name, "--release=safe", "--prefix", prefix], {
    cwd: join(root, "native/zig"),
    env: zigEnv,
    stderr: "pipe",
  });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  return join(prefix, "bin", name);
}
