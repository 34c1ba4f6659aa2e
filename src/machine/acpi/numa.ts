/**
 * @module SRAT and SLIT (ACPI 6.5, 5.2.16 and 5.2.17): one proximity domain per node, so that the
 * guest's own NUMA code keeps work and memory on the same machine.
 */

import { Fields } from "../bytes.ts";
import { gpaRanges, type NodeShare, pageBytes } from "../map.ts";
import { table } from "./table.ts";

const enabled = 1;
const xapicIds = 255;
const localDistance = 10;
/**
 * Above 30 (node_reclaim_distance) Linux keeps fork, exec and wake-ups on the node: right where
 * each remote page is a network trip. It still takes memory of other nodes before it reclaims a
 * node's page cache (vm.zone_reclaim_mode is 0): a page there is nearer than a disk.
 */
const remoteDistance = 40;

function processor(fields: Fields, domain: number, id: number): void {
  if (id < xapicIds) fields.u8(0, 16, domain, id).u32(enabled).u8(0, 0, 0, 0).u32(0);
  else fields.u8(2, 24).u16(0).u32(domain, id, enabled, 0, 0);
}

export function srat(nodes: readonly NodeShare[]): Uint8Array {
  const fields = new Fields().u32(1).u64(0n);
  let id = 0;
  let offset = 0;
  for (const [domain, node] of nodes.entries()) {
    for (let i = 0; i < node.cpus; i += 1) processor(fields, domain, id + i);
    id += node.cpus;
    const length = node.ramPages * pageBytes;
    for (const range of gpaRanges(offset, length)) {
      fields.u8(1, 40).u32(domain).u16(0).u64(BigInt(range.first), BigInt(range.length));
      fields.u32(0, enabled).u64(0n);
    }
    offset += length;
  }
  return table("SRAT", 3, fields.bytes());
}

export function slit(nodes: number): Uint8Array {
  const fields = new Fields().u64(BigInt(nodes));
  for (let from = 0; from < nodes; from += 1) {
    for (let to = 0; to < nodes; to += 1) fields.u8(from === to ? localDistance : remoteDistance);
  }
  return table("SLIT", 1, fields.bytes());
}
