/** @module What `npm run lab` was asked for. A bad word gets one sentence: what would do. */

import { resolve } from "node:path";
import { exitCode, Failure } from "../../src/cli/failure.ts";
import { type Flags, readArguments } from "../../src/cli/flags.ts";
import type { Option } from "../../src/config/options.ts";
import { defaultKernel, hostKernelNames, kernelFault, kernelNames } from "./kernels.ts";
import { linuxNodes, linuxScenario, linuxSeconds } from "./scenarios/linux.ts";
import { type Scenario, scenarios } from "./scenarios.ts";

export type Request =
  | { readonly kind: "help" | "list" }
  | {
      readonly kind: "play" | "interactive";
      readonly scenario: Scenario;
      readonly logs: boolean;
      readonly runs: number;
    };

export const usage = `usage: npm run lab -- [OPTIONS] [SCENARIO]

Linux hosts with hardware virtualization, emulated on this machine, joined by a network, with
giantvm on each. Without a scenario Debian's kernel boots over them to a shell on this terminal.

  --hosts N       emulated hosts (2)
  --cpus K        vCPUs of each node (1); 2,1 gives node 0 two and node 1 one
  --host-cpus N   CPUs of each emulated host (1: with more the emulation itself fails now and then)
  --kernel NAME   the guest's: ${kernelNames.join(", ")} or a file (${defaultKernel})
  --host-kernel N the hosts': ${hostKernelNames.join(" or ")} (${defaultKernel})
  --reboots N     how often the guest starts anew once it has answered
  --runs N        plays the scenario so often, until it fails; then the sums
  --patience N    waits so many times longer for everything, on a busy machine
  --logs          the hosts' logs and the guest's console run along
  --list          the scenarios
`;

const hostsMax = 8;
const cpusMax = 64;
const counted = ["hosts", "cpus", "host-cpus", "reboots", "runs", "patience"] as const;
const named = ["kernel", "host-kernel"] as const;
const options: readonly Option[] = [
  ...counted.map((name) => ({ name, value: "N", help: "" })),
  ...named.map((name) => ({ name, value: "NAME", help: "" })),
  { name: "logs", help: "" },
  { name: "list", help: "" },
  { name: "help", short: "h", help: "" },
];
type Counted = (typeof counted)[number];

function misused(sentence: string): never {
  throw new Failure(exitCode.usage, sentence);
}

function count(option: Counted, text: string | undefined, least: number, most: number) {
  if (text === undefined) return undefined;
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  return misused(`--${option} "${text}": give a whole number from ${least} to ${most}`);
}

/** vCPUs of each node; undefined where the scenario's own stay. */
function readNodes(flags: Flags, scenario: Scenario): readonly number[] | undefined {
  const hosts = count("hosts", flags["hosts"], 1, hostsMax);
  const words = flags["cpus"]?.split(",") ?? [];
  const cpus = words.map((word) => count("cpus", word, 1, cpusMax) ?? 1);
  if (cpus.length > hostsMax) return misused(`--cpus names more than ${hostsMax} hosts`);
  if (cpus.length > 1 && hosts !== undefined && hosts !== cpus.length) {
    return misused(`--cpus ${words.join(",")} is for ${cpus.length} hosts, --hosts says ${hosts}`);
  }
  if (cpus.length > 1) return cpus;
  if (hosts === undefined && cpus.length === 0) return undefined;
  const each = cpus[0] ?? scenario.nodes[0]?.cpus ?? 1;
  return Array.from({ length: hosts ?? scenario.nodes.length }, () => each);
}

/** The scenario on other hosts. */
function onNodes(scenario: Scenario, nodeCpus: readonly number[]): Scenario {
  const memory = scenario.nodes[0]?.memory ?? "128M";
  if (scenario.guest === "linux") {
    const nodes = linuxNodes(nodeCpus, Number.parseInt(memory));
    return { ...scenario, nodes, ...linuxSeconds(nodeCpus.length) };
  }
  return { ...scenario, nodes: nodeCpus.map((cpus) => ({ cpus, memory })) };
}

function kernelOf(name: string, folder: string): string {
  if (kernelNames.includes(name)) return name;
  const path = resolve(folder, name);
  const fault = kernelFault(path);
  if (fault === undefined) return path;
  return misused(`--kernel "${name}": give ${kernelNames.join(", ")} or a kernel; ${fault}`);
}

function hostKernelOf(name: string | undefined, scenario: Scenario): string | undefined {
  if (name === undefined || name === defaultKernel) return undefined;
  if (!hostKernelNames.includes(name)) {
    return misused(`--host-kernel "${name}": give ${hostKernelNames.join(" or ")}`);
  }
  if (scenario.disk !== true) return name;
  return misused("the guest's module for a disk is that of the hosts; leave --host-kernel out");
}

function changed(flags: Flags, scenario: Scenario, folder: string): Scenario {
  const linuxOnly = (["kernel", "reboots"] as const).find((each) => flags[each] !== undefined);
  if (scenario.guest !== "linux" && linuxOnly !== undefined) {
    return misused(`--${linuxOnly} is for a Linux guest, and ${scenario.name} has none`);
  }
  if (typeof scenario.guest === "object" && flags["cpus"] !== undefined) {
    return misused(`--cpus is for a guest, and ${scenario.name} has none`);
  }
  const wanted = flags["kernel"];
  const kernel = wanted === undefined ? undefined : kernelOf(wanted, folder);
  if (scenario.disk === true && (kernel ?? defaultKernel) !== defaultKernel) {
    return misused(`the module for a disk is that of ${defaultKernel}; leave --kernel out`);
  }
  const hostKernel = hostKernelOf(flags["host-kernel"], scenario);
  const nodeCpus = readNodes(flags, scenario);
  const hostCpus = count("host-cpus", flags["host-cpus"], 1, cpusMax);
  const reboots = count("reboots", flags["reboots"], 0, 1000);
  const patience = count("patience", flags["patience"], 1, 100);
  return {
    ...(nodeCpus === undefined ? scenario : onNodes(scenario, nodeCpus)),
    ...(hostCpus === undefined ? {} : { hostCpus }),
    ...(reboots === undefined ? {} : { reboots }),
    ...(patience === undefined ? {} : { patience }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(hostKernel === undefined ? {} : { hostKernel }),
  };
}

/** What is played where no scenario is named. */
const shell: Scenario = {
  ...linuxScenario("shell", "Debian's kernel to a shell on this terminal", [1, 1]),
  // The checks between CPUs would have to be compiled first.
  programs: [],
  questions: [],
};

/**
 * @param folder Where a kernel's relative path starts.
 * @param usual The scenario where none is named; without one it is a shell.
 * @throws Failure
 */
export function readRequest(args: readonly string[], folder: string, usual?: string): Request {
  const { flags, words } = readArguments(args, options, "see --help");
  if (flags["help"] === "true") return { kind: "help" };
  if (flags["list"] === "true") return { kind: "list" };
  const [name = usual, other] = words;
  if (other !== undefined) return misused(`two scenarios, "${name}" and "${other}": name one`);
  const scenario = name === undefined ? shell : scenarios.get(name);
  if (scenario === undefined) {
    return misused(`"${name}": no such scenario; --list names them`);
  }
  const alone = (["reboots", "runs"] as const).find((each) => flags[each] !== undefined);
  if (name === undefined && alone !== undefined) {
    return misused(`--${alone} is for a scenario; --list names them`);
  }
  return {
    kind: name === undefined ? "interactive" : "play",
    scenario: changed(flags, scenario, folder),
    logs: flags["logs"] === "true",
    runs: count("runs", flags["runs"], 1, 10_000) ?? 1,
  };
}

/** The machine of a scenario, in words. */
export function machineOf({ nodes, kernel, hostKernel, guest }: Scenario): string {
  const cpus = nodes.map((node) => node.cpus).join("+");
  const own = hostKernel === undefined ? "" : ` of ${hostKernel}`;
  const hosts = `${nodes.length} host${nodes.length > 1 ? "s" : ""}${own}`;
  if (typeof guest === "object") return hosts;
  const what = guest !== "builtin" ? `, ${kernel ?? defaultKernel}` : "";
  return `${hosts}, vCPUs ${cpus}${what}`;
}
