/** @module The loadable parts of a 64-bit little-endian ELF file (System V gABI, chapter 5). */

import { viewOf } from "./bytes.ts";
import { MachineError } from "./errors.ts";

export type ElfImage = {
  readonly entryU64: bigint;
  readonly segments: readonly {
    /** Physical address, p_paddr. */
    readonly gpaU64: bigint;
    readonly bytes: Uint8Array;
    /** Size in memory; what the file does not give is zero. */
    readonly memoryBytes: number;
  }[];
};

const loadable = 1;
const machineX8664 = 62;

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && viewOf(bytes).getUint32(0) === 0x7f454c46;
}

/** @throws MachineError when it is not an x86-64 executable or ends too early. */
export function readElf(bytes: Uint8Array, name: string): ElfImage {
  const view = viewOf(bytes);
  if (!isElf(bytes) || bytes.length < 64 || view.getUint8(4) !== 2 || view.getUint8(5) !== 1) {
    throw new MachineError(`${name} is not a 64-bit little-endian ELF file`);
  }
  if (view.getUint16(18, true) !== machineX8664) {
    throw new MachineError(`${name} is an ELF file for another processor than x86-64`);
  }
  const offset = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  if (size < 56 || offset + size * count > bytes.length) {
    throw new MachineError(`${name} ends before its program headers`);
  }
  const segments = [];
  for (let i = 0; i < count; i += 1) {
    const at = offset + i * size;
    if (view.getUint32(at, true) !== loadable) continue;
    const first = Number(view.getBigUint64(at + 8, true));
    const length = Number(view.getBigUint64(at + 32, true));
    const memoryBytes = Number(view.getBigUint64(at + 40, true));
    if (first + length > bytes.length) throw new MachineError(`${name} ends within a segment`);
    if (memoryBytes < length) throw new MachineError(`${name} has a segment beyond its memory`);
    segments.push({
      gpaU64: view.getBigUint64(at + 24, true),
      bytes: bytes.subarray(first, first + length),
      memoryBytes,
    });
  }
  if (segments.length === 0) throw new MachineError(`${name} holds nothing to load`);
  return { entryU64: view.getBigUint64(24, true), segments };
}
