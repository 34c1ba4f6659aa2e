/**
 * @module MP tables for kernels that know no ACPI (Intel MultiProcessor Specification 1.4, chapter
 * 4): a pointer that is searched for, and the table it points to. They say what MADT and DSDT say.
 * Entries are in ascending order of their types, as the specification wants it.
 */

import { Fields, viewOf } from "./bytes.ts";
import {
  boot,
  ioApicGpa,
  localApicGpa,
  type NodeShare,
  pciDevices,
  pciFirstGsi,
  pciGsis,
  pitGsi,
  sciIrq,
} from "./map.ts";

const revision = 4;
const pointerBytes = 16;
const headerBytes = 44;
const localApicVersion = 0x14;
const ioApicVersion = 0x20;
const ioApicId = 0;
const enabled = 1;
const bootProcessor = 2;
/** A sixth-generation processor with FPU and APIC: what is needed to tell that it has one. */
const signature = 0x600;
const features = (1 << 0) | (1 << 9);
const bus = { pci: 0, isa: 1 } as const;
const interrupt = { ordinary: 0, nmi: 1 } as const;
const asTheBusHasIt = 0;
const activeHighLevel = 0x0d;
const isaCascade = 2;
const isaInterrupts = 16;

type Entry = (fields: Fields) => void;

function processors(nodes: readonly NodeShare[]): readonly Entry[] {
  const count = nodes.reduce((sum, node) => sum + node.cpus, 0);
  return Array.from({ length: count }, (_, id) => (fields: Fields) => {
    fields.u8(0, id, localApicVersion, enabled | (id === 0 ? bootProcessor : 0));
    fields.u32(signature, features).u64(0n);
  });
}

function busEntry(id: number, name: string): Entry {
  return (fields) => fields.u8(1, id).text(name.padEnd(6));
}

function ioInterrupt(from: number, irq: number, pin: number, flags: number): Entry {
  return (fields) => fields.u8(3, interrupt.ordinary).u16(flags).u8(from, irq, ioApicId, pin);
}

function isaWires(): readonly Entry[] {
  const wires = [];
  for (let irq = 0; irq < isaInterrupts; irq += 1) {
    if (irq === isaCascade) continue;
    const flags = irq === sciIrq ? activeHighLevel : asTheBusHasIt;
    wires.push(ioInterrupt(bus.isa, irq, irq === 0 ? pitGsi : irq, flags));
  }
  return wires;
}

/** INTA# of each device; the "interrupt" of PCI is device number and pin (appendix D.3). */
function pciWires(): readonly Entry[] {
  const wires = [];
  for (let number = 1; number < pciDevices; number += 1) {
    const pin = pciFirstGsi + (number % pciGsis);
    wires.push(ioInterrupt(bus.pci, number << 2, pin, asTheBusHasIt));
  }
  return wires;
}

function entries(nodes: readonly NodeShare[]): readonly Entry[] {
  const allProcessors = 0xff;
  return [
    ...processors(nodes),
    busEntry(bus.pci, "PCI"),
    busEntry(bus.isa, "ISA"),
    (fields) => fields.u8(2, ioApicId, ioApicVersion, enabled).u32(ioApicGpa),
    ...pciWires(),
    ...isaWires(),
    // NMI at LINT1; the 8259s interrupt nobody, so nothing is said of LINT0.
    (fields) => fields.u8(4, interrupt.nmi).u16(asTheBusHasIt).u8(bus.isa, 0, allProcessors, 1),
  ];
}

function withChecksum(bytes: Uint8Array, at: number): Uint8Array {
  bytes[at] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

function configuration(nodes: readonly NodeShare[]): Uint8Array {
  const all = entries(nodes);
  const fields = new Fields().text("PCMP").u16(0).u8(revision, 0);
  fields.text("GIANTVM ").text("GIANTVM".padEnd(12)).u32(0).u16(0, all.length);
  fields.u32(localApicGpa).u16(0).u8(0, 0);
  if (fields.length !== headerBytes) throw new RangeError("the MP table's header has 44 bytes");
  for (const entry of all) entry(fields);
  const bytes = fields.bytes();
  viewOf(bytes).setUint16(4, bytes.length, true);
  return withChecksum(bytes, 7);
}

/** Pointer and table in one block, which belongs at `boot.mpTables`. */
export function mpTables(nodes: readonly NodeShare[]): Uint8Array {
  const pointer = new Fields().text("_MP_").u32(boot.mpTables + pointerBytes);
  pointer.u8(1, revision, 0, 0, 0, 0, 0, 0);
  const fields = new Fields().raw(withChecksum(pointer.bytes(), 10));
  return fields.raw(configuration(nodes)).bytes();
}
