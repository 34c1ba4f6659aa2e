/** @module Structure-aware changes, from a seed: of values of the wire, then of their bytes. */

import type { Wire } from "../../src/protocol/cbor.ts";
import type { Random } from "../../src/sim/random.ts";

const numbers = [0, 1, 2, 23, 24, 255, 256, 65535, 65536, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];
const wides = [0n, 1n, 1n << 32n, (1n << 48n) - 1n, 1n << 63n, (1n << 64n) - 1n];
const texts = ["", "x", "\u0000", "%s", "a".repeat(300), "\u{1f600}"];

export function pick<T>(items: readonly T[], random: Random): T {
  const item = items[random.below(items.length)];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

function leaf(random: Random): Wire {
  switch (random.below(6)) {
    case 0:
      return pick(numbers, random);
    case 1:
      return pick(wides, random);
    case 2:
      return random.chance(50);
    case 3:
      return pick(texts, random);
    case 4:
      return new Uint8Array(random.below(40)).fill(random.below(256));
    default:
      return [];
  }
}

/** The same kind of thing with another value, mostly. */
function other(value: Wire, random: Random): Wire {
  if (random.chance(15)) return leaf(random);
  switch (typeof value) {
    case "number":
      if (random.chance(50)) return pick(numbers, random);
      return Math.min(0xffff_ffff, Math.max(0, value + random.below(7) - 3));
    case "bigint":
      return random.chance(50) ? pick(wides, random) : BigInt(random.below(1 << 30));
    case "string":
      return pick(texts, random);
    case "boolean":
      return !value;
    default:
      return value instanceof Uint8Array ? changedBytes(value, random) : leaf(random);
  }
}

/** One place of a value is changed: a field replaced, dropped, doubled, or nested. */
export function changedValue(value: Wire, random: Random): Wire {
  if (!Array.isArray(value) || value.length === 0) return other(value, random);
  const items = value as readonly Wire[];
  const at = random.below(items.length);
  const item = items[at] ?? 0;
  switch (random.below(8)) {
    case 0:
      return items.toSpliced(at, 1);
    case 1:
      return items.toSpliced(at, 0, item);
    case 2:
      return items.with(at, [item]);
    default:
      return items.with(at, changedValue(item, random));
  }
}

const edges = [0x00, 0x17, 0x18, 0x1b, 0x3b, 0x5f, 0x7f, 0x9b, 0x9f, 0xa1, 0xc1, 0xd9, 0xf9, 0xff];

/** Bits, bytes, cuts, repetitions: what no encoder writes. */
export function changedBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const out = [...bytes];
  const at = random.below(out.length + 1);
  switch (random.below(6)) {
    case 0:
      if (at < out.length) out[at] = (out[at] ?? 0) ^ (1 << random.below(8));
      break;
    case 1:
      if (at < out.length) out[at] = pick(edges, random);
      break;
    case 2:
      out.length = at;
      break;
    case 3:
      out.splice(at, 0, ...out.slice(at, at + 8));
      break;
    case 4:
      out.splice(at, random.below(9));
      break;
    default:
      out.splice(at, 0, pick(edges, random));
  }
  return Uint8Array.from(out);
}

/** Applies a change one to four times. */
export function some<T>(value: T, random: Random, change: (value: T, random: Random) => T): T {
  let result = value;
  for (let left = 1 + random.below(4); left > 0; left -= 1) result = change(result, random);
  return result;
}
