/**
 * @module The words of a command line as text: cac, which prints the help, would make 7 of 007 and
 * take what it does not know. One rule for every command: an option is one of its own, written
 * whole, and given once unless its values are a list.
 */

import type { Option } from "../config/options.ts";
import { yesNo } from "../config/values.ts";
import { exitCode, Failure } from "./failure.ts";

/** Values by option name; a switch that is given is "true" or "false". */
export type Flags = Readonly<Record<string, string>>;
export type Arguments = { readonly flags: Flags; readonly words: readonly string[] };

function fail(sentence: string): never {
  throw new Failure(exitCode.usage, sentence);
}

/** --localCpu and --local_cpu are --local-cpu, misspelt. */
function letters(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, "");
}

function optionOf(given: string, options: readonly Option[], hint: string): Option {
  const found = options.find(
    ({ name, short }) => given === `--${name}` || (short !== undefined && given === `-${short}`),
  );
  if (found !== undefined) return found;
  const meant = options.find(
    (each) => each.hidden !== true && letters(each.name) === letters(given),
  );
  return fail(`${given}: no such option; ${meant ? `write --${meant.name}` : hint}`);
}

/** @param next takes the word behind the option. */
function valueOf(option: Option, inline: string | undefined, next: () => string | undefined) {
  const name = `--${option.name}`;
  if (option.value === undefined) return String(yesNo(name, inline ?? "true"));
  const value = inline ?? next();
  if (value === undefined) return fail(`${name}: give a value (${option.value})`);
  if (inline === undefined && value.startsWith("-")) {
    fail(`${name}: give a value (${option.value}); ${name}=${value} if that is one`);
  }
  return value;
}

/**
 * @param hint what to do who gave none of them, such as "see --help".
 * @throws Failure
 */
export function readArguments(
  argv: readonly string[],
  options: readonly Option[],
  hint: string,
): Arguments {
  const flags: Record<string, string> = {};
  const words: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith("-")) {
      words.push(word);
      continue;
    }
    const [given = "", inline] = word.split(/=(.*)/s);
    const option = optionOf(given, options, hint);
    const value = valueOf(option, inline, () => rest.shift());
    const before = flags[option.name];
    if (before !== undefined && option.several === undefined) {
      fail(`--${option.name} is given twice; give it once`);
    }
    flags[option.name] = before === undefined ? value : before + option.several + value;
  }
  return { flags, words };
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
