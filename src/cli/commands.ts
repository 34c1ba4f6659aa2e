/** @module The commands and their options as one table; each loads its part only when it is run. */

import type { CAC } from "cac";
import { type Option, runOptions } from "../config/options.ts";
import { exitCode, Failure } from "./failure.ts";
import type { Arguments } from "./flags.ts";
import { buildId, version } from "./version.ts";

export type Command = {
  readonly name: string;
  /** What may stand behind the name, in cac's brackets; else nothing. */
  readonly words?: string;
  readonly usage?: string;
  readonly help: string;
  readonly options: readonly Option[];
  /** For this program itself: not in the help. */
  readonly hidden?: boolean;
  /** Returns the exit code; `cli` has the help. */
  run(given: Arguments, cli: CAC): number | Promise<number>;
};

const control: Option = {
  name: "control",
  value: "PATH",
  help: "The socket of any node: giantvm run --control",
};
const symbols: Option = {
  name: "symbols",
  value: "FILE",
  help: "System.map, vmlinux or kallsyms of the guest's kernel",
};
const top: Option = { name: "top", value: "N", help: "How many (20)" };
const guardOff: Option = { name: "guard-off", value: "NAME", help: "", hidden: true };

function json(help: string): Option {
  return { name: "json", help };
}

export const commands: readonly Command[] = [
  {
    name: "run",
    help: "Run one node of a virtual machine",
    options: runOptions,
    run: async ({ flags }) => (await import("./run.ts")).run(flags),
  },
  {
    name: "demo",
    help: "Several nodes on this host check themselves and each other",
    options: [
      { name: "nodes", value: "N", help: "Nodes (2)" },
      { name: "cpus", value: "N", help: "vCPUs of each node (2)" },
      { name: "memory", value: "SIZE", help: "Memory of the whole VM" },
      json("The result as one JSON object"),
      guardOff,
    ],
    async run({ flags }) {
      const { probeHost } = await import("../native/probe.ts");
      return (await import("./demo.ts")).demo(flags, probeHost);
    },
  },
  {
    name: "doctor",
    help: "What this host has, lacks, and how to mend it",
    options: [
      { name: "peers", value: "LIST", several: ",", help: "Also try to reach these nodes" },
      { name: "self", value: "HOST[:PORT]", help: "Which of them this host is, if not clear" },
      json("The findings as one JSON object"),
    ],
    async run({ flags }) {
      const { doctor } = await import("./doctor.ts");
      const { probeHost, probeSockets } = await import("../native/probe.ts");
      return doctor(flags, probeHost, probeSockets);
    },
  },
  {
    name: "bench",
    words: "[what]",
    help: "Measure the memory of the cluster: dsm",
    options: [
      json("The figures as one JSON object"),
      { name: "rounds", value: "N", help: "Faults of each kind (2000)" },
    ],
    run: async ({ flags, words: [what] }) => (await import("./bench.ts")).bench(what, flags),
  },
  {
    name: "bench-peer",
    help: "",
    options: [],
    hidden: true,
    run: async () => (await import("./bench.ts")).benchPeer(),
  },
  {
    name: "debug",
    words: "[...words]",
    help: "Ask a running VM: registers, backtrace, page, memory, ...",
    usage:
      "debug registers [VCPU] | backtrace [VCPU] | page GPA | memory GPA [LENGTH] | counters | gdb",
    options: [
      control,
      symbols,
      { name: "listen", value: "PORT", help: "Where gdb connects (127.0.0.1:1234)" },
      { ...top, hidden: true },
    ],
    run: async (given) => (await import("./debug.ts")).debug(given),
  },
  {
    name: "hot",
    help: "The pages that move most between the nodes of a running VM",
    options: [control, symbols, top],
    run: async ({ flags }) => (await import("./debug.ts")).debug({ flags, words: ["hot"] }),
  },
  {
    name: "version",
    help: "Version and build",
    options: [],
    run() {
      process.stdout.write(`giantvm ${version} (${buildId})\n`);
      return exitCode.done;
    },
  },
  {
    name: "help",
    words: "[command]",
    help: "This text",
    options: [],
    run({ words: [name] }, cli) {
      const all = cli.globalCommand;
      const asked = name === undefined ? all : cli.commands.find((each) => each.name === name);
      if (asked === undefined) {
        throw new Failure(exitCode.usage, `help ${name}: no such command; see giantvm help`);
      }
      asked.outputHelp();
      return exitCode.done;
    },
  },
];
