/**
 * @module `--disk path=FILE[,ro][,node=K]`, once for each disk. Several stand in one text, too, as
 * a variable and a file's list have them: each `path=` begins the next disk.
 */

import { exitCode, Failure } from "../cli/failure.ts";
import type { Named } from "./files.ts";

export type DiskConfig = {
  readonly path: string;
  readonly readOnly: boolean;
  /** Node whose file it is. */
  readonly node: number;
};

/** limits.zig, disks_max. */
export const disksMax = 8;

function refuse(entry: Named, why: string): never {
  throw new Failure(exitCode.usage, `${entry.where} "${entry.value}": ${why}`);
}

type Words = { path: string; readOnly: boolean; node: string | undefined };

function split(entry: Named): readonly Words[] {
  const found: Words[] = [];
  for (const word of entry.value.split(",")) {
    const path = /^path=(.+)$/s.exec(word)?.[1];
    const node = /^node=(.+)$/s.exec(word)?.[1];
    const disk = found.at(-1);
    if (path !== undefined) found.push({ path, readOnly: false, node: undefined });
    else if (disk === undefined) refuse(entry, "give path=FILE first, then ro or node=K");
    else if (word === "ro") disk.readOnly = true;
    else if (node !== undefined) disk.node = node;
    else {
      refuse(entry, `"${word}" is none of path=FILE, ro, node=K; a path cannot hold a comma`);
    }
  }
  return found;
}

/** @param deviceNode where disks are: their controllers are among the VM's devices. */
export function disksOf(entry: Named | undefined, deviceNode: number): readonly DiskConfig[] {
  if (entry === undefined) return [];
  const disks = split(entry);
  if (disks.length > disksMax) refuse(entry, `${disksMax} disks are the most`);
  const paths = disks.map((disk) => disk.path);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) refuse(entry, `${twice} is named twice; each disk has its own image`);
  return disks.map(({ path, readOnly, node }) => {
    if (node !== undefined && node !== String(deviceNode)) {
      refuse(entry, `disks are on the device node, ${deviceNode}; give --device-node ${node}`);
    }
    return { path, readOnly, node: deviceNode };
  });
}

/** As a user would write them: what the nodes must agree on. */
export function diskText(disks: readonly DiskConfig[]): string {
  return disks.map(({ path, readOnly }) => `path=${path}${readOnly ? ",ro" : ""}`).join(",");
}
