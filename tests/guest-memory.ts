/** @module Guest physical memory made by a test, with page tables put in by hand. */

export class GuestMemory {
  readonly #pages = new Map<bigint, Uint8Array>();
  /** Pages that were read, in order. */
  readonly reads: bigint[] = [];

  word(gpa: bigint, value: bigint): this {
    const page = this.#pages.get(gpa & ~4095n) ?? new Uint8Array(4096);
    this.#pages.set(gpa & ~4095n, page);
    new DataView(page.buffer).setBigUint64(Number(gpa & 4095n), value, true);
    return this;
  }

  /** Tables from `root` on for one page of 4 KiB; tables are made at `next` and behind. */
  map(root: bigint, virtual: bigint, gpa: bigint, next: bigint): this {
    let table = root;
    for (const [index, shift] of [39n, 30n, 21n].entries()) {
      const below = next + 4096n * BigInt(index);
      this.word(table + 8n * ((virtual >> shift) & 511n), below | 3n);
      table = below;
    }
    return this.word(table + 8n * ((virtual >> 12n) & 511n), gpa | 3n);
  }

  readonly read = async (gpa: bigint, length: number): Promise<Uint8Array> => {
    this.reads.push(gpa & ~4095n);
    const page = this.#pages.get(gpa & ~4095n);
    if (page === undefined) throw new Error(`no page at ${gpa.toString(16)}`);
    return page.slice(Number(gpa & 4095n), Number(gpa & 4095n) + length);
  };
}

export const longMode = { cr0: 0x8000_0001n, cr3: 0x1000n, cr4: 0x20n, efer: 0x500n };
