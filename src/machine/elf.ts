/**
 * @module What a boot loader wants of a little-endian x86 ELF file (System V gABI, chapter 5;
 * 32-bit for the i386, 64-bit for x86-64): what to load, where to enter, and the notes that say
 * more.
 */

import { viewOf } from "./bytes.ts";
import { MachineError } from "./errors.ts";

export type ElfSegment = {
  /** Physical address, p_paddr. */
  readonly gpaU64: bigint;
  /** Where the program believes it to be, p_vaddr. */
  readonly virtualU64: bigint;
  readonly bytes: Uint8Array;
  /** Size in memory; what the file does not give is zero. */
  readonly memoryBytes: number;
};

export type ElfNote = {
  readonly name: string;
  readonly type: number;
  readonly bytes: Uint8Array;
};

export type ElfImage = {
  readonly bits: 32 | 64;
  readonly entryU64: bigint;
  readonly segments: readonly ElfSegment[];
  /** PT_NOTE segments, unread. */
  readonly notes: readonly Uint8Array[];
};

const loadable = 1;
const note = 4;
const machine386 = 3;
const machineX8664 = 62;

/** Where the two classes keep what both have: offset, and size in bytes of what is a word. */
const layouts = {
  32: {
    header: 52,
    entry: 24,
    table: 28,
    entrySize: 42,
    count: 44,
    row: { least: 32, offset: 4, virtual: 8, physical: 12, file: 16, memory: 20 },
  },
  64: {
    header: 64,
    entry: 24,
    table: 32,
    entrySize: 54,
    count: 56,
    row: { least: 56, offset: 8, virtual: 16, physical: 24, file: 32, memory: 40 },
  },
} as const;

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && viewOf(bytes).getUint32(0) === 0x7f454c46;
}

function bitsOf(bytes: Uint8Array, name: string): 32 | 64 {
  const view = viewOf(bytes);
  const bits = bytes.length > 5 && bytes[4] === 1 ? 32 : 64;
  if (!isElf(bytes) || bytes.length < layouts[bits].header) {
    throw new MachineError(`${name} is not an ELF file, or ends within its head`);
  }
  if ((bytes[4] !== 1 && bytes[4] !== 2) || bytes[5] !== 1) {
    throw new MachineError(`${name} is not a little-endian ELF file`);
  }
  const machine = view.getUint16(18, true);
  if (machine !== (bits === 32 ? machine386 : machineX8664)) {
    throw new MachineError(`${name} is an ELF file for another processor than x86-64 or the i386`);
  }
  return bits;
}

/** @throws MachineError when it is no x86 executable or ends too early. */
export function readElf(bytes: Uint8Array, name: string): ElfImage {
  const bits = bitsOf(bytes, name);
  const layout = layouts[bits];
  const { row } = layout;
  const view = viewOf(bytes);
  const wordU64 = (at: number) =>
    bits === 64 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  const offset = Number(wordU64(layout.table));
  const size = view.getUint16(layout.entrySize, true);
  const count = view.getUint16(layout.count, true);
  if (size < row.least || offset + size * count > bytes.length) {
    throw new MachineError(`${name} ends before its program headers`);
  }
  const segments: ElfSegment[] = [];
  const notes: Uint8Array[] = [];
  for (let i = 0; i < count; i += 1) {
    const at = offset + i * size;
    const type = view.getUint32(at, true);
    if (type !== loadable && type !== note) continue;
    const first = Number(wordU64(at + row.offset));
    const length = Number(wordU64(at + row.file));
    const memoryBytes = Number(wordU64(at + row.memory));
    if (first + length > bytes.length) throw new MachineError(`${name} ends within a segment`);
    const content = bytes.subarray(first, first + length);
    if (type === note) notes.push(content);
    if (type === note || memoryBytes === 0) continue;
    if (memoryBytes < length) throw new MachineError(`${name} has a segment beyond its memory`);
    segments.push({
      gpaU64: wordU64(at + row.physical),
      virtualU64: wordU64(at + row.virtual),
      bytes: content,
      memoryBytes,
    });
  }
  if (segments.length === 0) throw new MachineError(`${name} holds nothing to load`);
  return { bits, entryU64: wordU64(layout.entry), segments, notes };
}

/** @throws MachineError for a note that is longer than the segment it is in. */
export function readNotes(elf: ElfImage, name: string): readonly ElfNote[] {
  const found: ElfNote[] = [];
  for (const bytes of elf.notes) {
    const view = viewOf(bytes);
    // Name and content are padded to four bytes each.
    for (let at = 0; at + 12 <= bytes.length;) {
      const nameBytes = view.getUint32(at, true);
      const contentBytes = view.getUint32(at + 4, true);
      const content = at + 12 + Math.ceil(nameBytes / 4) * 4;
      if (content + contentBytes > bytes.length) {
        throw new MachineError(`${name} has a note that ends behind its segment`);
      }
      const text = bytes.subarray(at + 12, at + 12 + nameBytes);
      found.push({
        name: new TextDecoder().decode(text).replace(/\0+$/, ""),
        type: view.getUint32(at + 8, true),
        bytes: bytes.subarray(content, content + contentBytes),
      });
      at = content + Math.ceil(contentBytes / 4) * 4;
    }
  }
  return found;
}

/**
 * The physical address to enter at: some kernels name it so, others by the address they believe to
 * be at, which their segments translate.
 */
export function physicalEntryU64(elf: ElfImage): bigint {
  const { entryU64 } = elf;
  const within = elf.segments.find(
    ({ virtualU64, memoryBytes }) =>
      entryU64 >= virtualU64 && entryU64 < virtualU64 + BigInt(memoryBytes),
  );
  return within === undefined ? entryU64 : entryU64 - within.virtualU64 + within.gpaU64;
}
