/** @module Values of `run` as text: cac turns 007 into 7 and loses digits, so argv is read here. */

import { type RunOption, runOptions } from "../config/options.ts";
import { exitCode, Failure } from "./failure.ts";

function named(word: string): { readonly option: RunOption; readonly value?: string } | undefined {
  const match = /^--([a-z-]+)(?:=(.*))?$|^-([a-z])$/s.exec(word);
  const option = runOptions.find(
    ({ name, short }) => name === match?.[1] || (short !== undefined && short === match?.[3]),
  );
  if (option === undefined) return undefined;
  return match?.[2] === undefined ? { option } : { option, value: match[2] };
}

export function textFlags(argv: readonly string[]): Record<string, string> {
  const flags: Record<string, string> = {};
  for (let index = 0; index < argv.length; index += 1) {
    const found = named(argv[index] ?? "");
    if (found === undefined) continue;
    const { option } = found;
    let { value } = found;
    if (option.value === undefined) value ??= "true";
    else if (value === undefined) {
      index += 1;
      value = argv[index];
    }
    if (value === undefined || (found.value === undefined && /^--[a-z]/.test(value))) {
      throw new Failure(exitCode.usage, `--${option.name}: give a value (${option.value})`);
    }
    const before = option.several === true ? flags[option.name] : undefined;
    flags[option.name] = before === undefined ? value : `${before},${value}`;
  }
  return flags;
}

/** How to say what goes wrong before the options are read. */
export function wantsJson(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  const at = argv.indexOf("--log-format");
  const flag = at >= 0 ? argv[at + 1] : argv.find((word) => word.startsWith("--log-format="));
  return (flag ?? environment["GIANTVM_LOG_FORMAT"] ?? "").replace("--log-format=", "") === "json";
}
