/**
 * @module Kernel files with changed heads: refused by one sentence (MachineError), or loaded so
 * that every piece lies in RAM, above what the boot needs, and no two overlap.
 */

import { viewOf } from "../../src/machine/bytes.ts";
import { MachineError } from "../../src/machine/errors.ts";
import { guestImages } from "../../src/machine/guest.ts";
import type { Random } from "../../src/sim/random.ts";
import { multibootElf, multibootFlat, pvhElf } from "../kernels.ts";
import { bzImageOf, elfOf } from "../machine-images.ts";
import { changedBytes, pick, some } from "./mutate.ts";

const mib = 1 << 20;
const ram = 256 * mib;
const nodes = [{ cpus: 1, ramPages: ram / 4096 }];
const wide = [0n, 1n, 4096n, 1n << 20n, 1n << 31n, 1n << 32n, 1n << 52n, (1n << 64n) - 1n];
/** Offsets of the fields that loaders compute with, and their sizes. */
const elfFields = [
  [24, 8],
  [32, 8],
  [54, 2],
  [56, 2],
  [64, 4],
  [72, 8],
  [88, 8],
  [96, 8],
  [104, 8],
] as const;
const bzFields = [
  [0x1f1, 1],
  [0x201, 1],
  [0x206, 2],
  [0x22c, 4],
  [0x236, 2],
  [0x238, 4],
  [0x248, 4],
  [0x24c, 4],
  [0x258, 8],
  [0x260, 4],
] as const;

function poke(bytes: Uint8Array, at: number, size: number, valueU64: bigint): void {
  for (let i = 0; i < size && at + i < bytes.length; i += 1) {
    bytes[at + i] = Number((valueU64 >> BigInt(8 * i)) & 0xffn);
  }
}

function changedHead(
  bytes: Uint8Array<ArrayBuffer>,
  fields: readonly (readonly [number, number])[],
  random: Random,
): Uint8Array<ArrayBuffer> {
  const [at, size] = pick(fields, random);
  const out = bytes.slice();
  const old = size === 8 ? viewOf(out).getBigUint64(at, true) : 0n;
  const near = (old + BigInt(random.below(5)) - 2n) & ((1n << 64n) - 1n);
  poke(out, at, size, random.chance(40) ? near : pick(wide, random));
  return out;
}

/** Heads of kernels with a 32-bit entry: every word of them is one that a loader may look at. */
function otherKernel(random: Random): Uint8Array<ArrayBuffer> {
  const bits = random.chance(50) ? 32 : 64;
  const kind = random.below(3);
  if (kind === 0) return pvhElf(bits);
  return kind === 1 ? multibootElf(bits) : multibootFlat();
}

function linuxKernel(random: Random): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(64 + random.below(5000)).fill(0x90);
  let elf = elfOf(16 * mib, content, content.length + random.below(9000));
  if (random.chance(60)) elf = some(elf, random, (b, r) => changedHead(b, elfFields, r));
  if (random.chance(50)) return elf;
  const bytes = bzImageOf(random.chance(50) ? Bun.gzipSync(elf) : changedBytes(elf, random));
  return random.chance(60) ? some(bytes, random, (b, r) => changedHead(b, bzFields, r)) : bytes;
}

export function imagesTarget(random: Random): void {
  let bytes: Uint8Array<ArrayBuffer>;
  if (random.chance(50)) bytes = linuxKernel(random);
  else {
    const words = Array.from({ length: 64 }, (_, i) => [4 * i, 4] as const);
    bytes = some(otherKernel(random), random, (b, r) => changedHead(b, words, r));
  }
  if (random.chance(20)) bytes = Uint8Array.from(changedBytes(bytes, random));
  const kernel = { name: "k", bytes };
  const other = { name: "m", text: "", bytes: new Uint8Array(3 * 4096) };
  const files = {
    kernel,
    initrd: random.chance(50) ? other : undefined,
    modules: random.chance(20) ? [other, other] : [],
    commandLine: undefined,
    append: "x",
  };
  try {
    const { segments } = guestImages({ ...files, nodes, deviceNode: 0, tscKhz: 2_000_000 });
    check(segments);
  } catch (error) {
    if (!(error instanceof MachineError)) throw error;
    if (error.message.includes("\n")) throw new Error("more than a sentence", { cause: error });
  }
}

function check(segments: readonly { readonly gpaU64: bigint; readonly bytes: Uint8Array }[]): void {
  const sorted = segments.toSorted((a, b) => (a.gpaU64 < b.gpaU64 ? -1 : 1));
  let free = 0n;
  for (const { gpaU64, bytes } of sorted) {
    if (gpaU64 < free) throw new Error(`two segments at ${gpaU64.toString(16)}`);
    free = gpaU64 + BigInt(bytes.length);
    if (free > BigInt(ram)) throw new Error(`a segment ends at ${free.toString(16)}, past RAM`);
  }
}
