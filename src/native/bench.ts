/** @module The native half of `giantvm bench dsm`: one process is one node. */

import { ptr } from "bun:ffi";
import { check } from "./errors.ts";
import { library } from "./library.ts";

const resultBytesMax = 16 * 1024;
const again = -11;
const pollMs = 5;

export type BenchPorts = { readonly data: number; readonly command: number };

export class NativeBench {
  readonly ports: BenchPorts;
  readonly #handle: bigint;

  constructor(node: 0 | 1) {
    const out = new BigUint64Array(3);
    check("gvm_bench_open", library().gvm_bench_open(node, ptr(out)));
    this.#handle = out[0] ?? 0n;
    this.ports = { data: Number(out[1] ?? 0n), command: Number(out[2] ?? 0n) };
  }

  start(peer: BenchPorts, rounds: number): void {
    check(
      "gvm_bench_start",
      library().gvm_bench_start(this.#handle, peer.data, peer.command, rounds),
    );
  }

  /** JSON of all samples; empty for node 1. */
  async result(): Promise<string> {
    const out = new Uint8Array(resultBytesMax);
    for (;;) {
      const length = library().gvm_bench_result(this.#handle, ptr(out), BigInt(out.length));
      if (length !== again) {
        check("gvm_bench_result", length);
        return new TextDecoder().decode(out.subarray(0, length));
      }
      await Bun.sleep(pollMs);
    }
  }
}
