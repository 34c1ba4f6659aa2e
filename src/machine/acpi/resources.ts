/** @module Resource descriptors (ACPI 6.5, 6.4): the ranges and interrupts a device has. */

import { Fields } from "../bytes.ts";
import { buffer } from "./aml.ts";

/** Minimum and maximum address are fixed; the device passes the range on to those below it. */
const fixedProducer = 0x0c;
const readWrite = 1;

/** A resource template: the descriptors and their end tag (6.4.2.9). */
export function template(descriptors: readonly Uint8Array[]): Uint8Array {
  const fields = descriptors.reduce((all, each) => all.raw(each), new Fields());
  return buffer(fields.u8(0x79, 0).bytes());
}

/** I/O ports, all 16 address bits decoded (6.4.2.5). */
export function ports(first: number, length: number): Uint8Array {
  return new Fields().u8(0x47, 1).u16(first, first).u8(0, length).bytes();
}

/** An edge-triggered ISA interrupt (6.4.2.1). */
export function isaInterrupt(irq: number): Uint8Array {
  return new Fields()
    .u8(0x22)
    .u16(1 << irq)
    .bytes();
}

/** Memory the device itself uses (6.4.3.4). */
export function memory(first: number, length: number): Uint8Array {
  return new Fields().u8(0x86).u16(9).u8(readWrite).u32(first, length).bytes();
}

/** Memory that a bridge hands to the devices below it (6.4.3.5.2). */
export function memoryWindow(first: number, length: number): Uint8Array {
  const memoryRange = 0;
  return new Fields()
    .u8(0x87)
    .u16(0x17)
    .u8(memoryRange, fixedProducer, readWrite)
    .u32(0, first, first + length - 1, 0, length)
    .bytes();
}

/** Bus numbers below a bridge (6.4.3.5.3). */
export function busNumbers(first: number, last: number): Uint8Array {
  const busRange = 2;
  return new Fields()
    .u8(0x88)
    .u16(0x0d)
    .u8(busRange, fixedProducer, 0)
    .u16(0, first, last, 0, last - first + 1)
    .bytes();
}
