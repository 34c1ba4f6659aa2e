/**
 * @module The built-in guest (native/zig/guest) and the block that tells it about its machine.
 *
 * The page tables are made here, whole and final: accessed and dirty set, open to ring 3, large
 * pages. So neither guest nor processor ever writes them, and every node can keep a copy.
 */

import { readFileSync } from "node:fs";
import guestPath from "../../dist/guest.bin" with { type: "file" };
import { alignUp } from "./bytes.ts";
import { MachineError } from "./errors.ts";
import type { GuestImages } from "./images.ts";
import {
  apicTimerKhz,
  boot,
  gpaRanges,
  type NodeShare,
  pageBytes,
  probeGpa,
  probePort,
  ramBytes,
} from "./map.ts";
import { bootGdt } from "./pagetables.ts";

/** How much of both address spaces the probe device takes. */
export const probe = { bytes: 0x1000, ports: 8 } as const;

const layout = {
  info: 0x10000,
  image: 0x10_0000,
  pageTables: 0x20_0000,
} as const;

/** As in native/zig/guest/info.zig. */
const info = {
  magicU64: 0x5453_4555_474d_5647n,
  version: 2,
  nodesMax: 64,
  vcpusMax: 255,
  testPages: 1088,
  cpuPages: 4,
  headWords: 13,
  nodeWords: 5,
  areaWords: 256,
} as const;

const gigabyte = 1 << 30;
const megabyte = 1 << 20;

export type BuiltinInput = {
  readonly nodes: readonly NodeShare[];
  readonly deviceNode: number;
  readonly tscKhz: number;
  readonly seedU64: bigint;
  /** How long a vCPU of the guest waits for another before it calls a check failed. */
  readonly waitLimitMs: number;
  /** Length of every check, 100 for the usual. */
  readonly scalePercent: number;
  /** Factor for the rounds of checks that see a broken rule only by luck, 1 for the usual. */
  readonly hunt: number;
  /** Asks for litmus shapes instead of the checks: docs/litmus.md; "" for the checks. */
  readonly append: string;
};

type PlacedNode = {
  readonly firstVcpu: number;
  readonly vcpus: number;
  readonly ramGpa: number;
  readonly ramBytes: number;
  readonly areaGpa: number;
};

/**
 * Identity map of everything below `end` (4 GiB at least, for devices) for rings 0 and 3: one table
 * of level 4, then all of level 3, then all of level 2 with pages of 2 MiB.
 */
function userTables(gpa: number, end: number): Uint8Array {
  const present = 0x001n;
  const writable = 0x002n;
  const user = 0x004n;
  const accessed = 0x020n;
  const dirty = 0x040n;
  const large = 0x080n;
  const table = present | writable | user | accessed;
  const entries = 512;
  const gigabytes = Math.max(4, Math.ceil(end / gigabyte));
  const above = 1 + Math.ceil(gigabytes / entries);
  const tables = new BigUint64Array(entries * (above + gigabytes));
  for (let i = 1; i < above; i += 1) tables[i - 1] = BigInt(gpa + i * pageBytes) | table;
  for (let i = 0; i < gigabytes; i += 1) {
    tables[entries + i] = BigInt(gpa + (above + i) * pageBytes) | table;
    for (let k = 0; k < entries; k += 1) {
      const page = BigInt(i * entries + k) << 21n;
      tables[entries * (above + i) + k] = page | table | dirty | large;
    }
  }
  return new Uint8Array(tables.buffer);
}

/** Each node's test pages and vCPU pages, at the start of its own memory. */
function placeNodes(nodes: readonly NodeShare[], lowEnd: number): readonly PlacedNode[] {
  const placed: PlacedNode[] = [];
  let offset = 0;
  let firstVcpu = 0;
  for (const [index, node] of nodes.entries()) {
    const bytes = node.ramPages * pageBytes;
    const needed = (info.testPages + info.cpuPages * node.cpus) * pageBytes;
    const ranges = gpaRanges(offset, bytes);
    const start = ranges[0]?.first ?? 0;
    const fitting = ranges
      .map((range) => ({
        first: Math.max(range.first, lowEnd),
        end: range.first + range.length - pageBytes,
      }))
      .find((range) => range.end - range.first >= needed);
    if (fitting === undefined) {
      const least = Math.ceil((needed + pageBytes + (index === 0 ? lowEnd : 0)) / megabyte);
      throw new MachineError(
        `the built-in guest needs ${least} MiB on node ${index}, which gives ` +
          `${Math.floor(bytes / megabyte)} MiB: raise --local-memory there`,
      );
    }
    placed.push({
      firstVcpu,
      vcpus: node.cpus,
      ramGpa: start,
      ramBytes: bytes,
      areaGpa: fitting.first,
    });
    offset += bytes;
    firstVcpu += node.cpus;
  }
  return placed;
}

function infoBlock(input: BuiltinInput, placed: readonly PlacedNode[]): Uint8Array {
  const words = new BigUint64Array(
    info.headWords + info.nodeWords * info.nodesMax + info.areaWords,
  );
  const vcpus = placed.reduce((sum, node) => sum + node.vcpus, 0);
  if (placed.length > info.nodesMax || vcpus > info.vcpusMax) {
    throw new MachineError(
      `the built-in guest takes ${info.nodesMax} nodes and ${info.vcpusMax} vCPUs at most`,
    );
  }
  words[0] = info.magicU64;
  words[6] = BigInt(input.tscKhz);
  words[5] = input.seedU64;
  const head = [info.version, placed.length, vcpus, input.deviceNode];
  for (const [i, value] of head.entries()) words[1 + i] = BigInt(value);
  const { waitLimitMs, scalePercent, hunt } = input;
  const tail = [apicTimerKhz, waitLimitMs, scalePercent, hunt, probeGpa, probePort];
  for (const [i, value] of tail.entries()) words[7 + i] = BigInt(value);
  const areas = info.headWords + info.nodeWords * info.nodesMax;
  for (const [i, node] of placed.entries()) {
    const fields = [node.firstVcpu, node.vcpus, node.ramGpa, node.ramBytes, node.areaGpa];
    const at = info.headWords + info.nodeWords * i;
    for (const [k, value] of fields.entries()) words[at + k] = BigInt(value);
    const pages = node.areaGpa + info.testPages * pageBytes;
    for (let k = 0; k < node.vcpus; k += 1) {
      words[areas + node.firstVcpu + k] = BigInt(pages + k * info.cpuPages * pageBytes);
    }
  }
  return new Uint8Array(words.buffer);
}

/** Everything to load for the built-in guest and where the boot processor starts. */
export function builtinImages(input: BuiltinInput): GuestImages {
  const ram = ramBytes(input.nodes);
  const last = gpaRanges(0, ram).at(-1);
  const tables = userTables(layout.pageTables, last === undefined ? 0 : last.first + last.length);
  const lowEnd = alignUp(layout.pageTables + tables.length, megabyte);
  const placed = placeNodes(input.nodes, lowEnd);
  const image = new Uint8Array(readFileSync(guestPath));
  if (image.length === 0 || layout.image + image.length > layout.pageTables) {
    throw new MachineError(`the built-in guest is damaged (${image.length} bytes): build it again`);
  }
  const commandLine = new TextEncoder().encode(`${input.append}\0`);
  if (commandLine.length > pageBytes) {
    throw new MachineError("the built-in guest takes a command line of 4095 bytes at most");
  }
  return {
    segments: [
      { gpaU64: BigInt(boot.gdt), bytes: bootGdt() },
      { gpaU64: BigInt(boot.commandLine), bytes: commandLine },
      { gpaU64: BigInt(layout.info), bytes: infoBlock(input, placed) },
      { gpaU64: BigInt(layout.image), bytes: image },
      { gpaU64: BigInt(layout.pageTables), bytes: tables },
    ],
    boot: {
      mode: "long",
      ripU64: BigInt(layout.image),
      raxU64: 0n,
      rbxU64: 0n,
      rsiU64: BigInt(layout.info),
      rspU64: BigInt(boot.stackTop),
      cr3U64: BigInt(layout.pageTables),
      gdtU64: BigInt(boot.gdt),
    },
    commandLine: input.append,
  };
}
