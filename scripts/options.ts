/** @module Options of a script, read as giantvm reads its own. */

import { exitCode, Failure } from "../src/cli/failure.ts";
import { type Flags, readArguments } from "../src/cli/flags.ts";
import type { Option } from "../src/config/options.ts";

/**
 * Ends the process with a sentence and exit code 2 for what is not understood.
 * @param options each takes a value.
 * @param read makes of the values what the script wants; may throw Failure.
 */
export function scriptOptions<T>(
  script: string,
  options: readonly Omit<Option, "help">[],
  read: (flags: Flags) => T,
): T {
  const usage = `use ${options.map(({ name, value }) => `--${name} ${value}`).join(", ")}`;
  const known = options.map((option) => ({ ...option, help: "" }));
  try {
    const { flags, words } = readArguments(process.argv.slice(2), known, usage);
    if (words.length > 0) throw new Failure(exitCode.usage, `"${words.join(" ")}": ${usage}`);
    return read(flags);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`${script}: ${error.message}\n`);
    return process.exit(error.code);
  }
}
