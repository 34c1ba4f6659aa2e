#!/usr/bin/env bun
/** @module argv -> command -> exit code. Every way out is a row of the table in cli/failure.ts. */

import { cac } from "cac";
import { runOptions } from "./config/run.ts";
import { exitCode, Failure } from "./cli/failure.ts";
import { buildId, version } from "./cli/version.ts";

type Flags = Readonly<Record<string, unknown>>;

/** Values of `run` as text: cac turns 007 into 7 and loses digits, so argv is read again. */
function textFlags(argv: readonly string[]): Record<string, string> {
  const flags: Record<string, string> = {};
  for (const [index, word] of argv.entries()) {
    const match = /^--([a-z-]+)(?:=(.*))?$/s.exec(word);
    const option = runOptions.find(({ name }) => name === match?.[1]);
    if (option === undefined) continue;
    const value = match?.[2] ?? argv[index + 1];
    if (value === undefined || (match?.[2] === undefined && /^--[a-z]/.test(value))) {
      throw new Failure(exitCode.usage, `--${option.name}: give a value (${option.value})`);
    }
    flags[option.name] = value;
  }
  return flags;
}

function makeCli(argv: readonly string[]) {
  const cli = cac("giantvm");
  const runCommand = cli.command("run", "Run one node of a virtual machine");
  for (const option of runOptions) {
    if (option.hidden === true && !argv.includes(`--${option.name}`)) continue;
    runCommand.option(`--${option.name} <${option.value}>`, option.help);
  }
  runCommand
    .option("--builtin", "Run the built-in guest (the default without --kernel)")
    .option("-v, --verbose", "Say on stderr what happens")
    .option("--log-format <FORMAT>", "Log as text or json")
    .action(async (flags: Flags) => {
      const format = flags["logFormat"] ?? "text";
      if (format !== "text" && format !== "json") {
        throw new Failure(exitCode.usage, `--log-format "${String(format)}": give text or json`);
      }
      const values = textFlags(argv);
      if (flags["builtin"] === true && values["kernel"] !== undefined) {
        throw new Failure(exitCode.usage, "--builtin and --kernel are both given: use one of them");
      }
      const { run } = await import("./cli/run.ts");
      return run(values, { verbose: flags["verbose"] === true, json: format === "json" });
    });
  const demoCommand = cli
    .command("demo", "Several nodes on this host check themselves and each other")
    .option("--nodes <N>", "Nodes (2)")
    .option("--cpus <N>", "vCPUs of each node (2)")
    .option("--memory <SIZE>", "Memory of the whole VM")
    .option("--json", "The result as one JSON object");
  if (argv.includes("--guard-off")) demoCommand.option("--guard-off <NAME>", "");
  demoCommand.action(async (flags: Flags) => (await import("./cli/demo.ts")).demo(flags));
  cli
    .command("doctor", "What this host has, lacks, and how to mend it")
    .option("--peers <LIST>", "Also try to reach these nodes")
    .option("--json", "The findings as one JSON object")
    .action(async (flags: Flags) => {
      const { doctor } = await import("./cli/doctor.ts");
      const { probeHost } = await import("./native/probe.ts");
      return doctor(flags, probeHost);
    });
  cli
    .command("bench [what]", "Measure the memory of the cluster: dsm")
    .option("--json", "The figures as one JSON object")
    .option("--rounds <N>", "Faults of each kind (2000)")
    .action(async (what: string | undefined, flags: Flags) =>
      (await import("./cli/bench.ts")).bench(what, flags),
    );
  if (argv[0] === "bench-peer") {
    cli.command("bench-peer", "").action(async () => (await import("./cli/bench.ts")).benchPeer());
  }
  cli.command("version", "Version and build").action(() => {
    process.stdout.write(`giantvm ${version} (${buildId})\n`);
    return 0;
  });
  cli.command("help [command]", "This text").action((name: string | undefined) => {
    const known = cli.commands.find((command) => command.name === name);
    if (name !== undefined && known === undefined) {
      throw new Failure(exitCode.usage, `help ${name}: no such command; see giantvm help`);
    }
    if (known === undefined) cli.globalCommand.outputHelp();
    else known.outputHelp();
    return 0;
  });
  cli.help();
  return cli;
}

async function main(argv: readonly string[]): Promise<number> {
  const first = argv[0];
  if (first === "--version" || first === "-V") {
    process.stdout.write(`giantvm ${version} (${buildId})\n`);
    return 0;
  }
  const cli = makeCli(argv);
  cli.parse(["bun", "giantvm", ...argv], { run: false });
  if (argv.includes("--help") || argv.includes("-h")) return 0;
  if (cli.matchedCommand === undefined) {
    if (first !== undefined) {
      throw new Failure(exitCode.usage, `"${first}" is no command; see giantvm help`);
    }
    cli.globalCommand.outputHelp();
    return exitCode.usage;
  }
  if (cli.args.length > 0 && !["help", "bench"].includes(cli.matchedCommandName ?? "")) {
    throw new Failure(exitCode.usage, `"${cli.args.join(" ")}": not understood; see giantvm help`);
  }
  const result: unknown = await cli.runMatchedCommand();
  return typeof result === "number" ? result : 0;
}

function complain(error: unknown): number {
  if (error instanceof Failure) {
    process.stderr.write(`giantvm: ${error.message}\n`);
    return error.code;
  }
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === "CACError") {
    process.stderr.write(`giantvm: ${text}; see giantvm help\n`);
    return exitCode.usage;
  }
  process.stderr.write(`giantvm: internal error: ${error instanceof Error ? error.stack : text}\n`);
  return exitCode.internal;
}

const code = await main(process.argv.slice(2)).catch(complain);
// Threads of the data plane may still run when a peer was lost: exit does not wait for them.
process.exit(code);
