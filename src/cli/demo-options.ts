/** @module What `giantvm demo` takes. */

import { count, size } from "../config/values.ts";
import { exitCode, Failure } from "./failure.ts";

export type DemoOptions = {
  readonly nodes: number;
  readonly cpus: number;
  readonly memoryMibPerNode: number;
  readonly json: boolean;
  readonly guardOff: string;
};

export type Flags = Readonly<Record<string, unknown>>;

const nodesMax = 64;
const vcpusMax = 255;
const memoryMibDefault = 64;
const memoryMibMin = 16;

export function readDemoOptions(flags: Flags): DemoOptions {
  const number = (name: string, otherwise: number, most: number) =>
    flags[name] === undefined ? otherwise : count(`--${name}`, String(flags[name]), 1, most);
  const nodes = number("nodes", 2, nodesMax);
  const cpus = number("cpus", 2, vcpusMax);
  if (nodes * cpus > vcpusMax) {
    throw new Failure(
      exitCode.usage,
      `--nodes ${nodes} with --cpus ${cpus} are ${nodes * cpus} vCPUs: at most ${vcpusMax} fit`,
    );
  }
  const { memory } = flags;
  const total = memory === undefined ? undefined : size("--memory", String(memory)) / 2 ** 20;
  const memoryMibPerNode = total === undefined ? memoryMibDefault : Math.floor(total / nodes);
  if (memoryMibPerNode < memoryMibMin) {
    throw new Failure(
      exitCode.usage,
      `--memory ${String(memory)}: ${nodes} nodes need ${nodes * memoryMibMin}M or more`,
    );
  }
  const { guardOff } = flags;
  return {
    nodes,
    cpus,
    memoryMibPerNode,
    json: flags["json"] === true,
    guardOff: guardOff === undefined ? "" : String(guardOff),
  };
}
