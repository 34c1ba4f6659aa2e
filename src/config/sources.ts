/** @module Where values come from: flag, then environment GIANTVM_*, then --config file. */

import { exitCode, Failure } from "../cli/failure.ts";
import { type Named, readable, readNamed } from "./files.ts";
import { runOptions, variableOf } from "./options.ts";

/** Values by option name, each with where it was given. */
export type Values = Map<string, Named>;

function parse(file: Named): Record<string, unknown> {
  const path = file.value;
  const kind = path.endsWith(".json") ? "JSON" : "TOML";
  const text = new TextDecoder().decode(readNamed(file));
  try {
    const parsed: unknown = kind === "JSON" ? JSON.parse(text) : Bun.TOML.parse(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new Failure(
      exitCode.usage,
      `${file.where} ${path}: cannot be read as ${kind} (${why}); mend it`,
    );
  }
  throw new Failure(exitCode.usage, `${file.where} ${path}: must hold options by name`);
}

function fromFile(file: Named): Values {
  const values: Values = new Map();
  const path = readable(file) ?? "";
  for (const [name, value] of Object.entries(parse(file))) {
    const option = runOptions.find((each) => each.name === name);
    if (option === undefined || option.hidden === true || name === "config") {
      throw new Failure(
        exitCode.usage,
        `${file.where} ${path}: unknown option "${name}"; giantvm run --help lists them`,
      );
    }
    const text = Array.isArray(value) ? value.join(option.several ?? ",") : String(value);
    values.set(name, { value: text, where: `${name} in ${path}` });
  }
  return values;
}

/** What each source gives, the one that wins first. */
export function sources(
  flags: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string | undefined>>,
): readonly Values[] {
  const flagged: Values = new Map();
  const variables: Values = new Map();
  for (const { name, hidden } of runOptions) {
    const flag = flags[name];
    if (flag !== undefined) flagged.set(name, { value: flag, where: `--${name}` });
    const where = variableOf(name);
    const value = hidden === true ? undefined : environment[where];
    if (value !== undefined) variables.set(name, { value, where });
  }
  const config = flagged.get("config") ?? variables.get("config");
  return [flagged, variables, ...(config === undefined ? [] : [fromFile(config)])];
}
