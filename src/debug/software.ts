/**
 * @module Software breakpoints: an int3 in place of the first byte of an instruction. It stands in
 * guest physical memory, so all nodes and all address spaces that map the page have it. Whoever
 * reads through here sees the bytes as they were; what is written goes under the int3. Pure but for
 * the memory it is given.
 */

import { int3sMax } from "../control/question.ts";
import type { ReadPhysical, WritePhysical } from "./paging.ts";

export type PhysicalMemory = { readonly read: ReadPhysical; readonly write: WritePhysical };

const int3 = 0xcc;

export class SoftwareBreakpoints {
  readonly #memory: PhysicalMemory;
  /** Guest physical addresses by the virtual ones that gdb named. */
  readonly #points = new Map<bigint, bigint>();
  /** What was there, by guest physical address. */
  readonly #bytes = new Map<bigint, number>();

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Guest physical addresses of all int3s. */
  get places(): readonly bigint[] {
    return [...this.#bytes.keys()];
  }

  /** Whether one was set at this virtual address. */
  has(address: bigint): boolean {
    return this.#points.has(address);
  }

  get hasRoom(): boolean {
    return this.#bytes.size < int3sMax;
  }

  /** Setting it again changes nothing. */
  async set(address: bigint, gpa: bigint): Promise<void> {
    if (this.#points.get(address) === gpa) return;
    await this.clear(address);
    if (!this.#bytes.has(gpa)) {
      const [byte = 0] = await this.#memory.read(gpa, 1);
      await this.#memory.write(gpa, Uint8Array.of(int3));
      this.#bytes.set(gpa, byte);
    }
    this.#points.set(address, gpa);
  }

  /** Where none is, nothing happens. */
  async clear(address: bigint): Promise<void> {
    const gpa = this.#points.get(address);
    if (gpa === undefined) return;
    const users = [...this.#points.values()].filter((other) => other === gpa).length;
    if (users === 1) await this.#restore(gpa);
    this.#points.delete(address);
  }

  async clearAll(): Promise<void> {
    for (const address of this.#points.keys()) await this.clear(address);
  }

  readonly read: ReadPhysical = async (gpaU64, length) => {
    const out = Uint8Array.from(await this.#memory.read(gpaU64, length));
    for (const [at, byte] of this.#within(gpaU64, length)) {
      // Anything else is what the guest has put there since.
      if (out[at] === int3) out[at] = byte;
    }
    return out;
  };

  readonly write: WritePhysical = async (gpaU64, bytes) => {
    const out = Uint8Array.from(bytes);
    const covered = this.#within(gpaU64, bytes.length);
    for (const [at] of covered) out[at] = int3;
    await this.#memory.write(gpaU64, out);
    for (const [at] of covered) this.#bytes.set(gpaU64 + BigInt(at), bytes[at] ?? 0);
  };

  async #restore(gpa: bigint): Promise<void> {
    const [now] = await this.#memory.read(gpa, 1);
    const before = this.#bytes.get(gpa) ?? 0;
    // The guest has other code there by now: that stays.
    if (now === int3) await this.#memory.write(gpa, Uint8Array.of(before));
    this.#bytes.delete(gpa);
  }

  /** Offsets within a range, and what was there. */
  #within(gpa: bigint, length: number): readonly (readonly [number, number])[] {
    return [...this.#bytes].flatMap(([at, byte]) =>
      at >= gpa && at < gpa + BigInt(length) ? [[Number(at - gpa), byte] as const] : [],
    );
  }
}
