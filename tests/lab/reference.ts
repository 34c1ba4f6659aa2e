/**
 * @module A reference machine for what src/machine makes: QEMU's own PC with a firmware of a few
 * instructions that enters long mode as the data plane does and jumps to the image's entry. What
 * boots here and not on giantvm is the data plane's fault; what does not boot here is ours.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fields } from "../../src/machine/bytes.ts";
import type { GuestImages } from "../../src/machine/images.ts";

const romBytes = 0x20000;
/** The ROM is seen from here to 1 MiB; ACPI and MP tables lie in it, the code behind them. */
const romGpa = 0xe0000;
const codeOffset = 0x1f000;

/**
 * Firmware at 0xFF000 (F000:F000), entered by the jump at the reset vector:
 *   cli; lgdt cs:[gdtr]; cr0.PE = 1; ljmp 8:flat
 *   flat: cr4.PAE = 1; cr3; EFER.LME = 1; cr0.PG = 1; lgdt [guest's]; ljmp 0x10:long
 *   long: ds = es = ss = 0x18; rsp; rsi; jmp rip
 */
function firmware(start: GuestImages["boot"]): Uint8Array {
  const base = romGpa + codeOffset;
  const at = { flat: base + 0x20, long: base + 0x60, gdtr: base + 0xa0, gdt: base + 0xc0 };
  const code = new Uint8Array(0x100);
  const put = (address: number, fields: Fields) => code.set(fields.bytes(), address - base);
  const real = new Fields().u8(0xfa, 0x2e, 0x0f, 0x01, 0x16).u16(at.gdtr & 0xffff);
  real.u8(0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0);
  put(base, real.u8(0x66, 0xea).u32(at.flat).u16(8));
  const flat = new Fields().u8(0xb8).u32(0x18).u8(0x8e, 0xd8);
  flat.u8(0xb8).u32(0x20).u8(0x0f, 0x22, 0xe0);
  flat.u8(0xb8).u32(Number(start.cr3U64)).u8(0x0f, 0x22, 0xd8);
  flat.u8(0xb9).u32(0xc000_0080).u8(0xb8).u32(0x100).u8(0x31, 0xd2, 0x0f, 0x30);
  flat.u8(0xb8).u32(0x8000_0011).u8(0x0f, 0x22, 0xc0);
  flat.u8(0x0f, 0x01, 0x15).u32(at.gdtr + 8);
  put(at.flat, flat.u8(0xea).u32(at.long).u16(0x10));
  const long = new Fields().u8(0xb8).u32(0x18).u8(0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0);
  long.u8(0xbc).u32(Number(start.rspU64)).u8(0xbe).u32(Number(start.rsiU64));
  put(at.long, long.u8(0xb8).u32(Number(start.ripU64)).u8(0xff, 0xe0));
  const own = new Fields().u16(31).u32(at.gdt).u16(0);
  put(at.gdtr, own.u16(31).u32(Number(start.gdtU64)));
  const flatCode = 0x00cf_9b00_0000_ffffn;
  put(at.gdt, new Fields().u64(0n, flatCode, 0n, 0x00cf_9300_0000_ffffn));
  return code;
}

/** Writes ROM and segments to `folder`; returns the QEMU arguments that start them. */
export function referenceArguments(images: GuestImages, folder: string): readonly string[] {
  const rom = new Uint8Array(romBytes);
  const loaded: string[] = [];
  for (const [index, { gpaU64, bytes }] of images.segments.entries()) {
    const inRom = Number(gpaU64) - romGpa;
    if (inRom >= 0 && inRom < romBytes) {
      rom.set(bytes, inRom);
      continue;
    }
    const file = join(folder, `segment${index}`);
    writeFileSync(file, bytes);
    loaded.push("-device", `loader,file=${file},addr=0x${gpaU64.toString(16)},force-raw=on`);
  }
  rom.set(firmware(images.boot), codeOffset);
  // Reset vector F000:FFF0: jmp F000:F000.
  rom.set([0xea, 0x00, 0xf0, 0x00, 0xf0], romBytes - 16);
  writeFileSync(join(folder, "rom"), rom);
  return ["-bios", join(folder, "rom"), ...loaded];
}
