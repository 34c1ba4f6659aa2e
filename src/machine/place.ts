/**
 * @module Where a kernel and what goes with it lie in guest memory: the kernel where it wants to
 * be, modules behind it, and what the boot protocol tells it in one block below 1 MiB.
 */

import { alignUp } from "./bytes.ts";
import type { ElfImage } from "./elf.ts";
import { MachineError } from "./errors.ts";
import { boot, lowRamEnd, pageBytes } from "./map.ts";

export type Segment = { readonly gpaU64: bigint; readonly bytes: Uint8Array };

/** Bytes to load, and what of memory the kernel uses before it knows the memory map. */
export type Placed = {
  readonly segments: readonly Segment[];
  readonly first: number;
  /** First free byte behind. */
  readonly end: number;
};

const megabyte = 1 << 20;

export function at(gpa: number, bytes: Uint8Array): Segment {
  return { gpaU64: BigInt(gpa), bytes };
}

/** The segments of an ELF kernel. @throws MachineError where two overlap. */
export function placeElf(elf: ElfImage, name: string): Placed {
  const sorted = elf.segments.toSorted((a, b) => (a.gpaU64 < b.gpaU64 ? -1 : 1));
  let end = 0;
  for (const { gpaU64, memoryBytes } of sorted) {
    if (Number(gpaU64) < end) throw new MachineError(`${name} loads two segments to one address`);
    end = Number(gpaU64) + memoryBytes;
  }
  const segments = elf.segments.filter((segment) => segment.bytes.length > 0);
  return { segments, first: Number(sorted[0]?.gpaU64), end };
}

/** @throws MachineError for a kernel in the way of the boot data or outside of low memory. */
export function checkPlace(kernel: Placed, name: string, ram: number): void {
  if (kernel.first < megabyte) {
    throw new MachineError(`${name} loads below 1 MiB, where the boot tables lie`);
  }
  placeBehind(kernel, [], ram, lowRamEnd);
}

/**
 * Addresses of modules of these lengths: the first on a megabyte behind the kernel, each on a page.
 * @param limit their end at most; RAM below 3 GiB ends them in any case.
 */
export function placeBehind(
  kernel: Placed,
  lengths: readonly number[],
  ram: number,
  limit: number,
): readonly number[] {
  let next = lengths.length === 0 ? kernel.end : alignUp(kernel.end, megabyte);
  const placed = lengths.map((length) => {
    const gpa = next;
    next = alignUp(gpa + length, pageBytes);
    return gpa;
  });
  const last = placed.at(-1);
  const end = last === undefined ? next : last + (lengths.at(-1) ?? 0);
  const lowest = Math.min(ram, lowRamEnd, limit);
  if (end > lowest) {
    const mib = (value: number) => Math.ceil(value / megabyte);
    throw new MachineError(
      `kernel and initrd need ${mib(end)} MiB of low memory and the guest has ` +
        `${mib(lowest)} MiB: raise --local-memory or shrink the initrd`,
    );
  }
  return placed;
}

/** Structures that point to each other: each is told where it lies as it is added. */
export class BootBlock {
  readonly #bytes: Uint8Array[] = [];
  #next: number = boot.startInfo;

  /** @returns its address, a multiple of eight. */
  add(bytes: Uint8Array): number {
    const gpa = this.#next;
    const padded = new Uint8Array(alignUp(bytes.length, 8));
    padded.set(bytes);
    this.#bytes.push(padded);
    this.#next += padded.length;
    if (this.#next > boot.conventionalEnd) {
      const most = (boot.conventionalEnd - boot.startInfo) >> 10;
      throw new MachineError(
        `command line and list of modules take more than ${most} KiB: shorten them`,
      );
    }
    return gpa;
  }

  /** A zero-terminated string. */
  text(text: string): number {
    return this.add(new TextEncoder().encode(`${text}\0`));
  }

  segment(): Segment {
    return at(boot.startInfo, new Uint8Array(Buffer.concat(this.#bytes)));
  }
}
