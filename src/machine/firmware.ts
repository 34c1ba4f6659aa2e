/** @module What every guest finds below 1 MiB, whatever its boot protocol: a PC's firmware tables. */

import { acpiTables } from "./acpi/index.ts";
import type { NodeShare } from "./map.ts";
import { at, type Segment } from "./place.ts";

export type Firmware = { readonly segments: readonly Segment[]; readonly rsdpGpa: number };

export function firmware(nodes: readonly NodeShare[]): Firmware {
  const acpi = acpiTables(nodes);
  return { segments: [at(acpi.gpa, acpi.bytes)], rsdpGpa: acpi.rsdpGpa };
}
