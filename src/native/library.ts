/**
 * @module Loads the Zig library that is embedded in the executable.
 *
 * The bytes go into a memfd and are opened from there: nothing is left in /tmp and a noexec
 * temporary folder does not matter. The library is never closed; its threads may still run.
 */

import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync, writeSync } from "node:fs";
import libraryPath from "../../dist/libgiantvm.so" with { type: "file" };
import { abiHashU64, symbols } from "./abi.ts";
import { check } from "./errors.ts";

const memfdCloseOnExec = 1;

function open() {
  const libc = dlopen("libc.so.6", {
    memfd_create: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  });
  const name = Buffer.from("giantvm\0");
  const fd = check("memfd_create", libc.symbols.memfd_create(ptr(name), memfdCloseOnExec));
  const bytes = readFileSync(libraryPath);
  for (let written = 0; written < bytes.length;) {
    written += writeSync(fd, bytes, written, bytes.length - written);
  }
  const library = dlopen(`/proc/self/fd/${fd}`, symbols);
  // Also remembers how the terminal is to be left, so this must come before anyone makes it raw.
  const hash = library.symbols.gvm_abi();
  if (BigInt(hash) !== abiHashU64) {
    throw new Error(`the native library is of another build (${hash}); run npm run build`);
  }
  return library.symbols;
}

export type Library = ReturnType<typeof open>;

let loaded: Library | undefined;

/** Loads on first use, so that `giantvm help` pays nothing for it. */
export function library(): Library {
  loaded ??= open();
  return loaded;
}
