/**
 * @module boot_params, the "zero page" a boot loader hands to Linux
 * (Documentation/arch/x86/zero-page.rst); rsi points to it at the 64-bit entry.
 */

import { viewOf } from "./bytes.ts";
import { e820Type, type MemoryRange } from "./e820.ts";

export type ZeroPage = {
  /** From the bzImage; empty for a bare ELF kernel. */
  readonly setupHeader: Uint8Array;
  readonly memory: readonly MemoryRange[];
  readonly commandLineGpa: number;
  readonly initrdGpa: number;
  readonly initrdBytes: number;
  readonly rsdpGpa: number;
};

const e820Max = 128;
const loaderUnregistered = 0xff;
const loadedHigh = 0x01;

export function zeroPage(input: ZeroPage): Uint8Array {
  const page = new Uint8Array(4096);
  const view = viewOf(page);
  page.set(input.setupHeader, 0x1f1);
  view.setBigUint64(0x070, BigInt(input.rsdpGpa), true);
  view.setUint8(0x1e8, Math.min(input.memory.length, e820Max));
  view.setUint16(0x1fa, 0xffff, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint8(0x210, loaderUnregistered);
  view.setUint8(0x211, view.getUint8(0x211) | loadedHigh);
  view.setUint32(0x218, input.initrdGpa, true);
  view.setUint32(0x21c, input.initrdBytes, true);
  view.setUint32(0x228, input.commandLineGpa, true);
  for (const [index, range] of input.memory.slice(0, e820Max).entries()) {
    const at = 0x2d0 + index * 20;
    view.setBigUint64(at, BigInt(range.first), true);
    view.setBigUint64(at + 8, BigInt(range.length), true);
    view.setUint32(at + 16, e820Type[range.type], true);
  }
  return page;
}
