/**
 * @module Rate of this machine's time stamp counter. QEMU's emulation hands it through, but each
 * emulated kernel would measure it anew and differ in the fourth digit; told the rate, all hosts of
 * one scenario agree, as hosts with one invariant TSC do.
 */

import { cc } from "bun:ffi";
import { join } from "node:path";

type Sample = { readonly ns: bigint; readonly ticks: bigint };

/** @returns kHz, from two samples 200 ms apart. */
export async function tscKhz(): Promise<number> {
  const { symbols } = cc({
    source: join(import.meta.dir, "tsc.c"),
    symbols: { tsc: { args: [], returns: "u64" } },
  });
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
