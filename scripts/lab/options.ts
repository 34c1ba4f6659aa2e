/** @module What `npm run lab` was asked for. A bad word gets one sentence: what would do. */

import { resolve } from "node:path";
import { defaultKernel, kernelFault, kernelNames } from "./kernels.ts";
import { linuxNodes, linuxScenario, linuxSeconds } from "./scenarios/linux.ts";
import { type Scenario, scenarios } from "./scenarios.ts";

/** One sentence for the user. */
export class Misused extends Error {}

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
  --reboots N     how often the guest starts anew once it has answered
  --runs N        plays the scenario so often, until it fails; then the sums
  --patience N    waits so many times longer for everything, on a busy machine
  --logs          the hosts' logs and the guest's console run along
  --list          the scenarios
`;

const hostsMax = 8;
const cpusMax = 64;
const valued = ["hosts", "cpus", "host-cpus", "kernel", "reboots", "runs", "patience"] as const;
const switches = ["logs", "list", "help"] as const;
type Valued = (typeof valued)[number];
type Switch = (typeof switches)[number];

type Words = {
  readonly values: ReadonlyMap<Valued, string>;
  readonly switches: ReadonlySet<Switch>;
  readonly name: string | undefined;
};

function readWords(args: readonly string[]): Words {
  const values = new Map<Valued, string>();
  const found = new Set<Switch>();
  let name: string | undefined;
  const rest = args.flatMap((arg) => {
    const [, option, value] = /^(--[\w-]+)=(.*)$/.exec(arg) ?? [];
    return option === undefined || value === undefined ? [arg] : [option, value];
  });
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const option = valued.find((each) => word === `--${each}`);
    const flag = word === "-h" ? "help" : switches.find((each) => word === `--${each}`);
    if (option !== undefined) {
      const value = rest.shift();
      if (value === undefined) throw new Misused(`--${option} needs a value; see --help`);
      values.set(option, value);
    } else if (flag !== undefined) {
      found.add(flag);
    } else if (word.startsWith("-")) {
      throw new Misused(`${word}: no such option; see --help`);
    } else if (name !== undefined) {
      throw new Misused(`two scenarios, "${name}" and "${word}": name one`);
    } else {
      name = word;
    }
  }
  return { values, switches: found, name };
}

function count(option: Valued, text: string | undefined, least: number, most: number) {
  if (text === undefined) return undefined;
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new Misused(`--${option} "${text}": give a whole number from ${least} to ${most}`);
}

/** vCPUs of each node; undefined where the scenario's own stay. */
function readNodes({ values }: Words, scenario: Scenario): readonly number[] | undefined {
  const hosts = count("hosts", values.get("hosts"), 1, hostsMax);
  const words = values.get("cpus")?.split(",") ?? [];
  const cpus = words.map((word) => count("cpus", word, 1, cpusMax) ?? 1);
  if (cpus.length > hostsMax) throw new Misused(`--cpus names more than ${hostsMax} hosts`);
  if (cpus.length > 1 && hosts !== undefined && hosts !== cpus.length) {
    throw new Misused(
      `--cpus ${words.join(",")} is for ${cpus.length} hosts, --hosts says ${hosts}`,
    );
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
  throw new Misused(`--kernel "${name}": give ${kernelNames.join(", ")} or a kernel; ${fault}`);
}

function changed(words: Words, scenario: Scenario, folder: string): Scenario {
  const { values } = words;
  const linuxOnly = (["kernel", "reboots"] as const).find((each) => values.has(each));
  if (scenario.guest !== "linux" && linuxOnly !== undefined) {
    throw new Misused(`--${linuxOnly} is for a Linux guest, and ${scenario.name} has none`);
  }
  if (typeof scenario.guest === "object" && values.has("cpus")) {
    throw new Misused(`--cpus is for a guest, and ${scenario.name} has none`);
  }
  const nodeCpus = readNodes(words, scenario);
  const hostCpus = count("host-cpus", values.get("host-cpus"), 1, cpusMax);
  const reboots = count("reboots", values.get("reboots"), 0, 1000);
  const patience = count("patience", values.get("patience"), 1, 100);
  const kernel = values.get("kernel");
  return {
    ...(nodeCpus === undefined ? scenario : onNodes(scenario, nodeCpus)),
    ...(hostCpus === undefined ? {} : { hostCpus }),
    ...(reboots === undefined ? {} : { reboots }),
    ...(patience === undefined ? {} : { patience }),
    ...(kernel === undefined ? {} : { kernel: kernelOf(kernel, folder) }),
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
 * @throws Misused
 */
export function readRequest(args: readonly string[], folder: string): Request {
  const words = readWords(args);
  if (words.switches.has("help")) return { kind: "help" };
  if (words.switches.has("list")) return { kind: "list" };
  const { name, values } = words;
  const scenario = name === undefined ? shell : scenarios.get(name);
  if (scenario === undefined) {
    throw new Misused(`"${name}": no such scenario; --list names them`);
  }
  const alone = (["reboots", "runs"] as const).find((each) => values.has(each));
  if (name === undefined && alone !== undefined) {
    throw new Misused(`--${alone} is for a scenario; --list names them`);
  }
  return {
    kind: name === undefined ? "interactive" : "play",
    scenario: changed(words, scenario, folder),
    logs: words.switches.has("logs"),
    runs: count("runs", values.get("runs"), 1, 10_000) ?? 1,
  };
}

/** The machine of a scenario, in words. */
export function machineOf({ nodes, kernel, guest }: Scenario): string {
  const cpus = nodes.map((node) => node.cpus).join("+");
  const hosts = `${nodes.length} host${nodes.length > 1 ? "s" : ""}`;
  if (typeof guest === "object") return hosts;
  const what = guest !== "builtin" ? `, ${kernel ?? defaultKernel}` : "";
  return `${hosts}, vCPUs ${cpus}${what}`;
}
