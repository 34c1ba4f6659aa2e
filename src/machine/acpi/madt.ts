/** @module MADT (ACPI 6.5, 5.2.12): every vCPU's local APIC, the I/O APIC, ISA's exceptions. */

import { Fields } from "../bytes.ts";
import { ioApicGpa, localApicGpa, pitGsi, sciIrq } from "../map.ts";
import { table } from "./table.ts";

const enabled = 1;
/** 8259s are there, as on every PC, but interrupt nobody. */
const pcatCompatible = 1;
/** The id 255 means "all" to an xAPIC: from there on only the x2APIC entry can say it. */
const xapicIds = 255;
const activeHighLevel = 0x0d;

export function madt(cpus: number): Uint8Array {
  const fields = new Fields().u32(localApicGpa, pcatCompatible);
  for (let id = 0; id < cpus; id += 1) {
    if (id < xapicIds) fields.u8(0, 8, id, id).u32(enabled);
    else fields.u8(9, 16).u16(0).u32(id, enabled, id);
  }
  fields.u8(1, 12, 0, 0).u32(ioApicGpa, 0);
  fields.u8(2, 10, 0, 0).u32(pitGsi).u16(0);
  fields.u8(2, 10, 0, sciIrq).u32(sciIrq).u16(activeHighLevel);
  // Local NMI on LINT1 of all processors.
  fields.u8(4, 6, 0xff).u16(0).u8(1);
  if (cpus > xapicIds) fields.u8(0x0a, 12).u16(0).u32(0xffff_ffff).u8(1, 0, 0, 0);
  return table("APIC", 3, fields.bytes());
}
