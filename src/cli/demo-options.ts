/** @module What `giantvm demo` takes. */

export type DemoOptions = {
  readonly nodes: number;
  readonly cpus: number;
  readonly memoryMibPerNode: number;
  readonly json: boolean;
  readonly guardOff: string;
};

export type Flags = Readonly<Record<string, unknown>>;

/** A bad value: what, and what would be right; exit code 2. */
export class DemoUsageError extends Error {}

const nodesMax = 64;
const vcpusMax = 255;
const memoryMibDefault = 64;
const memoryMibMin = 16;
const units = new Map([
  ["", 1 / (1 << 20)],
  ["K", 1 / 1024],
  ["M", 1],
  ["G", 1024],
  ["T", 1024 * 1024],
]);

function count(flags: Flags, name: string, otherwise: number, max: number): number {
  const value = flags[name];
  if (value === undefined) return otherwise;
  const number = /^\d+$/.test(String(value)) ? Number(value) : 0;
  if (number >= 1 && number <= max) return number;
  throw new DemoUsageError(`--${name} ${String(value)}: give a number from 1 to ${max}`);
}

/** Total in MiB; undefined when not given. */
function totalMib(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const [, digits, unit] = /^(\d+)([KMGT]?)(?:i?B)?$/i.exec(String(value)) ?? [];
  const factor = units.get((unit ?? "?").toUpperCase());
  if (digits === undefined || factor === undefined) {
    throw new DemoUsageError(`--memory ${String(value)}: give a size such as 256M or 2G`);
  }
  return Math.floor(Number(digits) * factor);
}

export function readDemoOptions(flags: Flags): DemoOptions {
  const nodes = count(flags, "nodes", 2, nodesMax);
  const cpus = count(flags, "cpus", 2, vcpusMax);
  if (nodes * cpus > vcpusMax) {
    throw new DemoUsageError(
      `--nodes ${nodes} with --cpus ${cpus} are ${nodes * cpus} vCPUs: at most ${vcpusMax} fit`,
    );
  }
  const total = totalMib(flags["memory"]);
  const memoryMibPerNode = total === undefined ? memoryMibDefault : Math.floor(total / nodes);
  if (memoryMibPerNode < memoryMibMin) {
    throw new DemoUsageError(
      `--memory ${String(flags["memory"])}: ${nodes} nodes need ${nodes * memoryMibMin}M or more`,
    );
  }
  const guardOff = flags["guardOff"];
  return {
    nodes,
    cpus,
    memoryMibPerNode,
    json: flags["json"] === true,
    guardOff: guardOff === undefined ? "" : String(guardOff),
  };
}
