/** @module A failed call of the native library, with the errno it returned. */

import { constants } from "node:os";

/** Second names of an errno; the library's documents use the first. */
const aliases = new Set(["EWOULDBLOCK", "ENOTSUP"]);
const names = new Map(
  Object.entries(constants.errno).flatMap(([name, code]) =>
    aliases.has(name) ? [] : [[code, name] as const],
  ),
);

export class NativeError extends Error {
  /** Name of the errno, e.g. "EADDRINUSE". */
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = names.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.name = "NativeError";
    this.code = code;
  }
}

/** Returns the result of a call, or throws what the library reported. */
export function check(call: string, result: number): number {
  if (result < 0) throw new NativeError(call, -result);
  return result;
}
