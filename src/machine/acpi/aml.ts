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

/** A UUID as a buffer: the first three groups little-endian (19.6.142). */
export function uuid(text: string): Uint8Array {
  const hex = text.replaceAll("-", "");
  const byteAt = (index: number) => Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16);
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return buffer(Uint8Array.from(order, byteAt));
}

/** A control method that runs once at a time, because it makes names of its own (20.2.5.2). */
export function method(name: string, args: number, content: readonly Uint8Array[]): Uint8Array {
  const serialized = 8;
  const flags = Uint8Array.of(args | serialized);
  return packaged([0x14], joined([nameSegment(name), flags, ...content]));
}

export function argument(index: number): Uint8Array {
  return Uint8Array.of(0x68 + index);
}

export function reference(name: string): Uint8Array {
  return nameSegment(name);
}

/** Gives four bytes of a buffer, from offset `index` on, a name. */
export function dwordField(source: Uint8Array, index: Uint8Array, name: string): Uint8Array {
  return joined([Uint8Array.of(0x8a), source, index, nameSegment(name)]);
}

export function ifThen(condition: Uint8Array, content: readonly Uint8Array[]): Uint8Array {
  return packaged([0xa0], joined([condition, ...content]));
}

export function equal(left: Uint8Array, right: Uint8Array): Uint8Array {
  return joined([Uint8Array.of(0x93), left, right]);
}

export function or(left: Uint8Array, right: Uint8Array, target: string): Uint8Array {
  return joined([Uint8Array.of(0x7d), left, right, nameSegment(target)]);
}

export function returned(value: Uint8Array): Uint8Array {
  return joined([Uint8Array.of(0xa4), value]);
}
