/** @module The words of `giantvm debug`: read here, since cac would make numbers of addresses. */

import { exitCode, Failure } from "./failure.ts";

export type DebugArguments = {
  readonly verb: string;
  readonly words: readonly string[];
  readonly control: string;
  readonly symbols: string | undefined;
  /** Rows of `hot`. */
  readonly top: number;
  readonly listen: { readonly host: string; readonly port: number };
};

const valued = new Set(["--control", "--symbols", "--top", "--listen"]);
/** How many words each verb takes. */
const wordsOf: Readonly<Record<string, readonly [number, number]>> = {
  registers: [0, 1],
  backtrace: [0, 1],
  page: [1, 1],
  memory: [1, 2],
  counters: [0, 0],
  hot: [0, 0],
  gdb: [0, 0],
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

/** @param control where the socket is, by the environment. Throws Failure. */
export function parseDebug(argv: readonly string[], control: string | undefined): DebugArguments {
  const options = new Map<string, string>();
  const words: string[] = [];
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? "";
    const [name = "", value] = word.split(/=(.*)/s);
    if (!word.startsWith("-")) words.push(word);
    else if (!valued.has(name)) fail(`debug ${word}: no such option; see giantvm help debug`);
    else {
      if (value === undefined) index += 1;
      options.set(name, value ?? argv[index] ?? fail(`${name}: give a value`));
    }
  }
  const [verb = "", ...rest] = words;
  const [least, most] = wordsOf[verb] ?? [0, Number.POSITIVE_INFINITY];
  if (verb === "") fail(`debug: say what: ${Object.keys(wordsOf).join(", ")}`);
  if (rest.length > most || rest.length < least) {
    const wanted = least === most ? least : `${least} or ${most}`;
    fail(`debug ${verb}: ${rest.length} words given, ${wanted} wanted; see giantvm help debug`);
  }
  return {
    verb,
    words: rest,
    control:
      options.get("--control") ??
      control ??
      fail("debug: name the socket of a node: --control PATH, as giantvm run --control was given"),
    symbols: options.get("--symbols"),
    top: parseCount("--top", options.get("--top") ?? String(topDefault), topMax),
    listen: parseListen(options.get("--listen")),
  };
}
