/** @module Files that options name: whether they can be used is known before anything starts. */

import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { exitCode, Failure } from "../cli/failure.ts";

export type Named = { readonly value: string; readonly where: string };

function refuse(file: Named, why: string): never {
  throw new Failure(exitCode.usage, `${file.where} ${file.value}: ${why}`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

/** The file at `path` may be opened so; the sentence calls it by the name the user gave. */
function check(file: Named, path: string, mode: number, missing: string): void {
  try {
    accessSync(path, mode);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") refuse(file, missing);
    const verb = mode === constants.R_OK ? "read" : "written";
    refuse(file, `this user may not have it ${verb} (${code}); change its mode or name another`);
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Refuses what cannot be read as a file. */
export function readable(file: Named | undefined): string | undefined {
  if (file === undefined) return undefined;
  check(file, file.value, constants.R_OK, "there is no such file; name one that can be read");
  if (isFolder(file.value)) refuse(file, "is a folder; name a file");
  return file.value;
}

/** Refuses what could not be written at the end: an existing file or a new one in its folder. */
export function writable(file: Named | undefined): string | undefined {
  if (file === undefined) return undefined;
  const there = statSync(file.value, { throwIfNoEntry: false });
  if (there?.isDirectory() === true) refuse(file, "is a folder; name a file");
  const path = there === undefined ? dirname(file.value) : file.value;
  check(file, path, constants.W_OK, "there is no such folder; name a file in one that exists");
  return file.value;
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
