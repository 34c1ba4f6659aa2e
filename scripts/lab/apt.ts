/**
 * @module Debian's packages by apt's ordinary commands: installed where they have many libraries,
 * or only downloaded and unpacked into a cache, which needs no root.
 */

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

/** The lab cannot be built here; the message says what is missing and what to do. */
export class LabMissing extends Error {}

/** Of unpacked packages, each in a folder of its name. */
export const cache = join(import.meta.dir, "../../dist/lab/packages");

type Output = { readonly code: number; readonly text: string };

/** With the administrator's folders: Debian has tc and mke2fs there, not on every user's path. */
function searched(): string {
  return `${process.env["PATH"] ?? "/usr/bin:/bin"}:/usr/local/sbin:/usr/sbin:/sbin`;
}

function find(program: string): string | null {
  return Bun.which(program, { PATH: searched() });
}

/** Of a command of Debian's, in plain words; code 127 where there is no such command. */
export function output(command: readonly string[], cwd?: string): Output {
  if (find(command[0] ?? "") === null) {
    return { code: 127, text: `there is no ${command[0]} here` };
  }
  const done = Bun.spawnSync([...command], {
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "ignore",
    env: { ...process.env, PATH: searched(), DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
  });
  return { code: done.exitCode, text: done.stdout.toString() + done.stderr.toString() };
}

function must(command: readonly string[], why: string, cwd?: string): string {
  const { code, text } = output(command, cwd);
  if (code === 0) return text;
  const last = text.trim().split("\n").at(-1) ?? "";
  throw new LabMissing(`${why}: \`${command.join(" ")}\` failed: ${last}`);
}

let updated = false;

/** Once a run: lists that are too old name packages that are gone. */
export function updateLists(): void {
  if (updated) return;
  updated = true;
  output(["apt-get", "update", "-q"]);
}

/**
 * A program of Debian's, installed when it is missing.
 * @throws LabMissing where apt cannot (no root, no apt, no network).
 */
export function installed(
  program: string,
  packages: readonly string[],
  say: (line: string) => void,
): string {
  const found = find(program);
  if (found !== null) return found;
  say(`installing ${packages.join(" ")} (apt-get)`);
  const install = ["apt-get", "install", "-qy", "--no-install-recommends", ...packages];
  if (output(install).code !== 0) {
    updateLists();
    must(install, `${program} is not installed and could not be`);
  }
  const now = find(program);
  if (now === null) throw new LabMissing(`${program} is missing after apt-get install`);
  return now;
}

/**
 * Downloads and unpacks once; a folder that exists is complete, as it is renamed into place.
 * @param part The one folder of the package that is wanted.
 * @throws LabMissing where apt cannot.
 */
export function unpacked(name: string, say: (line: string) => void, part = ""): string {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  say(`downloading ${name}`);
  const work = join(cache, `${name}.part`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, "deb"), { recursive: true });
  const download = ["apt-get", "download", "-q", name];
  if (output(download, join(work, "deb")).code !== 0) {
    updateLists();
    must(download, `the package ${name} could not be downloaded`, join(work, "deb"));
  }
  const [deb] = readdirSync(join(work, "deb"));
  if (deb === undefined) throw new LabMissing(`apt-get download ${name} left no file`);
  const unpack = `dpkg-deb --fsys-tarfile "deb/${deb}" | tar -x ./${part}`;
  must(["sh", "-ec", unpack], `${deb} could not be unpacked`, work);
  rmSync(join(work, "deb"), { recursive: true });
  renameSync(work, folder);
  return folder;
}
