/** @module Programs of Debian that tests need; installed by apt where that is possible. */

import { installed, LabMissing } from "../scripts/lab/packages.ts";

/** Why a program cannot be had here; undefined when it is there now. */
export function toolMissing(program: string, debianPackage: string): string | undefined {
  try {
    installed(program, [debianPackage], (line) => console.log(`tests: ${line}`));
    return undefined;
  } catch (error) {
    if (error instanceof LabMissing) return error.message;
    throw error;
  }
}
