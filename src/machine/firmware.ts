/** @module What every guest finds below 1 MiB, however it is booted: ACPI and MP tables. */

import { acpiTables } from "./acpi/index.ts";
import { boot, type NodeShare } from "./map.ts";
import { mpTables } from "./mptables.ts";
import { at, type Segment } from "./place.ts";

export type Firmware = { readonly segments: readonly Segment[]; readonly rsdpGpa: number };

/** @param deviceNode where the PCI devices are. */
export function firmware(nodes: readonly NodeShare[], deviceNode: number): Firmware {
  const acpi = acpiTables(nodes, deviceNode);
  const segments = [at(acpi.gpa, acpi.bytes), at(boot.mpTables, mpTables(nodes))];
  return { segments, rsdpGpa: acpi.rsdpGpa };
}
