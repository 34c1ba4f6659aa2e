/**
 * @module ELF kernels with a PVH entry (Xen, docs/misc/pvh.pandoc and
 * xen/include/public/arch-x86/hvm/start_info.h): a note names a 32-bit entry, EBX points to what
 * the kernel is told. Linux, FreeBSD, Xen itself and most unikernels have one.
 */

import { Fields, viewOf } from "./bytes.ts";
import { e820, e820Type } from "./e820.ts";
import type { ElfImage, ElfNote } from "./elf.ts";
import { MachineError } from "./errors.ts";
import { firmware } from "./firmware.ts";
import type { GuestImages, GuestInput } from "./images.ts";
import { boot, ramBytes } from "./map.ts";
import { bootGdt32 } from "./pagetables.ts";
import { at, BootBlock, checkPlace, placeBehind, placeElf } from "./place.ts";
import { startFlat } from "./start.ts";

const noteOwner = "Xen";
const physicalEntryNote = 18;
const guestOsNote = 6;
const magic = 0x336ec578;
/** Since version 1 the memory map is told. */
const version = 1;

function entryNote(notes: readonly ElfNote[]): ElfNote | undefined {
  return notes.find(({ name, type }) => name === noteOwner && type === physicalEntryNote);
}

export function hasPvhEntry(notes: readonly ElfNote[]): boolean {
  return entryNote(notes) !== undefined;
}

/** Whether its notes call it Linux: for that there is a tuned command line. */
export function isLinux(notes: readonly ElfNote[]): boolean {
  return notes.some(({ name, type, bytes }) => {
    if (name === "Linux") return true;
    const os = name === noteOwner && type === guestOsNote;
    return os && new TextDecoder().decode(bytes).startsWith("linux");
  });
}

function entryOf(elf: ElfImage, notes: readonly ElfNote[], name: string): number {
  const bytes = entryNote(notes)?.bytes ?? new Uint8Array();
  if (bytes.length < 4) throw new MachineError(`the PVH note of ${name} holds no address`);
  const view = viewOf(bytes);
  const entryU64 = bytes.length < 8 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
  const inside = elf.segments.some(
    ({ gpaU64, bytes: loaded }) => entryU64 >= gpaU64 && entryU64 < gpaU64 + BigInt(loaded.length),
  );
  if (!inside) throw new MachineError(`the PVH entry of ${name} lies in nothing it loads`);
  return Number(entryU64);
}

type Module = { readonly gpa: number; readonly length: number; readonly text: string };

/** hvm_start_info with all it points to; returns its address. */
function startInfo(
  block: BootBlock,
  input: GuestInput,
  modules: readonly Module[],
  rsdpGpa: number,
): number {
  const list = new Fields();
  for (const { gpa, length, text } of modules) {
    const textGpa = text === "" ? 0 : block.text(text);
    list.u64(BigInt(gpa), BigInt(length), BigInt(textGpa), 0n);
  }
  const map = new Fields();
  const ranges = e820(input.nodes);
  for (const { first, length, type } of ranges) {
    map.u64(BigInt(first), BigInt(length)).u32(e820Type[type], 0);
  }
  const modulesGpa = modules.length === 0 ? 0 : block.add(list.bytes());
  const commandLineGpa = block.text(input.commandLine);
  const mapGpa = block.add(map.bytes());
  const info = new Fields().u32(magic, version, 0, modules.length);
  info.u64(BigInt(modulesGpa), BigInt(commandLineGpa), BigInt(rsdpGpa), BigInt(mapGpa));
  return block.add(info.u32(ranges.length, 0).bytes());
}

/** @throws MachineError, one sentence, for a kernel or a size that cannot work. */
export function pvhImages(
  input: GuestInput,
  elf: ElfImage,
  notes: readonly ElfNote[],
): GuestImages {
  const { name } = input.kernel;
  const ram = ramBytes(input.nodes);
  const kernel = placeElf(elf, name);
  checkPlace(kernel, name, ram);
  const entry = entryOf(elf, notes, name);
  const lengths = input.modules.map(({ bytes }) => bytes.length);
  const places = placeBehind(kernel, lengths, ram, Infinity);
  const block = new BootBlock();
  const modules = input.modules.map(({ bytes, text }, i) => ({
    gpa: places[i] ?? 0,
    length: bytes.length,
    text,
  }));
  const tables = firmware(input.nodes, input.deviceNode);
  const info = startInfo(block, input, modules, tables.rsdpGpa);
  const segments = [
    at(boot.gdt, bootGdt32()),
    block.segment(),
    ...tables.segments,
    ...kernel.segments,
    ...input.modules.map(({ bytes }, i) => at(places[i] ?? 0, bytes)),
  ];
  return {
    segments,
    boot: startFlat({ entry, eax: 0, ebx: info }),
    commandLine: input.commandLine,
  };
}
