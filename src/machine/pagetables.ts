/**
 * @module Page tables that map the first 4 GiB onto themselves in 2 MiB pages: what long mode needs
 * before the guest has its own. Accessed and dirty are set beforehand, so that no walk has to write
 * them (under nested paging each such write would make a page of the boot processor's node dirty).
 */

import { pageBytes } from "./map.ts";

const present = 0x001n;
const writable = 0x002n;
const accessed = 0x020n;
const dirty = 0x040n;
const large = 0x080n;
const table = present | writable | accessed;
const leaf = table | dirty | large;
const entries = 512;
const gigabytes = 4;

/** PML4, PDPT and one page directory per GiB, one page each from `gpa` on, in that order. */
export function identityTables(gpa: number): Uint8Array {
  const tables = new BigUint64Array(entries * (2 + gigabytes));
  const at = (page: number) => BigInt(gpa + page * pageBytes);
  tables[0] = at(1) | table;
  for (let gigabyte = 0; gigabyte < gigabytes; gigabyte += 1) {
    tables[entries + gigabyte] = at(2 + gigabyte) | table;
    for (let i = 0; i < entries; i += 1) {
      const page = BigInt(gigabyte * entries + i) << 21n;
      tables[entries * (2 + gigabyte) + i] = page | leaf;
    }
  }
  return new Uint8Array(tables.buffer);
}

/** Null, unused, code at 0x10, data at 0x18. */
function gdtWith(codeU64: bigint): Uint8Array {
  const data = 0x00cf_9300_0000_ffffn;
  return new Uint8Array(BigUint64Array.from([0n, 0n, codeU64, data]).buffer);
}

/** With 64-bit code: the selectors the Linux boot protocol names. */
export function bootGdt(): Uint8Array {
  return gdtWith(0x00af_9b00_0000_ffffn);
}

/** With 32-bit code: for kernels that load a segment before a table of their own. */
export function bootGdt32(): Uint8Array {
  return gdtWith(0x00cf_9b00_0000_ffffn);
}
