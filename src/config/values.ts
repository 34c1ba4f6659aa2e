/** @module Values as users write them: sizes, counts, durations. Refusals say what would do. */

import { Failure, exitCode } from "../cli/failure.ts";

const units: Readonly<Record<string, number>> = {
  "": 1 << 20,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};
const pageBytes = 4096;
/** Of all nodes together (src/protocol/agreement.ts). */
const ramBytesMax = 2 ** 43;

function refuse(where: string, value: string, wanted: string): never {
  throw new Failure(exitCode.usage, `${where} ${value}: give ${wanted}`);
}

/** "512M", "10G"; a plain number is MiB, as in QEMU. Whole pages. */
export function size(where: string, value: string): number {
  const match = /^(\d{1,15})(?:([KMGT])(?:i?B)?)?$/i.exec(value.trim());
  const unit = units[(match?.[2] ?? "").toUpperCase()];
  if (match === null || unit === undefined) {
    return refuse(where, `"${value}"`, "a size such as 512M or 10G");
  }
  const bytes = Number(match[1]) * unit;
  if (bytes === 0 || bytes % pageBytes !== 0) {
    return refuse(where, `"${value}"`, "a positive multiple of 4K");
  }
  if (bytes > ramBytesMax) return refuse(where, `"${value}"`, "8T at most");
  return bytes;
}

/** A whole number within bounds. */
export function count(where: string, value: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(value.trim()) ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most)) {
    return refuse(where, `"${value}"`, `a whole number from ${least} to ${most}`);
  }
  return number;
}

/** A switch in a variable or a file. */
export function yesNo(where: string, value: string): boolean {
  const word = value.trim().toLowerCase();
  if (["true", "1", "yes", "on"].includes(word)) return true;
  if (["false", "0", "no", "off"].includes(word)) return false;
  return refuse(where, `"${value}"`, "true or false");
}

/** One word of a few. */
export function oneOf<T extends string>(where: string, value: string, choices: readonly T[]): T {
  return (
    choices.find((each) => each === value) ?? refuse(where, `"${value}"`, choices.join(" or "))
  );
}
