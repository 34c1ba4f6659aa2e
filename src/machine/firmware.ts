/** @module What every guest finds below 1 MiB, however it is booted: firmware tables, BIOS data. */

import { acpiTables } from "./acpi/index.ts";
import { Fields } from "./bytes.ts";
import { boot, type NodeShare, uartPort } from "./map.ts";
import { mpTables } from "./mptables.ts";
import { at, type Segment } from "./place.ts";

/** Of the BIOS data area, what kernels still read: COM1's port, the EBDA's segment, base memory. */
function biosData(): Segment {
  const fields = new Fields()
    .u16(uartPort)
    .zero(12)
    .u16(boot.conventionalEnd >> 4)
    .zero(3);
  return at(boot.biosData, fields.u16(boot.conventionalEnd >> 10).bytes());
}

export type Firmware = { readonly segments: readonly Segment[]; readonly rsdpGpa: number };

/** @param deviceNode where the PCI devices are. */
export function firmware(nodes: readonly NodeShare[], deviceNode: number): Firmware {
  const acpi = acpiTables(nodes, deviceNode);
  const tables = [at(acpi.gpa, acpi.bytes), at(boot.mpTables, mpTables(nodes))];
  const segments = [biosData(), ...tables];
  return { segments, rsdpGpa: acpi.rsdpGpa };
}
