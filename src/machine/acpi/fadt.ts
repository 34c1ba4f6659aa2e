/** @module FADT revision 5 (ACPI 5.0, 5.2.9) and the FACS it points to. */

import { Fields } from "../bytes.ts";
import { pm1aControl, pm1aEvent, pmTimer, resetPort, resetValue, sciIrq } from "../map.ts";
import { table } from "./table.ts";

/** WBINVD, C1, no fixed sleep button nor RTC alarm, 32-bit PM timer, reset register. */
const flags = (1 << 0) | (1 << 2) | (1 << 5) | (1 << 6) | (1 << 8) | (1 << 10);
/** IAPC_BOOT_ARCH: legacy devices, but neither keyboard controller nor VGA to look for. */
const bootArchitecture = (1 << 0) | (1 << 2);
const profileServer = 4;
const systemIo = 1;

type Gas = { readonly port: number; readonly bits: number; readonly access: number };

function gas(fields: Fields, register: Gas | undefined): void {
  if (register === undefined) fields.zero(12);
  else fields.u8(systemIo, register.bits, 0, register.access).u64(BigInt(register.port));
}

export function fadt(facsGpa: number, dsdtGpa: number): Uint8Array {
  const fields = new Fields();
  fields.u32(facsGpa, dsdtGpa).u8(0, profileServer).u16(sciIrq);
  // No SMI command port: ACPI mode is on from the start, PM1_CNT reads SCI_EN = 1.
  fields.u32(0).u8(0, 0, 0, 0);
  fields.u32(pm1aEvent, 0, pm1aControl, 0, 0, pmTimer, 0, 0);
  fields.u8(4, 2, 0, 4, 0, 0, 0, 0);
  // C2 and C3 latencies above the limits: not supported.
  fields.u16(0xffff, 0xffff, 0, 0);
  fields.u8(0, 0, 0, 0, 0x32).u16(bootArchitecture).u8(0).u32(flags);
  gas(fields, { port: resetPort, bits: 8, access: 1 });
  fields.u8(resetValue).u16(0).u8(0);
  // The FACS is below 4 GiB: its 64-bit address must be zero then.
  fields.u64(0n, BigInt(dsdtGpa));
  gas(fields, { port: pm1aEvent, bits: 32, access: 2 });
  gas(fields, undefined);
  gas(fields, { port: pm1aControl, bits: 16, access: 2 });
  gas(fields, undefined);
  gas(fields, undefined);
  gas(fields, { port: pmTimer, bits: 32, access: 3 });
  for (let absent = 0; absent < 4; absent += 1) gas(fields, undefined);
  return table("FACP", 5, fields.bytes());
}

/** The one table without the common header: a signature and a global lock nobody takes. */
export function facs(): Uint8Array {
  return new Fields().text("FACS").u32(64, 0, 0, 0, 0).u64(0n).u8(2).zero(31).bytes();
}
