/**
 * @module Packages: which vCPUs seem to share a socket. APIC ids are dense over all nodes, and a
 * socket is a block of 2^n ids, so a socket may only be as large as never to span two nodes: an
 * operating system takes caches and memory of one socket for near.
 */

import type { CpuidEntry } from "../node/dataplane.ts";
import type { NodeShare } from "./map.ts";

/** Low bits of the APIC id that count within a package. */
export function packageShift(nodes: readonly NodeShare[]): number {
  const total = nodes.reduce((sum, node) => sum + node.cpus, 0);
  const whole = Math.ceil(Math.log2(Math.max(1, total)));
  const borders: number[] = [];
  let id = 0;
  for (const node of nodes.slice(0, -1)) {
    id += node.cpus;
    borders.push(id);
  }
  let shift = whole;
  while (shift > 0 && borders.some((border) => border % (1 << shift) !== 0)) shift -= 1;
  return shift;
}

/** Leaf 0xB: one thread a core, 2^shift cores a package; EDX is each vCPU's own. */
export function topologyLeaves(shift: number): readonly CpuidEntry[] {
  const significantIndex = 1;
  const level = (index: number, eax: number, ebx: number, type: number): CpuidEntry => ({
    leaf: 0xb,
    index,
    flags: significantIndex,
    eax,
    ebx,
    ecx: (type << 8) | index,
    edx: 0,
  });
  return [level(0, 0, 1, 1), level(1, shift, 1 << shift, 2), level(2, 0, 0, 0)];
}
