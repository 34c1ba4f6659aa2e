/** @module What `giantvm debug` and `giantvm hot` take. */

import { exitCode, Failure } from "./failure.ts";
import type { Arguments } from "./flags.ts";

/** How many words each verb takes, and which options beside --control. */
const verbs = {
  registers: { least: 0, most: 1, options: ["symbols"] },
  backtrace: { least: 0, most: 1, options: ["symbols"] },
  page: { least: 1, most: 1, options: [] },
  memory: { least: 1, most: 2, options: [] },
  counters: { least: 0, most: 0, options: [] },
  hot: { least: 0, most: 0, options: ["symbols", "top"] },
  gdb: { least: 0, most: 0, options: ["listen"] },
} as const;

export type Verb = keyof typeof verbs;

export type DebugArguments = {
  readonly verb: Verb;
  readonly words: readonly string[];
  readonly control: string;
  readonly symbols: string | undefined;
  /** Rows of `hot`. */
  readonly top: number;
  readonly listen: { readonly host: string; readonly port: number };
};

const topDefault = 20;
const topMax = 10_000;
const gdbPort = 1234;

function fail(sentence: string): never {
  throw new Failure(exitCode.usage, sentence);
}

/** Hexadecimal behind 0x, else decimal. */
export function parseAddress(what: string, word: string | undefined): bigint {
  if (word === undefined) return fail(`${what}: give a guest physical address, e.g. 0x100000`);
  if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,19})$/i.test(word)) {
    return fail(`${what} "${word}": give an address like 0x100000`);
  }
  return BigInt(word);
}

export function parseCount(what: string, word: string, most: number): number {
  const value = /^(0x[0-9a-f]+|[0-9]+)$/i.test(word) ? Number(word) : Number.NaN;
  if (!(value <= most)) return fail(`${what} "${word}": give a number up to ${most}`);
  return value;
}

function parseListen(word: string | undefined): DebugArguments["listen"] {
  const [, host = "127.0.0.1", port = String(gdbPort)] =
    /^(?:(127\.\d+\.\d+\.\d+|localhost):)?(\d{1,5})$/.exec(word ?? String(gdbPort)) ??
    fail(
      `--listen "${word}": give a port, or an address of the loopback and a port (127.0.0.1:1234)`,
    );
  return { host, port: parseCount("--listen", port, 65535) };
}

function isVerb(word: string): word is Verb {
  return Object.hasOwn(verbs, word);
}

/** @param control where the socket is, by the environment. Throws Failure. */
export function parseDebug(
  { flags, words: [verb = "", ...words] }: Arguments,
  control: string | undefined,
): DebugArguments {
  if (!isVerb(verb)) return fail(`debug "${verb}": give one of ${Object.keys(verbs).join(", ")}`);
  const { least, most, options } = verbs[verb];
  if (words.length > most || words.length < least) {
    const wanted = least === most ? least : `${least} or ${most}`;
    fail(`debug ${verb}: ${words.length} words given, ${wanted} wanted; see giantvm help debug`);
  }
  const known = new Set<string>(["control", ...options]);
  const idle = Object.keys(flags).find((name) => !known.has(name));
  if (idle !== undefined) fail(`debug ${verb} takes no --${idle}; see giantvm help debug`);
  return {
    verb,
    words,
    control:
      flags["control"] ??
      control ??
      fail("debug: name the socket of a node: --control PATH, as giantvm run --control was given"),
    symbols: flags["symbols"],
    top: parseCount("--top", flags["top"] ?? String(topDefault), topMax),
    listen: parseListen(flags["listen"]),
  };
}
