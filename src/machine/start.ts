/** @module The start in 32-bit protected mode without paging that PVH and multiboot 1 share. */

import type { BootState } from "../node/dataplane.ts";
import { boot } from "./map.ts";

/** The stack is the kernel's to set; until then it has one below its own first megabyte. */
export function startFlat(start: {
  readonly entry: number;
  readonly eax: number;
  readonly ebx: number;
}): BootState {
  return {
    mode: "protected",
    ripU64: BigInt(start.entry),
    raxU64: BigInt(start.eax),
    rbxU64: BigInt(start.ebx),
    rsiU64: 0n,
    rspU64: BigInt(boot.stackTop),
    cr3U64: 0n,
    gdtU64: BigInt(boot.gdt),
  };
}
