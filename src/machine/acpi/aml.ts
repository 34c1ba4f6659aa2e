/** @module The few words of ACPI machine language the DSDT needs (ACPI 6.5, chapter 20). */

import { Fields } from "../bytes.ts";

/** Package length: the length counts its own bytes (20.2.4). */
function packageLength(content: number): Uint8Array {
  if (content + 1 < 0x40) return Uint8Array.of(content + 1);
  const total = content + 2;
  if (total >= 0x1000) throw new RangeError("an AML package of 4 KiB or more");
  return Uint8Array.of(0x40 | (total & 0x0f), total >> 4);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.reduce((fields, part) => fields.raw(part), new Fields()).bytes();
}

function packaged(op: readonly number[], content: Uint8Array): Uint8Array {
  return joined([Uint8Array.from(op), packageLength(content.length), content]);
}

/** One name segment: four characters, padded with underscores. */
function nameSegment(name: string): Uint8Array {
  return new Fields().text(name.padEnd(4, "_")).bytes();
}

export function integer(value: number): Uint8Array {
  if (value <= 1) return Uint8Array.of(value);
  if (value <= 0xff) return Uint8Array.of(0x0a, value);
  return new Fields().u8(0x0c).u32(value).bytes();
}

export function named(name: string, value: Uint8Array): Uint8Array {
  return joined([Uint8Array.of(0x08), nameSegment(name), value]);
}

export function packageOf(items: readonly Uint8Array[]): Uint8Array {
  return packaged([0x12], joined([Uint8Array.of(items.length), ...items]));
}

export function scope(name: string, content: readonly Uint8Array[]): Uint8Array {
  return packaged([0x10], joined([nameSegment(name), ...content]));
}

export function device(name: string, content: readonly Uint8Array[]): Uint8Array {
  return packaged([0x5b, 0x82], joined([nameSegment(name), ...content]));
}

export function buffer(bytes: Uint8Array): Uint8Array {
  return packaged([0x11], joined([integer(bytes.length), bytes]));
}

/** "PNP0501" in the compressed form of 19.3.4: three letters of 5 bits, four hexadecimal digits. */
export function eisaId(id: string): Uint8Array {
  const letter = (index: number) => id.charCodeAt(index) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return Uint8Array.of(0x0c, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff);
}

/** Resource template with one I/O range and one edge-triggered ISA interrupt (6.4.2). */
export function ioAndIrq(port: number, length: number, irq: number): Uint8Array {
  const fields = new Fields().u8(0x47, 0x01).u16(port, port).u8(0, length);
  return fields
    .u8(0x22)
    .u16(1 << irq)
    .u8(0x79, 0)
    .bytes();
}
