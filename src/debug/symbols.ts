/**
 * @module Symbol tables of a guest's kernel: System.map and /proc/kallsyms (nm's format: address,
 * type, name), or the symbols of an ELF file (System V ABI, chapter 4). Pure.
 */

export type Symbol = { readonly address: bigint; readonly name: string; readonly text: boolean };
export type Place = { readonly name: string; readonly offset: number };

export class SymbolError extends Error {
  override readonly name = "SymbolError";
}

/** A name says nothing about what is further behind its start than this. */
const reachBytes = 1n << 20n;
/** Per-CPU variables are counted from here on x86-64 (arch/x86/kernel/vmlinux.lds.S). */
const perCpuMax = 16n << 20n;

export class Symbols {
  readonly #sorted: readonly Symbol[];
  readonly #addresses: BigUint64Array;
  readonly #byName: ReadonlyMap<string, bigint>;

  constructor(symbols: readonly Symbol[]) {
    this.#sorted = symbols.toSorted((a, b) =>
      a.address < b.address ? -1 : Number(a.address > b.address),
    );
    this.#addresses = BigUint64Array.from(this.#sorted, ({ address }) => address);
    this.#byName = new Map(symbols.map(({ name, address }) => [name, address]));
  }

  get count(): number {
    return this.#sorted.length;
  }

  addressOf(name: string): bigint | undefined {
    return this.#byName.get(name);
  }

  /** Index of the first symbol above the address. */
  #above(address: bigint): number {
    let [low, high] = [0, this.#addresses.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#addresses[middle] ?? 0n) <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The symbol an address belongs to. */
  at(address: bigint): Place | undefined {
    const symbol = this.#sorted[this.#above(address) - 1];
    if (symbol === undefined || address - symbol.address >= reachBytes) return undefined;
    return { name: symbol.name, offset: Number(address - symbol.address) };
  }

  /** Whether code may be there: behind a symbol of code. */
  isText(address: bigint): boolean {
    const index = this.#above(address) - 1;
    const symbol = this.#sorted[index];
    if (symbol === undefined || address - symbol.address >= reachBytes) return false;
    // Labels of data may stand at the address at which code ends.
    const start = this.#addresses[index];
    for (let each = index; this.#addresses[each] === start; each -= 1) {
      if (this.#sorted[each]?.text === true) return true;
    }
    return false;
  }

  /** Names of what begins in [first, end), and of what reaches into it. */
  within(first: bigint, end: bigint): readonly string[] {
    const from = this.#above(first - 1n);
    const names = this.#sorted.slice(from, this.#above(end - 1n)).map(({ name }) => name);
    const before = this.#addresses[from] === first ? undefined : this.at(first);
    return before === undefined ? names : [before.name, ...names];
  }

  /** The same symbols where a randomised kernel has them; per-CPU ones do not move. */
  moved(by: bigint): Symbols {
    if (by === 0n) return this;
    return new Symbols(
      this.#sorted.map((symbol) =>
        symbol.address < perCpuMax ? symbol : { ...symbol, address: symbol.address + by },
      ),
    );
  }
}

const line = /^([0-9a-f]{8,16}) ([A-Za-z?]) (\S+)/;

function ofText(text: string): readonly Symbol[] {
  const symbols: Symbol[] = [];
  for (const each of text.split("\n")) {
    const [, address, type = "", name] = line.exec(each) ?? [];
    if (address === undefined || name === undefined) continue;
    symbols.push({ address: BigInt(`0x${address}`), name, text: /[tTwW]/.test(type) });
  }
  return symbols;
}

const elfMagic = 0x464c_457f;
const symbolTable = 2;
const executable = 4n;

/** Section headers at e_shoff: type, flags, offset, size and link of each. */
function sectionsOf(view: DataView) {
  const at = Number(view.getBigUint64(40, true));
  const size = view.getUint16(58, true);
  return Array.from({ length: view.getUint16(60, true) }, (_, index) => {
    const head = at + index * size;
    return {
      type: view.getUint32(head + 4, true),
      flagsU64: view.getBigUint64(head + 8, true),
      offset: Number(view.getBigUint64(head + 24, true)),
      size: Number(view.getBigUint64(head + 32, true)),
      link: view.getUint32(head + 40, true),
    };
  });
}

function ofElf(bytes: Uint8Array, view: DataView): readonly Symbol[] {
  const sections = sectionsOf(view);
  const table = sections.find(({ type }) => type === symbolTable);
  const strings = sections[table?.link ?? 0];
  if (table === undefined || strings === undefined) {
    throw new SymbolError("this ELF file has no symbol table: name one that is not stripped");
  }
  const decoder = new TextDecoder();
  const nameAt = (offset: number) => {
    const start = strings.offset + offset;
    return decoder.decode(bytes.subarray(start, bytes.indexOf(0, start)));
  };
  const symbols: Symbol[] = [];
  const entryBytes = 24;
  for (let at = table.offset; at < table.offset + table.size; at += entryBytes) {
    const kind = view.getUint8(at + 4) & 15;
    const section = sections[view.getUint16(at + 6, true)];
    const name = nameAt(view.getUint32(at, true));
    // Sections and file names are none.
    if (kind > 2 || name === "") continue;
    const address = view.getBigUint64(at + 8, true);
    symbols.push({ address, name, text: ((section?.flagsU64 ?? 0n) & executable) !== 0n });
  }
  return symbols;
}

/** Throws SymbolError with a sentence for a file that holds no symbols. */
export function readSymbols(bytes: Uint8Array): Symbols {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const elf = bytes.length >= 64 && view.getUint32(0, true) === elfMagic;
  let symbols: readonly Symbol[];
  try {
    symbols = elf ? ofElf(bytes, view) : ofText(new TextDecoder().decode(bytes));
  } catch (error) {
    if (error instanceof SymbolError) throw error;
    throw new SymbolError("this ELF file is damaged: its symbol table cannot be read");
  }
  if (symbols.length === 0) {
    throw new SymbolError("no symbols: give a System.map, a copy of /proc/kallsyms or a vmlinux");
  }
  if (symbols.every(({ address }) => address === 0n)) {
    throw new SymbolError(
      "all addresses are 0: copy /proc/kallsyms as root (kernel.kptr_restrict)",
    );
  }
  return new Symbols(symbols);
}
