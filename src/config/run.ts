/**
 * @module Configuration of `giantvm run`: what each option is, where values come from (flag, then
 * environment GIANTVM_*, then --config file) and what is refused. The help text is made from the
 * same table.
 */

import { existsSync, readFileSync } from "node:fs";
import { Failure, exitCode } from "../cli/failure.ts";
import { parsePeers, type Peer, peerLabel } from "./peers.ts";
import { count, size } from "./values.ts";

export type RunOption = {
  readonly name: string;
  readonly value: string;
  readonly help: string;
  readonly hidden?: boolean;
};

export const runOptions: readonly RunOption[] = [
  { name: "local-cpu", value: "N", help: "vCPUs of this node (1)" },
  { name: "local-memory", value: "SIZE", help: "memory this node gives, e.g. 10G (512M)" },
  { name: "memory", value: "TOTAL", help: "memory of the VM in equal shares, instead" },
  { name: "peers", value: "LIST", help: "all nodes in order, this one included: host[:port],..." },
  { name: "self", value: "HOST[:PORT]", help: "which of --peers this node is, if not clear" },
  { name: "kernel", value: "FILE", help: "bzImage or ELF kernel; without it the built-in guest" },
  { name: "initrd", value: "FILE", help: "initial RAM disk" },
  { name: "append", value: "TEXT", help: "kernel command line, instead of the tuned default" },
  { name: "device-node", value: "K", help: "node that has the VM's devices, by place (0)" },
  { name: "console-node", value: "K", help: "node whose terminal is the VM's console (0)" },
  { name: "silence", value: "MS", help: "a node silent for so long is lost (2000)" },
  { name: "join-timeout", value: "S", help: "how long to wait for the peers at start (60)" },
  { name: "spin", value: "US", help: "how long the engine polls before it sleeps (0)" },
  { name: "hide-cpu", value: "NAMES", help: "processor features to hide, e.g. xsave" },
  { name: "report", value: "FILE", help: "write counters and the outcome as JSON at the end" },
  { name: "config", value: "FILE", help: "options from a TOML or JSON file" },
  { name: "guard-off", value: "NAME", help: "", hidden: true },
  { name: "scale", value: "PERCENT", help: "", hidden: true },
  { name: "scratch-node", value: "N", help: "", hidden: true },
  { name: "scratch-delay", value: "MS", help: "", hidden: true },
];

export type RunConfig = {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly peers: readonly Peer[];
  readonly self: string | undefined;
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly append: string | undefined;
  readonly deviceNode: number;
  readonly consoleNode: number;
  readonly silenceMs: number;
  readonly joinMs: number;
  readonly spinUs: number;
  readonly hide: readonly string[];
  readonly report: string | undefined;
  readonly guardOff: string;
  readonly scalePercent: number;
  /** For tests: the node of the slow scratch ports, and how late they answer. */
  readonly scratchNode: number;
  readonly scratchDelayMs: number;
};

/** Options for tests are flags alone: nobody shall set one without seeing it. */
const settable = runOptions.filter((option) => option.hidden !== true);

type Values = Map<string, { readonly value: string; readonly where: string }>;

function readFile(path: string): Record<string, unknown> {
  if (!existsSync(path)) {
    throw new Failure(exitCode.usage, `--config ${path}: there is no such file; name one`);
  }
  const text = readFileSync(path, "utf8");
  try {
    const parsed = path.endsWith(".json") ? JSON.parse(text) : Bun.TOML.parse(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new Failure(
      exitCode.usage,
      `--config ${path}: cannot be read as ${path.endsWith(".json") ? "JSON" : "TOML"} (${why})`,
    );
  }
  throw new Failure(exitCode.usage, `--config ${path}: must hold options by name`);
}

function collect(
  flags: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string | undefined>>,
): Values {
  const values: Values = new Map();
  const configPath = flags["config"] ?? environment["GIANTVM_CONFIG"];
  if (configPath !== undefined) {
    for (const [name, value] of Object.entries(readFile(configPath))) {
      if (!settable.some((option) => option.name === name) || name === "config") {
        throw new Failure(
          exitCode.usage,
          `--config ${configPath}: unknown option "${name}"; giantvm run --help lists them`,
        );
      }
      const text = Array.isArray(value) ? value.join(",") : String(value);
      values.set(name, { value: text, where: `${name} in ${configPath}` });
    }
  }
  for (const { name } of settable) {
    const variable = `GIANTVM_${name.toUpperCase().replaceAll("-", "_")}`;
    const value = environment[variable];
    if (value !== undefined) values.set(name, { value, where: variable });
  }
  for (const [name, value] of Object.entries(flags)) {
    values.set(name, { value, where: `--${name}` });
  }
  return values;
}

/** The original's form: --local-cpu 16,start=0,iplist="10.0.0.1 10.0.0.2". */
function expandOriginal(values: Values): void {
  const cpu = values.get("local-cpu");
  if (cpu === undefined || !cpu.value.includes(",")) return;
  const match = /^(\d+),start=(\d+),iplist="?([^"]+)"?$/.exec(cpu.value);
  if (match === null) {
    throw new Failure(
      exitCode.usage,
      `${cpu.where} "${cpu.value}": give a number, or N,start=FIRST,iplist="HOST HOST"`,
    );
  }
  const [, cpus = "", start = "", list = ""] = match;
  values.set("local-cpu", { value: cpus, where: cpu.where });
  if (!values.has("peers")) values.set("peers", { value: list, where: `${cpu.where} iplist` });
  if (values.has("self")) return;
  const index = Number(start) / Number(cpus);
  const peer = parsePeers(list)[index];
  if (peer === undefined) {
    throw new Failure(
      exitCode.usage,
      `${cpu.where} start=${start}: with ${cpus} vCPUs a node this is none of iplist; give --self`,
    );
  }
  values.set("self", { value: peerLabel(peer), where: `${cpu.where} start` });
}

function existing(entry: { value: string; where: string } | undefined): string | undefined {
  if (entry === undefined) return undefined;
  if (!existsSync(entry.value)) {
    throw new Failure(
      exitCode.usage,
      `${entry.where} ${entry.value}: there is no such file; name one that can be read`,
    );
  }
  return entry.value;
}

function memoryOf(values: Values, nodes: number): number {
  const local = values.get("local-memory");
  const total = values.get("memory");
  if (local !== undefined && total !== undefined) {
    throw new Failure(
      exitCode.usage,
      `${local.where} and ${total.where} are both given: use one of them`,
    );
  }
  if (total !== undefined) {
    const share = size(total.where, total.value) / nodes;
    return Math.max(4096, Math.floor(share / 4096) * 4096);
  }
  return local === undefined ? 512 * 2 ** 20 : size(local.where, local.value);
}

export function readRunConfig(
  flags: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string | undefined>>,
): RunConfig {
  const values = collect(flags, environment);
  expandOriginal(values);
  const number = (name: string, fallback: number, least: number, most: number) => {
    const entry = values.get(name);
    return entry === undefined ? fallback : count(entry.where, entry.value, least, most);
  };
  const peers = parsePeers(values.get("peers")?.value ?? "127.0.0.1");
  const nodeNumber = (name: string) => number(name, 0, 0, peers.length - 1);
  const kernel = existing(values.get("kernel"));
  const initrd = existing(values.get("initrd"));
  if (initrd !== undefined && kernel === undefined) {
    throw new Failure(exitCode.usage, "--initrd without --kernel: name the kernel it belongs to");
  }
  return {
    cpus: number("local-cpu", 1, 1, 255),
    memoryBytes: memoryOf(values, peers.length),
    peers,
    self: values.get("self")?.value,
    kernel,
    initrd,
    append: values.get("append")?.value,
    deviceNode: nodeNumber("device-node"),
    consoleNode: nodeNumber("console-node"),
    silenceMs: number("silence", 2000, 100, 600_000),
    joinMs: 1000 * number("join-timeout", 60, 1, 86_400),
    spinUs: number("spin", 0, 0, 1_000_000),
    hide: (values.get("hide-cpu")?.value ?? "").split(",").filter((name) => name !== ""),
    report: values.get("report")?.value,
    guardOff: values.get("guard-off")?.value ?? "",
    scalePercent: number("scale", 100, 1, 10_000),
    scratchNode: nodeNumber("scratch-node"),
    scratchDelayMs: number("scratch-delay", 0, 0, 60_000),
  };
}
