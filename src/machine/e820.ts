/**
 * @module The memory map as firmware tells it to an operating system (ACPI 6.5, 15.1; "e820").
 *
 * 0xA0000 to 0xDFFFF is told to nobody, yet is RAM: a kernel that writes VGA text to 0xB8000 reads
 * its characters back, without a device and without an exit.
 */

import { boot, ecamBytes, ecamGpa, gpaRanges, type NodeShare, ramBytes } from "./map.ts";

export type MemoryRange = {
  readonly first: number;
  readonly length: number;
  readonly type: "ram" | "reserved" | "acpi";
};

export const e820Type = { ram: 1, reserved: 2, acpi: 3 } as const;

export function e820(nodes: readonly NodeShare[]): readonly MemoryRange[] {
  const ram = gpaRanges(boot.extendedStart, ramBytes(nodes) - boot.extendedStart);
  const ranges: MemoryRange[] = [
    { first: 0, length: boot.conventionalEnd, type: "ram" },
    { first: boot.conventionalEnd, length: 0xa0000 - boot.conventionalEnd, type: "reserved" },
    { first: boot.acpiTables, length: boot.extendedStart - boot.acpiTables, type: "reserved" },
    // Linux uses the ECAM early only when it is told so here (PCI Firmware 3.3, 4.1.2).
    { first: ecamGpa, length: ecamBytes, type: "reserved" },
    ...ram.map(({ first, length }) => ({ first, length, type: "ram" }) as const),
  ];
  return ranges.toSorted((a, b) => a.first - b.first);
}
