/** @module ACPI's own compiler reads the tables back, which apt installs where it is missing. */

import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toolMissing } from "../../../tests/tools.ts";
import { viewOf } from "../bytes.ts";
import { eisaId, integer, packageOf, uuid } from "./aml.ts";
import { acpiTables } from "./index.ts";
import { madt } from "./madt.ts";

const nodes = [
  { cpus: 2, ramPages: 0x8000 },
  { cpus: 1, ramPages: 0x10_0000 },
];

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0) & 0xff;
}

/** Lower halves of the addresses in an RSDT or XSDT. */
function addresses(bytes: Uint8Array, entryBytes: number): readonly number[] {
  return Array.from({ length: (bytes.length - 36) / entryBytes }, (_, i) =>
    viewOf(bytes).getUint32(36 + i * entryBytes, true),
  );
}

test("every table sums to zero and the pointers lead to them", () => {
  const acpi = acpiTables(nodes);
  expect(sum(acpi.bytes.subarray(0, 20))).toBe(0);
  expect(sum(acpi.bytes.subarray(0, 36))).toBe(0);
  const at = (gpa: bigint) => acpi.bytes.subarray(Number(gpa) - acpi.gpa);
  const xsdt = at(viewOf(acpi.bytes).getBigUint64(24, true));
  const length = viewOf(xsdt).getUint32(4, true);
  expect(sum(xsdt.subarray(0, length))).toBe(0);
  const found: string[] = [];
  for (let entry = 36; entry < length; entry += 8) {
    const listed = at(viewOf(xsdt).getBigUint64(entry, true));
    expect(sum(listed.subarray(0, viewOf(listed).getUint32(4, true)))).toBe(0);
    found.push(new TextDecoder().decode(listed.subarray(0, 4)));
  }
  expect(found).toEqual(["FACP", "APIC", "SRAT", "SLIT", "MCFG"]);
  // The same tables by 32-bit addresses.
  const rsdt = acpi.tables.get("RSDT")!;
  expect(addresses(rsdt, 4)).toEqual(addresses(acpi.tables.get("XSDT")!, 8));
  expect(at(BigInt(viewOf(acpi.bytes).getUint32(16, true))).subarray(0, rsdt.length)).toEqual(rsdt);
  const fadt = viewOf(acpi.tables.get("FACP")!);
  expect(fadt.byteLength).toBe(268);
  const facs = at(BigInt(fadt.getUint32(36, true)));
  expect(new TextDecoder().decode(facs.subarray(0, 4))).toBe("FACS");
  const dsdt = at(BigInt(fadt.getUint32(40, true)));
  expect(new TextDecoder().decode(dsdt.subarray(0, 4))).toBe("DSDT");
  expect(fadt.getBigUint64(140, true)).toBe(BigInt(fadt.getUint32(40, true)));
});

test("the RSDP is of revision 2, and whole", () => {
  const { bytes, gpa, rsdpGpa, tables } = acpiTables(nodes);
  const rsdp = bytes.subarray(rsdpGpa - gpa);
  expect(rsdpGpa % 16).toBe(0);
  expect(new TextDecoder().decode(rsdp.subarray(0, 8))).toBe("RSD PTR ");
  expect(rsdp[15]).toBe(2);
  expect(viewOf(rsdp).getUint32(20, true)).toBe(36);
  const xsdt = Number(viewOf(rsdp).getBigUint64(24, true)) - gpa;
  expect(bytes.subarray(xsdt, xsdt + tables.get("XSDT")!.length)).toEqual(tables.get("XSDT")!);
  expect(rsdp.subarray(33, 36)).toEqual(new Uint8Array(3));
});

test("AML encodings of the specification", () => {
  expect(integer(1)).toEqual(Uint8Array.of(1));
  expect(integer(5)).toEqual(Uint8Array.of(0x0a, 5));
  expect(eisaId("PNP0501")).toEqual(Uint8Array.of(0x0c, 0x41, 0xd0, 0x05, 0x01));
  expect(packageOf([integer(0), integer(5)])).toEqual(Uint8Array.of(0x12, 5, 2, 0, 0x0a, 5));
  const pciHostBridge = Buffer.from(uuid("33db4d5b-1ff7-401c-9657-7441c03dd766"));
  expect(pciHostBridge.toString("hex")).toBe("11130a105b4ddb33f71f1c4096577441c03dd766");
});

test("an id that an xAPIC cannot say gets an x2APIC entry", () => {
  const small = madt(255);
  const big = madt(256);
  // One x2APIC entry and one x2APIC NMI entry more.
  expect(big.length - small.length).toBe(16 + 12);
});

const missing = toolMissing("iasl", "acpica-tools");
if (missing !== undefined) console.warn(`SKIPPED: ACPI's own compiler: ${missing}`);
const iasl = Bun.which("iasl");

/** What iasl makes of a table: its text and its complaints. */
function disassemble(signature: string, bytes: Uint8Array): { text: string; log: string } {
  const folder = mkdtempSync(join(tmpdir(), "gvm-acpi-"));
  try {
    writeFileSync(join(folder, `${signature}.aml`), bytes);
    const done = Bun.spawnSync([iasl!, "-d", `${signature}.aml`], { cwd: folder });
    const text = readFileSync(join(folder, `${signature}.dsl`), "utf8");
    return { text, log: done.stdout.toString() + done.stderr.toString() };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Compiles the disassembly again: the bytes must come out the same. */
function compile(text: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "gvm-acpi-"));
  try {
    writeFileSync(join(folder, "x.dsl"), text);
    const done = Bun.spawnSync([iasl!, "-p", "out", "x.dsl"], { cwd: folder });
    expect(done.stdout.toString()).toContain("0 Errors, 0 Warnings");
    return readFileSync(join(folder, "out.aml"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.skipIf(iasl === null)("iasl finds nothing wrong and reads what was meant", () => {
  const { tables } = acpiTables(nodes, 1);
  const texts = new Map<string, string>();
  for (const [signature, bytes] of tables) {
    const { text, log } = disassemble(signature, bytes);
    expect(`${log}${text}`).not.toMatch(/Invalid|Unknown|Error|Warning|beyond|incorrect checksum/i);
    texts.set(signature, text);
  }
  expect(texts.get("DSDT")).toMatch(/Name \(\\?_S5, Package \(0x04\)/);
  expect(texts.get("DSDT")).toContain('EisaId ("PNP0501")');
  expect(texts.get("DSDT")).toMatch(/IRQNoFlags \(\)\s+\{4\}/);
  expect(texts.get("DSDT")).toContain('EisaId ("PNP0A08")');
  expect(texts.get("DSDT")).toMatch(/0xC0000000,\s+\/\/ Range Minimum\s+0xDFFFFFFF,/);
  expect(texts.get("DSDT")).toMatch(/Memory32Fixed \(ReadWrite,\s+0xE0000000,.*\s+0x00100000,/);
  expect(texts.get("DSDT")).toMatch(/Name \(_PXM, One\)/);
  // Device 9 shares a pin with device 1.
  for (const [device, gsi] of [
    ["0001", "11"],
    ["0009", "11"],
    ["001F", "17"],
  ]) {
    const wire = `0x${device}FFFF,\\s+Zero,\\s+Zero,\\s+0x${gsi}`;
    expect(texts.get("DSDT")).toMatch(new RegExp(wire));
  }
  expect(texts.get("DSDT")).toMatch(/ToUUID \("33db4d5b-1ff7-401c-9657-7441c03dd766"\)/);
  expect(texts.get("MCFG")).toMatch(/Base Address : 00000000E0000000/);
  expect(texts.get("MCFG")).toMatch(/Start Bus Number : 00\s[\s\S]*End Bus Number : 00\s/);
  expect(texts.get("FACP")).toMatch(/Reset Register Supported \(V2\) : 1/);
  expect(texts.get("FACP")).toMatch(/32-bit PM Timer \(V1\) : 1/);
  expect(texts.get("FACP")).toMatch(/PM1A Control Block Address : 00000604/);
  expect(texts.get("APIC")).toMatch(/Processor ID : 02/);
  expect(texts.get("SRAT")).toMatch(/Base Address : 0000000100000000/);
  expect(texts.get("SLIT")).toMatch(/Locality {3}0 : 0A 28/);
});

test.skipIf(iasl === null)("the DSDT is what iasl makes of its own reading of it", () => {
  const dsdt = acpiTables(nodes).tables.get("DSDT")!;
  const again = compile(disassemble("DSDT", dsdt).text);
  // Creator fields of the header differ: iasl signs what it compiles.
  expect(again.subarray(36)).toEqual(Buffer.from(dsdt.subarray(36)));
});

/** The values of a field in a disassembly, in order. */
function values(text: string, name: string): readonly number[] {
  const found = text.matchAll(new RegExp(`\\b${name} : ([0-9A-F]+)$`, "gm"));
  return [...found].map(([, value = ""]) => Number.parseInt(value, 16));
}

const ids = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Ids below 255 are to be told by the entries of an xAPIC (ACPI 6.5, 5.2.12.12 and 5.2.16.3). */
test.skipIf(iasl === null)("iasl reads both kinds of processors of a machine of 300", () => {
  const shares = [
    { cpus: 200, ramPages: 0x8000 },
    { cpus: 100, ramPages: 0x8000 },
  ];
  const { tables } = acpiTables(shares);
  const read = (signature: string): string => {
    const { text } = disassemble(signature, tables.get(signature)!);
    const compiled = Buffer.from(compile(text)).subarray(36);
    expect(compiled).toEqual(Buffer.from(tables.get(signature)!.subarray(36)));
    return text;
  };
  const apics = read("APIC");
  expect(values(apics, "Local Apic ID")).toEqual(ids(0, 254));
  expect(values(apics, "Processor x2Apic ID")).toEqual(ids(255, 299));
  expect(values(apics, "Processor UID")).toEqual([...ids(255, 299), 0xffff_ffff]);
  const domains = read("SRAT");
  expect(values(domains, "Apic ID")).toEqual(ids(0, 299));
  const places = ids(0, 299).map((id) => (id < 200 ? 0 : 1));
  expect(values(domains, "Proximity Domain Low\\(8\\)")).toEqual(places.slice(0, 255));
  // The memory of each node stands behind its processors.
  expect(values(domains, "Proximity Domain")).toEqual([0, ...places.slice(255), 1]);
});
