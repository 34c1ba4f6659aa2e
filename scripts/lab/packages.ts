/**
 * @module Debian's own packages for the lab: QEMU is installed (it has many libraries), the kernel
 * and busybox are only downloaded and unpacked into a cache, which needs no root.
 */

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

export type Packages = {
  readonly qemu: string;
  readonly vmlinuz: string;
  /** Folder of the kernel's modules, .../kernel. */
  readonly modules: string;
  readonly busybox: string;
  /** The traffic controller of iproute2, with netem. */
  readonly tc: string;
  readonly release: string;
};

/** The lab cannot be built here; the message says what is missing and what to do. */
export class LabMissing extends Error {}

const cache = join(import.meta.dir, "../../dist/lab/packages");
/** Meta packages whose kernel lets a vCPU be kicked out of a fault (Linux 6.2 and later). */
const kernelPackages = ["linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"];

type Output = { readonly code: number; readonly text: string };

function run(command: readonly string[], cwd?: string): Output {
  if (Bun.which(command[0] ?? "") === null) {
    return { code: 127, text: `there is no ${command[0]} here` };
  }
  const done = Bun.spawnSync([...command], {
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "ignore",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
  });
  return { code: done.exitCode, text: done.stdout.toString() + done.stderr.toString() };
}

function must(command: readonly string[], why: string, cwd?: string): string {
  const { code, text } = run(command, cwd);
  if (code === 0) return text;
  const last = text.trim().split("\n").at(-1) ?? "";
  throw new LabMissing(`${why}: \`${command.join(" ")}\` failed: ${last}`);
}

let updated = false;
function updateLists(): void {
  if (updated) return;
  updated = true;
  run(["apt-get", "update", "-q"]);
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
  const found = Bun.which(program);
  if (found !== null) return found;
  say(`installing ${packages.join(" ")} (apt-get)`);
  const install = ["apt-get", "install", "-qy", "--no-install-recommends", ...packages];
  if (run(install).code !== 0) {
    updateLists();
    must(install, `${program} is not installed and could not be`);
  }
  const now = Bun.which(program);
  if (now === null) throw new LabMissing(`${program} is missing after apt-get install`);
  return now;
}

/** The package behind a meta package, e.g. linux-image-6.12.117+deb12-cloud-amd64. */
function kernelPackage(): string {
  for (const attempt of [0, 1]) {
    for (const meta of kernelPackages) {
      const depends = run(["apt-cache", "depends", "--important", meta]).text;
      const found = depends.match(/Depends: (linux-image-(\d+)\.(\d+)\S*-cloud-amd64)/);
      if (found?.[1] && (Number(found[2]) > 6 || Number(found[3]) >= 2)) return found[1];
    }
    if (attempt === 0) updateLists();
  }
  throw new LabMissing(`none of ${kernelPackages.join(", ")} (Linux 6.2 or later) is known to apt`);
}

/** Downloads and unpacks once; a folder that exists is complete, as it is renamed into place. */
function unpacked(name: string, say: (line: string) => void): string {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  say(`downloading ${name}`);
  const work = join(cache, `${name}.part`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, "deb"), { recursive: true });
  const download = ["apt-get", "download", "-q", name];
  if (run(download, join(work, "deb")).code !== 0) {
    updateLists();
    must(download, `the package ${name} could not be downloaded`, join(work, "deb"));
  }
  const [deb] = readdirSync(join(work, "deb"));
  if (deb === undefined) throw new LabMissing(`apt-get download ${name} left no file`);
  must(["dpkg", "-x", join("deb", deb), "."], `${deb} could not be unpacked`, work);
  rmSync(join(work, "deb"), { recursive: true });
  renameSync(work, folder);
  return folder;
}

/** Debian's unpacked kernel of an earlier call, so that a second run asks apt nothing. */
function cachedKernel(): string | undefined {
  if (!existsSync(cache)) return undefined;
  return readdirSync(cache).find((name) => /^linux-image-.*-cloud-amd64$/.test(name));
}

/** Merged-/usr releases of Debian (13 and later) ship modules and busybox below usr. */
function under(folder: string, path: string): string | undefined {
  return [join(folder, path), join(folder, "usr", path)].find((place) => existsSync(place));
}

/** @throws LabMissing when a package cannot be had. */
export function packages(say: (line: string) => void): Packages {
  const qemu = installed("qemu-system-x86_64", ["qemu-system-x86", "seabios"], say);
  const tc = installed("tc", ["iproute2"], say);
  const name = cachedKernel() ?? kernelPackage();
  const kernel = unpacked(name, say);
  const release = name.replace("linux-image-", "");
  const modules = under(kernel, join("lib/modules", release, "kernel"));
  const busybox = under(unpacked("busybox-static", say), "bin/busybox");
  if (modules === undefined || busybox === undefined) {
    throw new LabMissing(`${name} or busybox-static does not hold the files it used to`);
  }
  const vmlinuz = join(kernel, "boot", `vmlinuz-${release}`);
  return { qemu, vmlinuz, modules, busybox, tc, release };
}
