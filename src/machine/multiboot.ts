/**
 * @module Multiboot 1 kernels (Multiboot Specification 0.6.96): a header in the first 8 KiB,
 * entered in 32-bit protected mode with EBX at what the kernel is told. Where to load is said by
 * the ELF file, or by the header itself ("a.out kludge"), which then counts whatever the file is.
 */

import { Fields, viewOf } from "./bytes.ts";
import { e820, e820Type } from "./e820.ts";
import { isElf, physicalEntryU64, readElf } from "./elf.ts";
import { MachineError } from "./errors.ts";
import { firmware } from "./firmware.ts";
import type { GuestImages, GuestInput } from "./images.ts";
import { boot, lowRamEnd, ramBytes } from "./map.ts";
import { bootGdt32 } from "./pagetables.ts";
import { at, BootBlock, checkPlace, type Placed, placeBehind, placeElf } from "./place.ts";
import { startFlat } from "./start.ts";

const headerMagic = 0x1badb002;
const loadedMagic = 0x2badb002;
/** Of the file, in which the header must lie; it is aligned to four bytes. */
const searchBytes = 8192;
const loaderName = "GiantVM";

/** Bits of the header's flags. Of bits 0 to 15 a loader must know each, or refuse. */
const wants = { pageAligned: 1 << 0, memory: 1 << 1, video: 1 << 2, addresses: 1 << 16 } as const;
const known = wants.pageAligned | wants.memory | wants.video;
/** Bits of the information's flags: which of its fields count. */
const has = {
  memory: 1 << 0,
  commandLine: 1 << 2,
  modules: 1 << 3,
  memoryMap: 1 << 6,
  loaderName: 1 << 9,
  framebuffer: 1 << 12,
} as const;
/** The text screen of e820.ts: 80 by 25 characters of two bytes. */
const text = { gpa: 0xb8000, columns: 80, rows: 25, kind: 2 } as const;

export type MultibootHeader = {
  /** In the file. */
  readonly offset: number;
  readonly flags: number;
};

/** Undefined when there is none. */
export function multibootHeader(bytes: Uint8Array): MultibootHeader | undefined {
  const view = viewOf(bytes);
  const end = Math.min(bytes.length, searchBytes);
  for (let offset = 0; offset + 12 <= end; offset += 4) {
    if (view.getUint32(offset, true) !== headerMagic) continue;
    const flags = view.getUint32(offset + 4, true);
    const sum = headerMagic + flags + view.getUint32(offset + 8, true);
    if (sum % 2 ** 32 === 0) return { offset, flags };
  }
  return undefined;
}

type Entered = { readonly placed: Placed; readonly entry: number };

/** Section 3.1.3: one piece of the file at an address, zeros behind it. */
function byAddresses(bytes: Uint8Array, header: MultibootHeader, name: string): Entered {
  const refuse = (why: string): never => {
    throw new MachineError(`the multiboot header of ${name} ${why}`);
  };
  if (header.offset + 32 > bytes.length) return refuse("ends with the file, before its addresses");
  const view = viewOf(bytes);
  const field = (index: number) => view.getUint32(header.offset + 12 + 4 * index, true);
  const [self, load, loadEnd, zeroEnd, entry] = [field(0), field(1), field(2), field(3), field(4)];
  const start = header.offset - (self - load);
  if (self < load || start < 0) return refuse("lies before what it says is loaded");
  const length = loadEnd === 0 ? bytes.length - start : loadEnd - load;
  if (length <= 0) return refuse("loads nothing: its end lies before its start");
  if (start + length > bytes.length) return refuse("loads more than the file holds");
  const end = zeroEnd === 0 ? load + length : zeroEnd;
  if (end < load + length) return refuse("clears memory that it loads");
  if (entry < load || entry >= load + length) return refuse("enters what it does not load");
  const segments = [at(load, bytes.subarray(start, start + length))];
  return { placed: { segments, first: load, end }, entry };
}

function byElf(bytes: Uint8Array, name: string): Entered {
  if (!isElf(bytes)) {
    throw new MachineError(
      `${name} has a multiboot header without addresses and is no ELF file: nothing says where ` +
        "to load it",
    );
  }
  const elf = readElf(bytes, name);
  const entryU64 = physicalEntryU64(elf);
  const inside = elf.segments.some(
    ({ gpaU64, bytes: loaded }) => entryU64 >= gpaU64 && entryU64 < gpaU64 + BigInt(loaded.length),
  );
  if (!inside) throw new MachineError(`${name} is entered where nothing of it is loaded`);
  return { placed: placeElf(elf, name), entry: Number(entryU64) };
}

function memoryMap(input: GuestInput): Fields {
  const map = new Fields();
  for (const { first, length, type } of e820(input.nodes)) {
    // The size of an entry does not count itself.
    map.u32(20).u64(BigInt(first), BigInt(length)).u32(e820Type[type]);
  }
  return map;
}

/** Section 3.3, with all it points to; returns its address. */
function information(
  block: BootBlock,
  input: GuestInput,
  header: MultibootHeader,
  places: readonly number[],
): number {
  const list = new Fields();
  for (const [i, { bytes, name, text: words }] of input.modules.entries()) {
    const gpa = places[i] ?? 0;
    list.u32(gpa, gpa + bytes.length, block.text(spoken(name, words)), 0);
  }
  const commandLine = block.text(spoken(input.kernel.name, input.commandLine));
  const modules = block.add(list.bytes());
  const map = memoryMap(input);
  const mapGpa = block.add(map.bytes());
  const loader = block.text(loaderName);
  const video = (header.flags & wants.video) !== 0;
  const told = has.memory | has.commandLine | has.modules | has.memoryMap | has.loaderName;
  const lowKib = boot.conventionalEnd >> 10;
  const highKib = (Math.min(ramBytes(input.nodes), lowRamEnd) - boot.extendedStart) >> 10;
  const info = new Fields().u32(video ? told | has.framebuffer : told, lowKib, highKib);
  info.u32(0, commandLine, input.modules.length, modules).zero(16).u32(map.length, mapGpa);
  // Drives, configuration table, name, APM, VBE.
  info.u32(0, 0, 0, loader, 0, 0, 0, 0, 0);
  if (video) {
    info.u64(BigInt(text.gpa)).u32(2 * text.columns, text.columns, text.rows);
    info.u8(16, text.kind).zero(6);
  }
  return block.add(info.bytes());
}

/** As boot loaders do, the first word is the file. */
function spoken(name: string, words: string): string {
  return words === "" ? name : `${name} ${words}`;
}

/** @throws MachineError, one sentence, for a kernel or a size that cannot work. */
export function multibootImages(input: GuestInput, header: MultibootHeader): GuestImages {
  const { name, bytes } = input.kernel;
  const unknown = header.flags & 0xffff & ~known;
  if (unknown !== 0) {
    throw new MachineError(
      `${name} needs what multiboot 1 does not know (flags 0x${unknown.toString(16)})`,
    );
  }
  const ram = ramBytes(input.nodes);
  const byHeader = (header.flags & wants.addresses) !== 0;
  const { placed, entry } = byHeader ? byAddresses(bytes, header, name) : byElf(bytes, name);
  checkPlace(placed, name, ram);
  const lengths = input.modules.map((module) => module.bytes.length);
  const places = placeBehind(placed, lengths, ram, Infinity);
  const block = new BootBlock();
  const info = information(block, input, header, places);
  const segments = [
    at(boot.gdt, bootGdt32()),
    block.segment(),
    ...firmware(input.nodes, input.deviceNode).segments,
    ...placed.segments,
    ...input.modules.map((module, i) => at(places[i] ?? 0, module.bytes)),
  ];
  const start = startFlat({ entry, eax: loadedMagic, ebx: info });
  return { segments, boot: start, commandLine: spoken(name, input.commandLine) };
}
