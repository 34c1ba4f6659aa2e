/**
 * @module Guest virtual addresses to guest physical ones by the guest's own tables (Intel SDM vol.
 * 3A 4.5; 4-level and 5-level). Pure but for the reader it is given.
 */

/** Bytes of guest physical memory; rejects with a sentence when they do not come. */
export type ReadPhysical = (gpaU64: bigint, length: number) => Promise<Uint8Array>;

/** Stores bytes in guest physical memory; rejects with a sentence when a page does not come. */
export type WritePhysical = (gpaU64: bigint, bytes: Uint8Array) => Promise<void>;

/** The control registers that say how addresses are translated. */
export type Paging = {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
};

export type Translation =
  | { readonly gpa: bigint; readonly pageBytes: bigint }
  /** Why there is none. */
  | { readonly missing: string };

const paged = 1n << 31n;
const longMode = 1n << 10n;
const fiveLevels = 1n << 12n;
const present = 1n;
const large = 1n << 7n;
const addressMask = 0x000f_ffff_ffff_f000n;
const tableBytes = 4096;
const entryBytes = 8;
/** Fewer than a node lets wait (native/zig/limits.zig, questions_max). */
const tablesAtOnce = 8;

/** Addresses are translated by tables of 64 bits. */
export function isPaged(paging: Paging): boolean {
  return (paging.cr0 & paged) !== 0n && (paging.efer & longMode) !== 0n;
}

function levelsOf(paging: Paging): number {
  return (paging.cr4 & fiveLevels) === 0n ? 4 : 5;
}

/** Bytes that one entry of a table of this level maps; level 1 is the lowest. */
function spanOf(level: number): bigint {
  return 1n << BigInt(12 + 9 * (level - 1));
}

function entryAt(table: Uint8Array, index: number): bigint {
  return new DataView(table.buffer, table.byteOffset).getBigUint64(index * entryBytes, true);
}

/** The guest physical address behind a virtual one. */
export async function translate(
  paging: Paging,
  read: ReadPhysical,
  address: bigint,
): Promise<Translation> {
  if ((paging.cr0 & paged) === 0n) return { gpa: address, pageBytes: 4096n };
  if ((paging.efer & longMode) === 0n) {
    return { missing: "32-bit paging is not walked; only physical addresses can be read" };
  }
  let table = paging.cr3 & addressMask;
  for (let level = levelsOf(paging); ; level -= 1) {
    const span = spanOf(level);
    const index = Number((address / span) & 511n);
    const entry = entryAt(await read(table, tableBytes), index);
    if ((entry & present) === 0n) return { missing: `not mapped (level ${level})` };
    const leaf = level === 1 || (level <= 3 && (entry & large) !== 0n);
    if (leaf) {
      const base = entry & addressMask & ~(span - 1n);
      return { gpa: base + (address & (span - 1n)), pageBytes: span };
    }
    table = entry & addressMask;
  }
}

/** The guest physical pieces of a virtual range, each within a page, as far as it is mapped. */
async function piecesOf(
  paging: Paging,
  read: ReadPhysical,
  address: bigint,
  length: number,
): Promise<readonly { readonly gpa: bigint; readonly length: number }[]> {
  const pieces: { gpa: bigint; length: number }[] = [];
  for (let done = 0; done < length;) {
    const at = address + BigInt(done);
    const found = await translate(paging, read, at);
    if ("missing" in found) break;
    const part = Math.min(4096 - Number(at & 4095n), length - done);
    pieces.push({ gpa: found.gpa, length: part });
    done += part;
  }
  return pieces;
}

/** Bytes at a virtual address; fewer than asked for, maybe none, where the mapping ends. */
export async function readVirtual(
  paging: Paging,
  read: ReadPhysical,
  address: bigint,
  length: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const piece of await piecesOf(paging, read, address, length)) {
    parts.push(await read(piece.gpa, piece.length));
  }
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * Stores bytes at a virtual address, whatever the tables say of writing: a debugger sets
 * breakpoints in code. False, and nothing is stored, when a part of it is not mapped.
 */
export async function writeVirtual(
  paging: Paging,
  memory: { readonly read: ReadPhysical; readonly write: WritePhysical },
  address: bigint,
  bytes: Uint8Array,
): Promise<boolean> {
  const pieces = await piecesOf(paging, memory.read, address, bytes.length);
  if (pieces.reduce((sum, piece) => sum + piece.length, 0) < bytes.length) return false;
  let done = 0;
  for (const { gpa, length } of pieces) {
    await memory.write(gpa, bytes.subarray(done, done + length));
    done += length;
  }
  return true;
}

/** The tables that one of a level above 1 names. */
async function tablesBelow(
  read: ReadPhysical,
  gpa: bigint,
  level: number,
): Promise<readonly (readonly [bigint, number])[]> {
  let table: Uint8Array;
  try {
    table = await read(gpa, tableBytes);
  } catch {
    // A table that does not come, or an entry that points nowhere: what is below stays unknown.
    return [];
  }
  return Array.from({ length: tableBytes / entryBytes }, (_, index) => entryAt(table, index))
    .filter((entry) => (entry & present) !== 0n && (level > 3 || (entry & large) === 0n))
    .map((entry) => [entry & addressMask, level - 1] as const);
}

/**
 * Every table page below a CR3 with its level, the lowest being 1, at most `most` of them. Tables
 * of level 1 are not read: the entries above name them.
 */
export async function tablePages(
  paging: Paging,
  read: ReadPhysical,
  most: number,
): Promise<ReadonlyMap<bigint, number>> {
  const found = new Map<bigint, number>();
  if (!isPaged(paging)) return found;
  const queue: (readonly [bigint, number])[] = [[paging.cr3 & addressMask, levelsOf(paging)]];
  while (queue.length > 0) {
    const batch = queue.splice(0, tablesAtOnce).filter(([gpa, level]) => {
      if (found.has(gpa) || found.size >= most) return false;
      found.set(gpa, level);
      return level > 1;
    });
    const below = await Promise.all(batch.map(([gpa, level]) => tablesBelow(read, gpa, level)));
    queue.push(...below.flat());
  }
  return found;
}
