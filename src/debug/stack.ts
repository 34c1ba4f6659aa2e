/**
 * @module Where a vCPU is and how it came there. Frame pointers are followed where the kernel keeps
 * them; Debian's does not (ORC), so every word of the stack that may be a return address is shown
 * too, as a guess, like the kernel's own oops does. Pure but for the reader it is given.
 */

import type { Symbols } from "./symbols.ts";

/** Bytes of guest virtual memory; fewer where the mapping ends. */
export type Read = (address: bigint, length: number) => Promise<Uint8Array>;

export type Frame = {
  readonly address: bigint;
  /** A word of the stack that looks like one. */
  readonly guess: boolean;
};

export type Registers = { readonly rip: bigint; readonly rsp: bigint; readonly rbp: bigint };

/** THREAD_SIZE of x86-64: a kernel stack lies in 16 KiB, aligned (arch/x86/include/asm). */
const stackBytes = 0x4000n;
const wordBytes = 8n;
const linksMax = 256;

function wordsOf(bytes: Uint8Array): readonly bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length >> 3 }, (_, index) =>
    view.getBigUint64(index * 8, true),
  );
}

/** Stack slots that hold the return addresses of a chain of frame pointers. */
function linkedSlots(
  first: bigint,
  words: readonly bigint[],
  rbp: bigint,
  symbols: Symbols,
): ReadonlySet<bigint> {
  const wordAt = (address: bigint) => words[Number((address - first) / wordBytes)];
  const slots = new Set<bigint>();
  let frame = rbp;
  while (slots.size < linksMax && frame >= first && frame % wordBytes === 0n) {
    const [next, back] = [wordAt(frame), wordAt(frame + wordBytes)];
    if (next === undefined || back === undefined || !symbols.isText(back)) break;
    slots.add(frame + wordBytes);
    if (next <= frame) break;
    frame = next;
  }
  return slots;
}

/** Innermost first; ends with the stack's 16 KiB, or where it is not mapped. */
export async function backtrace(
  registers: Registers,
  read: Read,
  symbols: Symbols,
): Promise<readonly Frame[]> {
  const { rip, rsp, rbp } = registers;
  const first = (rsp + wordBytes - 1n) & ~(wordBytes - 1n);
  const end = (rsp | (stackBytes - 1n)) + 1n;
  const words = wordsOf(await read(first, Number(end - first)));
  const linked = linkedSlots(first, words, rbp, symbols);
  const frames = words.flatMap((address, index): Frame[] => {
    if (!symbols.isText(address)) return [];
    return [{ address, guess: !linked.has(first + BigInt(index) * wordBytes) }];
  });
  return [{ address: rip, guess: false }, ...frames];
}
