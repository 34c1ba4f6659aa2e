/** @module Files that options name: whether they can be used is known before anything starts. */

import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { exitCode, Failure } from "../cli/failure.ts";

export type Named = { readonly value: string; readonly where: string };

function refuse(file: Named, why: string): never {
  throw new Failure(exitCode.usage, `${file.where} ${file.value}: ${why}`);
}

/** The system's name of an error, e.g. "ENOENT". */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

/**
 * What `look` finds of a file that is to be read or written.
 * @param missing what to say where there is nothing.
 */
function seen<T>(file: Named, use: "read" | "written", missing: string, look: () => T): T {
  try {
    return look();
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") refuse(file, missing);
    if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
      refuse(file, `this user may not have it ${use} (${code}); change its mode or name another`);
    }
    return refuse(file, `cannot be used (${code}); name another`);
  }
}

/** False, too, for what cannot be looked at: who opens it says why. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Refuses what cannot be read as a file. */
export function readable(file: Named | undefined): string | undefined {
  if (file === undefined) return undefined;
  const { value: path } = file;
  const missing = "there is no such file; name one that can be read";
  seen(file, "read", missing, () => accessSync(path, constants.R_OK));
  if (isFolder(path)) refuse(file, "is a folder; name a file");
  return path;
}

/** Refuses, too, what could not be read again when the guest starts anew: a pipe is empty then. */
export function readableAgain(file: Named | undefined): void {
  const path = readable(file);
  if (file === undefined || path === undefined || statSync(path).isFile()) return;
  refuse(file, "is no regular file, and is read at each start of the guest; copy it to one");
}

/** Refuses what could not be written at the end: an existing file or a new one in its folder. */
export function writable(file: Named | undefined): string | undefined {
  if (file === undefined) return undefined;
  const { value: path } = file;
  const missing = "there is no such folder; name a file in one that exists";
  // An empty name is its folder's.
  const at = path || ".";
  const there = seen(file, "written", missing, () => statSync(at, { throwIfNoEntry: false }));
  if (there?.isDirectory() === true) refuse(file, "is a folder; name a file");
  const changed = there === undefined ? dirname(path) : path;
  seen(file, "written", missing, () => accessSync(changed, constants.W_OK));
  return path;
}

function unreadable(file: Named, error: unknown): never {
  return refuse(file, `cannot be read (${codeOf(error)}); name a file that can`);
}

/** The bytes of a file that was `readable`; it may have gone since. */
export function readNamed(file: Named): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(readFileSync(file.value));
  } catch (error) {
    return unreadable(file, error);
  }
}

/** The same of a file that may be large: whoever else wants something need not wait for it. */
export async function readLarge(file: Named): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Bun.file(file.value).bytes();
  } catch (error) {
    return unreadable(file, error);
  }
}
