/** @module What every guest finds below 1 MiB, however it is booted: tables, a little of a BIOS. */

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

/**
 * There is no BIOS. A kernel that goes back to real mode and calls it all the same (Xen, to look
 * for disks and video modes) is told so, as by a BIOS that lacks a function: carry flag, AH = 0x86.
 *
 *     push bp; mov bp,sp; or byte [bp+6],1; pop bp; mov ah,0x86; iret
 */
function biosCalls(): readonly Segment[] {
  const refusal = Uint8Array.of(0x55, 0x89, 0xe5, 0x80, 0x4e, 6, 1, 0x5d, 0xb4, 0x86, 0xcf);
  const vectors = new Fields();
  for (let vector = 0; vector < 256; vector += 1) {
    vectors.u16(boot.biosCall & 0xffff, (boot.biosCall >> 4) & 0xf000);
  }
  return [at(boot.interruptVectors, vectors.bytes()), at(boot.biosCall, refusal)];
}

export type Firmware = { readonly segments: readonly Segment[]; readonly rsdpGpa: number };

/** @param deviceNode where the PCI devices are. */
export function firmware(nodes: readonly NodeShare[], deviceNode: number): Firmware {
  const acpi = acpiTables(nodes, deviceNode);
  const tables = [at(acpi.gpa, acpi.bytes), at(boot.mpTables, mpTables(nodes))];
  const segments = [...biosCalls(), biosData(), ...tables];
  return { segments, rsdpGpa: acpi.rsdpGpa };
}
