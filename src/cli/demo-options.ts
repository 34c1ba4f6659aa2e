/** @module What `giantvm demo` takes. */

import { count, size } from "../config/values.ts";
import { exitCode, Failure } from "./failure.ts";
import type { Flags } from "./flags.ts";

export type DemoOptions = {
  readonly nodes: number;
  readonly cpus: number;
  readonly memoryMibPerNode: number;
  readonly json: boolean;
  readonly guardOff: string;
};

const nodesMax = 64;
const vcpusMax = 255;
const memoryMibDefault = 64;
const memoryMibMin = 16;

export function readDemoOptions(flags: Flags): DemoOptions {
  const number = (name: string, otherwise: number, most: number) => {
    const given = flags[name];
    return given === undefined ? otherwise : count(`--${name}`, given, 1, most);
  };
  const nodes = number("nodes", 2, nodesMax);
  const cpus = number("cpus", 2, vcpusMax);
  if (nodes * cpus > vcpusMax) {
    throw new Failure(
      exitCode.usage,
      `--nodes ${nodes} with --cpus ${cpus} are ${nodes * cpus} vCPUs: at most ${vcpusMax} fit`,
    );
  }
  const { memory } = flags;
  const total = memory === undefined ? undefined : size("--memory", memory) / 2 ** 20;
  const memoryMibPerNode = total === undefined ? memoryMibDefault : Math.floor(total / nodes);
  if (memoryMibPerNode < memoryMibMin) {
    throw new Failure(
      exitCode.usage,
      `--memory ${memory}: ${nodes} nodes need ${nodes * memoryMibMin}M or more`,
    );
  }
  return {
    nodes,
    cpus,
    memoryMibPerNode,
    json: flags["json"] === "true",
    guardOff: flags["guard-off"] ?? "",
  };
}
