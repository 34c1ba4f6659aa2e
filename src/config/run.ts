/**
 * @module Configuration of `giantvm run`: what is refused, and with which sentence. The options are
 * in options.ts, where their values come from in sources.ts.
 */

import { Failure, exitCode } from "../cli/failure.ts";
import { featureObstacle } from "../machine/features.ts";
import { type DiskConfig, disksOf } from "./disks.ts";
import { type Named, readableAgain, writable } from "./files.ts";
import { parsePeers, type Peer, peerLabel } from "./peers.ts";
import { sources, type Values } from "./sources.ts";
import { cacheBytesLeast } from "./taken.ts";
import { count, oneOf, size, yesNo } from "./values.ts";

export type RunConfig = {
  readonly cpus: number;
  readonly memoryBytes: number;
  /** For pages of other nodes; undefined for what this host has left. */
  readonly cacheBytes: number | undefined;
  readonly peers: readonly Peer[];
  /** No peers were given: nobody calls this node, and it needs no port for that. */
  readonly alone: boolean;
  readonly self: string | undefined;
  readonly images: Images;
  readonly append: string | undefined;
  readonly disks: readonly DiskConfig[];
  readonly commandLine: string | undefined;
  readonly deviceNode: number;
  readonly consoleNode: number;
  readonly silenceMs: number;
  readonly joinMs: number;
  readonly spinUs: number;
  readonly hide: readonly string[];
  readonly control: string | undefined;
  readonly report: string | undefined;
  readonly verbose: boolean;
  readonly json: boolean;
  readonly guardOff: string;
  readonly scalePercent: number;
  /** For tests: the node of the slow scratch ports, and how late they answer. */
  readonly scratchNode: number;
  readonly scratchDelayMs: number;
  /** For tests: what goes wrong in this process once the VM runs. */
  readonly fault: string;
};

/** What the guest is made of; undefined for the built-in one. */
export type Images =
  | {
      readonly kernel: Named;
      readonly initrd: Named | undefined;
      /** Further files, each with what the kernel is told of it. */
      readonly modules: readonly { readonly file: Named; readonly text: string }[];
    }
  | undefined;

/**
 * The original's form: --local-cpu 16,start=0,iplist="10.0.0.1 10.0.0.2".
 * @param stronger what sources that win say: of a part that is theirs nothing is taken from here.
 */
function expandOriginal(values: Values, stronger: Values): void {
  const cpu = values.get("local-cpu");
  if (cpu === undefined || !cpu.value.includes(",")) return;
  const beaten = stronger.has("local-cpu");
  const match = /^(\d+),start=(\d+),iplist="?([^"]+)"?$/.exec(cpu.value);
  if (match === null) {
    if (beaten) return;
    throw new Failure(
      exitCode.usage,
      `${cpu.where} "${cpu.value}": give a number, or N,start=FIRST,iplist="HOST HOST"`,
    );
  }
  const [, cpus = "", start = "", list = ""] = match;
  values.set("local-cpu", { value: cpus, where: cpu.where });
  if (stronger.has("peers")) return;
  const peers = values.get("peers");
  if (peers !== undefined) {
    if (beaten) return;
    throw new Failure(
      exitCode.usage,
      `${cpu.where} iplist and ${peers.where} are both given: use one of them`,
    );
  }
  values.set("peers", { value: list, where: `${cpu.where} iplist` });
  if (stronger.has("self") || values.has("self")) return;
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

/** Values by option name, each from the first source that gives it. */
function merged(all: readonly Values[]): Values {
  const values: Values = new Map();
  for (const source of all) {
    expandOriginal(source, values);
    const memoryKnown = values.has("memory") || values.has("local-memory");
    for (const [name, entry] of source) {
      const beaten = memoryKnown && (name === "memory" || name === "local-memory");
      if (!beaten && !values.has(name)) values.set(name, entry);
    }
  }
  return values;
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

function cacheOf(entry: Named | undefined, cpus: number): number | undefined {
  if (entry === undefined) return undefined;
  const bytes = size(entry.where, entry.value);
  const least = cacheBytesLeast(cpus);
  if (bytes >= least) return bytes;
  throw new Failure(
    exitCode.usage,
    `${entry.where} "${entry.value}": give ${least >> 20}M or more for ${cpus} vCPUs`,
  );
}

function imagesOf(values: Values): Images {
  const kernel = values.get("kernel");
  const initrd = values.get("initrd");
  const builtin = values.get("builtin");
  const wanted = builtin !== undefined && yesNo(builtin.where, builtin.value);
  if (wanted && kernel !== undefined) {
    throw new Failure(
      exitCode.usage,
      `${builtin.where} and ${kernel.where} are both given: use one of them`,
    );
  }
  const modules = values.get("modules");
  const orphan = initrd ?? modules ?? values.get("command-line");
  if (orphan !== undefined && kernel === undefined) {
    throw new Failure(
      exitCode.usage,
      `${orphan.where} without --kernel: name the kernel it belongs to`,
    );
  }
  return kernel === undefined ? undefined : { kernel, initrd, modules: modulesOf(modules) };
}

/** FILE[ TEXT],...: as QEMU takes them. */
function modulesOf(entry: Named | undefined): readonly { file: Named; text: string }[] {
  if (entry === undefined) return [];
  return entry.value.split(",").map((item) => {
    const [, value = "", text = ""] = /^\s*(\S*)\s*(.*?)\s*$/s.exec(item) ?? [];
    if (value === "") {
      throw new Failure(
        exitCode.usage,
        `${entry.where} "${entry.value}": give FILE or FILE TEXT, with commas between`,
      );
    }
    return { file: { value, where: entry.where }, text };
  });
}

/** For the node that loads the guest: its files are there. The other nodes need none. */
export function checkImages(images: Images): void {
  readableAgain(images?.kernel);
  readableAgain(images?.initrd);
  for (const { file } of images?.modules ?? []) readableAgain(file);
}

function hiddenFeatures(entry: Named | undefined): readonly string[] {
  const names = (entry?.value ?? "").split(/[\s,]+/).filter((name) => name !== "");
  for (const name of names) {
    const obstacle = featureObstacle(name);
    if (obstacle !== undefined) {
      throw new Failure(exitCode.usage, `${entry?.where ?? ""} "${name}": ${obstacle}`);
    }
  }
  return names;
}

export function readRunConfig(
  flags: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string | undefined>>,
): RunConfig {
  const values = merged(sources(flags, environment));
  const number = (name: string, fallback: number, least: number, most: number) => {
    const entry = values.get(name);
    return entry === undefined ? fallback : count(entry.where, entry.value, least, most);
  };
  const choice = <T extends string>(name: string, choices: readonly [T, ...T[]]) => {
    const entry = values.get(name);
    return entry === undefined ? choices[0] : oneOf(entry.where, entry.value, choices);
  };
  const verbose = values.get("verbose");
  const named = values.get("peers")?.value;
  const peers = parsePeers(named ?? "127.0.0.1");
  const nodeNumber = (name: string) => number(name, 0, 0, peers.length - 1);
  const deviceNode = nodeNumber("device-node");
  const cpus = number("local-cpu", 1, 1, 255);
  return {
    cpus,
    memoryBytes: memoryOf(values, peers.length),
    cacheBytes: cacheOf(values.get("cache-memory"), cpus),
    peers,
    alone: named === undefined,
    self: values.get("self")?.value,
    images: imagesOf(values),
    append: values.get("append")?.value,
    disks: disksOf(values.get("disk"), deviceNode),
    deviceNode,
    commandLine: values.get("command-line")?.value,
    consoleNode: nodeNumber("console-node"),
    silenceMs: number("silence", 2000, 100, 600_000),
    joinMs: 1000 * number("join-timeout", 60, 1, 86_400),
    spinUs: number("spin", 0, 0, 1_000_000),
    hide: hiddenFeatures(values.get("hide-cpu")),
    control: values.get("control")?.value,
    report: writable(values.get("report")),
    verbose: verbose !== undefined && yesNo(verbose.where, verbose.value),
    json: choice("log-format", ["text", "json"]) === "json",
    guardOff: values.get("guard-off")?.value ?? "",
    scalePercent: number("scale", 100, 1, 10_000),
    scratchNode: nodeNumber("scratch-node"),
    scratchDelayMs: number("scratch-delay", 0, 0, 60_000),
    fault: choice("fault", ["none", "throw", "reject"]),
  };
}
