/** @module The block in memory is the one the guest reads, and no two uses of memory overlap. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { boot, pageBytes, probeGpa } from "./map.ts";

const guest = join(import.meta.dir, "../../dist/guest.bin");
const { builtinImages } = await import("./builtin.ts");

const nodes = [
  { cpus: 2, ramPages: 16 * 256 },
  { cpus: 1, ramPages: 32 * 256 },
];

function images(shares = nodes) {
  return builtinImages({
    nodes: shares,
    deviceNode: 1,
    tscKhz: 2_000_000,
    seedU64: 42n,
    waitLimitMs: 10_000,
    scalePercent: 100,
    hunt: 1,
    append: "litmus=SB",
  });
}

function infoWords(shares = nodes): BigUint64Array {
  const built = images(shares);
  const segment = built.segments.find((each) => each.gpaU64 === built.boot.rsiU64);
  return new BigUint64Array(segment?.bytes.slice().buffer ?? new ArrayBuffer(0));
}

test("the guest was built", () => {
  expect(existsSync(guest)).toBe(true);
});

test("constants are the guest's own", () => {
  const source = readFileSync(join(import.meta.dir, "../../native/zig/guest/info.zig"), "utf8");
  expect(source).toContain("0x5453_4555_474d_5647");
  expect(source).toContain("test_pages = 1088;");
  expect(source).toContain("cpu_pages = 4;");
  expect(source).toContain("nodes_max = 64;");
  const commandLine = /command_line_gpa = (0x[\da-f]+);/.exec(source)?.[1];
  expect(Number(commandLine)).toBe(boot.commandLine);
});

test("the command line ends with a zero byte where the guest looks", () => {
  const { segments, commandLine } = images();
  const segment = segments.find((each) => each.gpaU64 === BigInt(boot.commandLine));
  expect(new TextDecoder().decode(segment?.bytes)).toBe(`${commandLine}\0`);
  expect(commandLine).toBe("litmus=SB");
});

function megabytes(value: number): bigint {
  return BigInt(value << 20);
}

function pages(count: number): bigint {
  return BigInt(count * pageBytes);
}

test("each node's area lies in its own memory", () => {
  const words = infoWords();
  expect(Array.from(words.slice(0, 7))).toEqual([
    0x5453_4555_474d_5647n,
    2n,
    2n,
    3n,
    1n,
    42n,
    2_000_000n,
  ]);
  expect(Array.from(words.slice(13, 18))).toEqual([0n, 2n, 0n, megabytes(16), megabytes(3)]);
  expect(Array.from(words.slice(18, 23))).toEqual([
    2n,
    1n,
    megabytes(16),
    megabytes(32),
    megabytes(16),
  ]);
  const areas = 13 + 5 * 64;
  expect(Array.from(words.slice(areas, areas + 4))).toEqual([
    megabytes(3) + pages(1088),
    megabytes(3) + pages(1092),
    megabytes(16) + pages(1088),
    0n,
  ]);
});

test("segments do not overlap each other or the vCPUs' pages", () => {
  const { segments } = images();
  const sorted = segments.toSorted((a, b) => Number(a.gpaU64 - b.gpaU64));
  for (const [i, segment] of sorted.entries()) {
    const end = Number(segment.gpaU64) + segment.bytes.length;
    expect(end).toBeLessThanOrEqual(Number(sorted[i + 1]?.gpaU64 ?? BigInt(3 << 20)));
  }
  expect(sorted[0]?.gpaU64).toBe(BigInt(boot.gdt));
});

test("a node whose memory begins right below the hole gets its area behind it", () => {
  const wide = [
    { cpus: 1, ramPages: (3 << 18) - 8 },
    { cpus: 1, ramPages: 16 * 256 },
  ];
  const words = infoWords(wide);
  expect(words[20]).toBe(0xc000_0000n - 8n * 4096n);
  expect(words[22]).toBe(0x1_0000_0000n);
});

test("page tables are final: user, accessed and dirty everywhere", () => {
  const built = images();
  const tables = built.segments.find((each) => each.gpaU64 === built.boot.cr3U64);
  const words = new BigUint64Array(tables?.bytes.slice().buffer ?? new ArrayBuffer(0));
  const used = [...words].filter((entry) => entry !== 0n);
  expect(used.length).toBe(1 + 4 + 4 * 512);
  expect(used.every((entry) => (entry & 0x27n) === 0x27n)).toBe(true);
  const mmio = words[512 * (2 + 3) + ((probeGpa & 0x3fff_ffff) >>> 21)] ?? 0n;
  expect(mmio & ~0x1fn & ~0xffn).toBe(BigInt(probeGpa) & ~0x1f_ffffn);
});

test("page tables reach each node's memory, however much all have", () => {
  const server = { cpus: 48, ramPages: 200 * 262_144 };
  const built = images([server, server, server, server, server]);
  const { gpaU64 = 0n, bytes } = built.segments.find((each) => each.gpaU64 === built.boot.cr3U64)!;
  const words = new BigUint64Array(bytes.slice().buffer);
  const below = (table: bigint, address: bigint, level: bigint) => {
    const index = (address >> (12n + 9n * (level - 1n))) & 511n;
    const entry = words[Number((table - gpaU64) / 8n + index)] ?? 0n;
    expect(entry & 1n).toBe(1n);
    return entry & ~0xfffn;
  };
  for (const address of [0n, 0x80_0000_0000n, (1001n << 30n) - 0x20_0000n]) {
    const page = below(below(below(gpaU64, address, 4n), address, 3n), address, 2n);
    expect(page).toBe(address);
  }
});

test("too little memory is one sentence", () => {
  const small = [{ cpus: 1, ramPages: 256 }];
  expect(() => images(small)).toThrow(/needs 8 MiB on node 0, which gives 1 MiB/);
});
