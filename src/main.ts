#!/usr/bin/env bun
/** @module argv -> command -> exit code. Every way out is a row of the table in cli/failure.ts. */

import { cac, type CAC } from "cac";
import { commands } from "./cli/commands.ts";
import { exitCode, Failure, failureOf } from "./cli/failure.ts";
import { readArguments, wantsJson } from "./cli/flags.ts";
import { catchUnexpected } from "./cli/unexpected.ts";
import { makeLog } from "./observe/log.ts";

/** What matches commands and prints the help; it knows the options for that alone. */
function makeCli(first: string | undefined): CAC {
  const cli = cac("giantvm").option("-h, --help", "Display this message");
  for (const { name, words = "", usage, help, options, hidden } of commands) {
    if (hidden === true && name !== first) continue;
    const command = cli.command(`${name} ${words}`.trim(), help);
    if (usage !== undefined) command.usage(usage);
    for (const option of options) {
      if (option.hidden === true) continue;
      const names = `${option.short === undefined ? "" : `-${option.short}, `}--${option.name}`;
      command.option(
        option.value === undefined ? names : `${names} <${option.value}>`,
        option.help,
      );
    }
  }
  return cli;
}

async function main(argv: readonly string[]): Promise<number> {
  const [first = "", ...rest] = argv;
  const words = first === "--version" || first === "-V" ? ["version", ...rest] : argv;
  const cli = makeCli(first);
  cli.parse(["bun", "giantvm", ...words], { run: false });
  const { matchedCommand: matched = cli.globalCommand } = cli;
  if (words.includes("--help") || words.includes("-h")) {
    matched.outputHelp();
    return exitCode.done;
  }
  const command = commands.find(({ name }) => name === matched.name);
  if (command === undefined) {
    if (first !== "")
      throw new Failure(exitCode.usage, `"${first}" is no command; see giantvm help`);
    matched.outputHelp();
    return exitCode.usage;
  }
  const given = readArguments(words, command.options, `see giantvm help ${command.name}`);
  const [, ...behind] = given.words;
  if (behind.length > matched.args.length && !matched.args.some(({ variadic }) => variadic)) {
    throw new Failure(exitCode.usage, `"${behind.join(" ")}": not understood; see giantvm help`);
  }
  return command.run({ flags: given.flags, words: behind }, cli);
}

const argv = process.argv.slice(2);
const json = wantsJson(argv, process.env);
const log = makeLog({ verbose: false, json }, (line) => process.stderr.write(`${line}\n`));
// Whoever read the log may have gone; that ends nothing.
process.stderr.on("error", () => {});
catchUnexpected((failure) => log.error(failure.message));

const code = await main(argv).catch((error: unknown) => {
  const failure = failureOf(error);
  log.error(failure.message);
  return failure.code;
});
// Threads of the data plane may still run when a peer was lost: exit does not wait for them.
process.exit(code);
