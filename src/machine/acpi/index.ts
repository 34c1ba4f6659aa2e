/**
 * @module The ACPI tables in one block below 1 MiB, where an operating system looks for the RSDP
 * even when nobody tells it (ACPI 6.5, 5.2.5.1). Each table knows the address of what it points to,
 * so the leaves come first.
 */

import { alignUp, Fields } from "../bytes.ts";
import { MachineError } from "../errors.ts";
import { boot, type NodeShare } from "../map.ts";
import { dsdt } from "./dsdt.ts";
import { facs, fadt } from "./fadt.ts";
import { madt } from "./madt.ts";
import { slit, srat } from "./numa.ts";
import { mcfg } from "./pci.ts";
import { checksum, table } from "./table.ts";

export type AcpiTables = {
  readonly gpa: number;
  readonly rsdpGpa: number;
  readonly bytes: Uint8Array;
  /** Each table by signature, for tests and dumps. */
  readonly tables: ReadonlyMap<string, Uint8Array>;
};

const rsdpBytes = 36;
/** FACS wants 64; one rule for all. */
const alignment = 64;

function rsdp(rsdtGpa: number, xsdtGpa: number): Uint8Array {
  const first = new Fields().text("RSD PTR ").u8(0).text("GIANTV").u8(2).u32(rsdtGpa).bytes();
  first[8] = checksum(first);
  const all = new Fields().raw(first).u32(rsdpBytes).u64(BigInt(xsdtGpa)).u8(0, 0, 0, 0).bytes();
  all[32] = checksum(all);
  return all;
}

export function acpiTables(nodes: readonly NodeShare[], deviceNode = 0): AcpiTables {
  const gpa = boot.acpiTables;
  const placed: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  const tables = new Map<string, Uint8Array>();
  let next = alignUp(gpa + rsdpBytes, alignment);
  const place = (signature: string, bytes: Uint8Array): number => {
    const at = next;
    placed.push({ at, bytes });
    tables.set(signature, bytes);
    next = alignUp(at + bytes.length, alignment);
    return at;
  };
  const facsGpa = place("FACS", facs());
  const dsdtGpa = place("DSDT", dsdt(deviceNode));
  const cpus = nodes.reduce((sum, node) => sum + node.cpus, 0);
  const listed = [
    place("FACP", fadt(facsGpa, dsdtGpa)),
    place("APIC", madt(cpus)),
    place("SRAT", srat(nodes)),
    place("SLIT", slit(nodes.length)),
    place("MCFG", mcfg()),
  ];
  const entries = new Fields().u64(...listed.map(BigInt)).bytes();
  const xsdtGpa = place("XSDT", table("XSDT", 1, entries));
  // For kernels that know no more than ACPI 1.0.
  const rsdtGpa = place("RSDT", table("RSDT", 1, new Fields().u32(...listed).bytes()));
  if (next > boot.mpTables) throw new MachineError("the ACPI tables do not fit below 1 MiB");
  const bytes = new Uint8Array(next - gpa);
  bytes.set(rsdp(rsdtGpa, xsdtGpa), 0);
  for (const part of placed) bytes.set(part.bytes, part.at - gpa);
  return { gpa, rsdpGpa: gpa, bytes, tables };
}
