#!/usr/bin/env bun
/** @module argv -> command -> exit code. Every way out is a row of the table in cli/failure.ts. */

import { cac, type CAC } from "cac";
import { runOptions } from "./config/options.ts";
import { exitCode, Failure, failureOf } from "./cli/failure.ts";
import { textFlags, wantsJson } from "./cli/flags.ts";
import { catchUnexpected } from "./cli/unexpected.ts";
import { buildId, version } from "./cli/version.ts";
import { makeLog } from "./observe/log.ts";

type Flags = Readonly<Record<string, unknown>>;

function addRun(cli: CAC, argv: readonly string[]): void {
  const command = cli.command("run", "Run one node of a virtual machine");
  for (const { name, value, short, help, hidden } of runOptions) {
    if (hidden === true && !argv.includes(`--${name}`)) continue;
    const words = `${short === undefined ? "" : `-${short}, `}--${name}`;
    command.option(value === undefined ? words : `${words} <${value}>`, help);
  }
  command.action(async () => (await import("./cli/run.ts")).run(textFlags(argv)));
}

function addDemo(cli: CAC, argv: readonly string[]): void {
  const command = cli
    .command("demo", "Several nodes on this host check themselves and each other")
    .option("--nodes <N>", "Nodes (2)")
    .option("--cpus <N>", "vCPUs of each node (2)")
    .option("--memory <SIZE>", "Memory of the whole VM")
    .option("--json", "The result as one JSON object");
  if (argv.includes("--guard-off")) command.option("--guard-off <NAME>", "");
  command.action(async (flags: Flags) => {
    const { probeHost } = await import("./native/probe.ts");
    return (await import("./cli/demo.ts")).demo(flags, probeHost);
  });
}

function addDoctor(cli: CAC): void {
  cli
    .command("doctor", "What this host has, lacks, and how to mend it")
    .option("--peers <LIST>", "Also try to reach these nodes")
    .option("--json", "The findings as one JSON object")
    .action(async (flags: Flags) => {
      const { doctor } = await import("./cli/doctor.ts");
      const { probeHost, probeSockets } = await import("./native/probe.ts");
      return doctor(flags, probeHost, probeSockets);
    });
}

function addBench(cli: CAC, argv: readonly string[]): void {
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
}

function addDebug(cli: CAC, argv: readonly string[]): void {
  cli
    .command("debug [...words]", "Ask a running VM: registers, backtrace, page, memory, ...")
    .usage(
      "debug registers [VCPU] | backtrace [VCPU] | page GPA | memory GPA [LENGTH] | counters | gdb",
    )
    .option("--control <PATH>", "The socket of any node: giantvm run --control")
    .option("--symbols <FILE>", "System.map, vmlinux or kallsyms of the guest's kernel")
    .option("--listen <PORT>", "Where gdb connects (127.0.0.1:1234)")
    .action(async () => (await import("./cli/debug.ts")).debug(argv.slice(1)));
  cli
    .command("hot", "The pages that move most between the nodes of a running VM")
    .option("--control <PATH>", "The socket of any node: giantvm run --control")
    .option("--symbols <FILE>", "System.map, vmlinux or kallsyms of the guest's kernel")
    .option("--top <N>", "How many (20)")
    .action(async () => (await import("./cli/debug.ts")).debug(argv));
}

function addTexts(cli: CAC): void {
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
}

function makeCli(argv: readonly string[]): CAC {
  const cli = cac("giantvm");
  addRun(cli, argv);
  addDemo(cli, argv);
  addDoctor(cli);
  addBench(cli, argv);
  addDebug(cli, argv);
  addTexts(cli);
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
  if (cli.args.length > 0 && !["help", "bench", "debug"].includes(cli.matchedCommandName ?? "")) {
    throw new Failure(exitCode.usage, `"${cli.args.join(" ")}": not understood; see giantvm help`);
  }
  const result: unknown = await cli.runMatchedCommand();
  return typeof result === "number" ? result : 0;
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
