/** @module docs/machine.md names what the tables and the native devices have, and nothing else. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDevice } from "../devices/scratch.ts";
import { deviceRoutes } from "../node/routes.ts";
import { acpiTables } from "./acpi/index.ts";
import { viewOf } from "./bytes.ts";
import { cpuidTable } from "./cpuid.ts";
import { e820 } from "./e820.ts";
import * as map from "./map.ts";
import { mpTables } from "./mptables.ts";

const root = join(import.meta.dir, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const document = read("docs/machine.md");
const native = (path: string) => read(join("native/zig", path));

/** Cells of the rows of a section's table. */
function rows(heading: string): readonly (readonly string[])[] {
  const section = document.split(/^## /m).find((each) => each.startsWith(`${heading}\n`))!;
  const lines = section.split("\n").filter((line) => line.startsWith("| "));
  return lines.slice(1).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

type Range = { readonly first: number; readonly last: number };

/** "0x60, 0x70-0x71": one or several; a range that ends with its hyphen has no end. */
function ranges(cell: string): readonly Range[] {
  return cell.split(", ").map((each) => {
    const [first = "", last = first] = each.split("-");
    return { first: Number(first), last: last === "" ? Infinity : Number(last) };
  });
}

function numbers(all: readonly Range[]): readonly number[] {
  const each = all.flatMap(({ first, last }) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  );
  return each.toSorted((a, b) => a - b);
}

/** A port of board.zig: a number, or a name of map.zig with what is added to it. */
function portOf(text: string): number {
  const [name = "", more = "0"] = text.trim().split(" + ");
  if (!name.startsWith("map.")) return Number(name);
  const camel = name.slice(4).replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return Number(new Map<string, unknown>(Object.entries(map)).get(camel)) + Number(more);
}

/** Every port that an arm of board.zig's switches answers. */
function boardPorts(): readonly number[] {
  const source = native("devices/board.zig");
  const body = source.slice(source.indexOf("    fn port("), source.indexOf("    fn print("));
  const arms = body.matchAll(/^ {12}((?:map\.|0x)[^=\n]*(?:\n {12}(?:map\.|0x)[^=\n]*)*)\s*=>/gm);
  const all = [...arms].flatMap(([, arm = ""]) => arm.split(",").filter((each) => each.trim()));
  const found = all.map((each) => {
    const [first = "", last = first] = each.split("...");
    return { first: portOf(first), last: portOf(last) };
  });
  return [...new Set(numbers(found))].toSorted((a, b) => a - b);
}

const slow = [scratchDevice(0).place];
const routes = deviceRoutes(0, slow).map(({ space, firstU64, lastU64 }) => ({
  space,
  first: Number(firstU64),
  last: Number(lastU64),
}));

test("its ports are those the board and TypeScript answer, and all of them are routed", () => {
  const told = numbers(rows("I/O ports").flatMap(([ports = ""]) => ranges(ports)));
  const scratch = slow.map((place) => ({
    first: Number(place.firstU64),
    last: Number(place.lastU64),
  }));
  const answered = [...boardPorts(), ...numbers(scratch)].toSorted((a, b) => a - b);
  expect(told).toEqual(answered);
  const routed = new Set(numbers(routes.filter(({ space }) => space === "port")));
  expect(told.filter((port) => !routed.has(port))).toEqual([]);
  for (const [name, value] of Object.entries(map)) {
    if (!/Port$|^pm/.test(name)) continue;
    expect(document).toContain(`0x${Number(value).toString(16).toUpperCase()}`);
  }
});

/** What the memory map says of an address in a machine of 5 GiB. */
function mapped(address: number): string {
  const found = e820([{ cpus: 1, ramPages: 5 << 18 }]).find(
    ({ first, length }) => first <= address && address < first + length,
  );
  return found === undefined ? "-" : { ram: "RAM", reserved: "reserved", acpi: "ACPI" }[found.type];
}

test("its addresses are those of RAM, routes and local APIC, as the memory map has them", () => {
  const told = rows("Physical addresses").map(([cell = "", , type = ""]) => {
    const [range] = ranges(cell);
    expect([cell, type]).toEqual([cell, mapped(range!.first)]);
    return range!;
  });
  const localApic = { first: map.localApicGpa, last: map.localApicGpa + 0xfff };
  const memory = routes
    .filter(({ space }) => space === "mmio")
    .map(({ first, last }) => ({ first, last }));
  const low = { first: 0, last: map.lowRamEnd - 1 };
  const expected = [low, ...memory, localApic, { first: map.highRamStart, last: Infinity }];
  expect(told).toEqual(expected.toSorted((a, b) => a.first - b.first));
});

test("the first megabyte has what boot puts there", () => {
  const told = rows("First megabyte").map(([from = "", , type = ""]) => {
    expect([from, type]).toEqual([from, mapped(Number(from))]);
    return Number(from);
  });
  const places = new Set<number>([...Object.values(map.boot), 0xa0000]);
  expect(told).toEqual([...places].toSorted((a, b) => a - b));
});

/** Flags of MADT and MP tables (ACPI 6.5, table 5.26) in words; 0 is the bus's own way. */
const activeHighLevel = 0x0d;

test("its interrupts are those of map.ts and the MADT's overrides", () => {
  const told = rows("Interrupts").map(([gsi, , way]) => [gsi, way]);
  const last = map.pciFirstGsi + map.pciGsis - 1;
  expect(told).toEqual([
    [`${map.pitGsi}`, "active high, edge"],
    [`${map.uartIrq}`, "active high, edge"],
    [`${map.rtcIrq}`, "active high, edge"],
    [`${map.sciIrq}`, "active high, level"],
    [`${map.pciFirstGsi}-${last}`, "active low, level"],
  ]);
  expect(last).toBeLessThan(map.ioApicPins);
  expect(document).toContain(`${map.ioApicPins} pins`);
  const madt = acpiTables([{ cpus: 1, ramPages: 1 << 18 }]).tables.get("APIC")!;
  const overrides: (readonly number[])[] = [];
  for (let at = 44; at < madt.length; at += madt[at + 1]!) {
    if (madt[at] !== 2) continue;
    const view = viewOf(madt.subarray(at));
    overrides.push([madt[at + 3]!, view.getUint32(4, true), view.getUint16(8, true)]);
  }
  expect(overrides).toEqual([
    [0, map.pitGsi, 0],
    [map.sciIrq, map.sciIrq, activeHighLevel],
  ]);
});

/** The number a Zig source gives a name. */
function constant(source: string, name: string): number {
  return Number(
    new RegExp(`\\b${name} = (0x[\\da-f_]+|\\d+)`).exec(source)![1]!.replaceAll("_", ""),
  );
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

test("its PCI functions are the native ones", () => {
  const [bridge, disk] = rows("PCI");
  const host = native("devices/pci/host.zig");
  const ids = (vendor: number, device: number) => `${hex(vendor, 4)}:${hex(device, 4)}`;
  expect(bridge!.slice(1, 3)).toEqual([
    ids(constant(host, "vendor"), constant(host, "device")),
    hex(constant(host, "class"), 6),
  ]);
  const transport = native("devices/virtio/transport.zig");
  const block = native("devices/virtio/block.zig");
  const first = constant(native("vm/disk.zig"), "first_place");
  const last = first + constant(native("limits.zig"), "disks_max") - 1;
  expect(disk!.slice(0, 3)).toEqual([
    `00:${hex(first, 2)}.0 to 00:${hex(last, 2)}.0`,
    ids(
      constant(transport, "vendor"),
      constant(transport, "device_base") + constant(block, "kind"),
    ),
    hex(constant(block, "class"), 6),
  ]);
  expect(disk![3]).toContain(`BAR 0 of ${constant(transport, "bar_bytes") >> 10} KiB`);
  expect(disk![3]).toContain(`MSI-X with ${constant(transport, "vectors")} vectors`);
});

test("its tables are the ones that are made, of their revisions", () => {
  const told = new Map<string, number>();
  for (const [names = "", revision] of rows("Tables")) {
    for (const name of names.split(", ")) told.set(name, Number(revision));
  }
  const shares = [{ cpus: 1, ramPages: 1 << 18 }];
  const { bytes, tables } = acpiTables(shares);
  const made = new Map<string, number>([["RSDP", bytes[15]!]]);
  // The FACS has its version in another place (5.2.10).
  for (const [name, table] of tables) made.set(name, table[name === "FACS" ? 32 : 8]!);
  const [pointer, table] = [mpTables(shares), mpTables(shares).subarray(16)];
  made.set("_MP_", pointer[9]!).set(new TextDecoder().decode(table.subarray(0, 4)), table[6]!);
  expect([...told].toSorted()).toEqual([...made].toSorted());
  const listed = [...tables.keys()].filter((name) => !/^(FACS|DSDT|.SDT)$/.test(name));
  expect(document).toContain(`| RSDT, XSDT | 1 | ${listed.join(", ")} |`);
});

test("its leaves are all that is shown of a host that has every leaf", () => {
  const all = { index: 0, flags: 0, eax: 0xff, ebx: 0xff, ecx: 0xff, edx: 0xff };
  const cpuid = [0, 0x4000_0000, 0x8000_0000].flatMap((from) =>
    Array.from({ length: 0x40 }, (_, i) => ({ leaf: from + i, ...all })),
  );
  const host = {
    vendor: "AuthenticAMD",
    cpuid,
    tscKhz: 1,
    physicalAddressBits: 48,
    xcr0U64: 7n,
  };
  const nodes = [{ cpus: 2, ramPages: 1 }];
  const shown = new Set(cpuidTable({ hosts: [host], nodes, hide: [] }).map(({ leaf }) => leaf));
  const told = numbers(rows("CPUID").flatMap(([leaves = ""]) => ranges(leaves)));
  expect(told).toEqual([...shown].toSorted((a, b) => a - b));
});
