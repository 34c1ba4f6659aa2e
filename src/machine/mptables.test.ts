/** @module The MP tables read back by the rules of their specification. */

import { expect, test } from "bun:test";
import { viewOf } from "./bytes.ts";
import { boot, ioApicGpa, localApicGpa } from "./map.ts";
import { mpTables } from "./mptables.ts";

const nodes = [
  { cpus: 2, ramPages: 0x8000 },
  { cpus: 1, ramPages: 0x8000 },
];
const entryBytes = [20, 8, 8, 8, 8];

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0) & 0xff;
}

/** The configuration table, found as a kernel does: by the pointer on a 16-byte border. */
function configuration(block: Uint8Array): Uint8Array {
  expect(boot.mpTables % 16).toBe(0);
  expect(new TextDecoder().decode(block.subarray(0, 4))).toBe("_MP_");
  const pointer = block.subarray(0, 16 * block[8]!);
  expect(sum(pointer)).toBe(0);
  const at = viewOf(block).getUint32(4, true) - boot.mpTables;
  const table = block.subarray(at);
  expect(new TextDecoder().decode(table.subarray(0, 4))).toBe("PCMP");
  return table.subarray(0, viewOf(table).getUint16(4, true));
}

function entriesOf(table: Uint8Array): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 44; at < table.length;) {
    const length = entryBytes[table[at]!]!;
    found.push(table.subarray(at, at + length));
    at += length;
  }
  return found;
}

const table = configuration(mpTables(nodes));
const entries = entriesOf(table);
const ofType = (type: number) => entries.filter((entry) => entry[0] === type);

test("the table sums to zero, counts its entries and has them in order", () => {
  expect(sum(table)).toBe(0);
  expect(table[6]).toBe(4);
  expect(viewOf(table).getUint16(34, true)).toBe(entries.length);
  expect(viewOf(table).getUint32(36, true)).toBe(localApicGpa);
  expect(entries.reduce((total, entry) => total + entry.length, 44)).toBe(table.length);
  const types = entries.map((entry) => entry[0]!);
  expect(types).toEqual(types.toSorted((a, b) => a - b));
});

test("every vCPU of every node is there, the first is the boot processor", () => {
  expect(ofType(0).map((entry) => [entry[1], entry[3]])).toEqual([
    [0, 3],
    [1, 1],
    [2, 1],
  ]);
});

test("buses, the I/O APIC, and where their interrupts arrive", () => {
  const names = ofType(1).map((entry) => new TextDecoder().decode(entry.subarray(2)));
  expect(names).toEqual(["PCI   ", "ISA   "]);
  const ioApics = ofType(2);
  expect(ioApics.length).toBe(1);
  expect(viewOf(ioApics[0]!).getUint32(4, true)).toBe(ioApicGpa);
  const wires = ofType(3).map((entry) => [entry[4]!, entry[5]!, entry[7]!, entry[2]!]);
  const [pci, isa] = [0, 1];
  // Device 1 and 9 share a pin; the timer's is 2, ACPI's interrupt is active high.
  expect(wires).toContainEqual([pci, 1 << 2, 17, 0]);
  expect(wires).toContainEqual([pci, 9 << 2, 17, 0]);
  expect(wires).toContainEqual([isa, 0, 2, 0]);
  expect(wires).toContainEqual([isa, 4, 4, 0]);
  expect(wires).toContainEqual([isa, 9, 9, 0x0d]);
  expect(wires.filter(([from]) => from === isa).length).toBe(15);
  expect([...ofType(4)[0]!.subarray(1)]).toEqual([1, 0, 0, 1, 0, 0xff, 1]);
});

test("the most vCPUs there may be fit below 1 MiB", () => {
  const many = mpTables([{ cpus: 255, ramPages: 0x8000 }]);
  expect(entriesOf(configuration(many)).filter((entry) => entry[0] === 0).length).toBe(255);
  expect(boot.mpTables + many.length).toBeLessThanOrEqual(boot.extendedStart);
});
