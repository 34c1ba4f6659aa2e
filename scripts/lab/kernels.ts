/**
 * @module Debian's kernels by the lab's names for them. Each name stands for the newest package of
 * its kind that apt offers; what was unpacked once is used again, so a second run asks nothing.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readBzImage } from "../../src/machine/bzimage.ts";
import { MachineError } from "../../src/machine/errors.ts";
import { checkKernel } from "../../src/machine/guest.ts";
import { cache, LabMissing, output, unpacked, updateLists } from "./apt.ts";

type Kind = {
  /** Meta packages, one of which depends on the kernel's own. */
  readonly metas: readonly string[];
  /** Name of the kernel's own package. */
  readonly own: RegExp;
};

const kinds: ReadonlyMap<string, Kind> = new Map([
  [
    "cloud-6.12",
    {
      metas: ["linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"],
      own: /^linux-image-6\.12\.\S*-cloud-amd64$/,
    },
  ],
  [
    "generic-6.12",
    {
      metas: ["linux-image-6.12-amd64", "linux-image-amd64"],
      own: /^linux-image-6\.12\.(?!\S*-(?:cloud|rt)-)\S*-amd64$/,
    },
  ],
  [
    "cloud-6.1",
    {
      metas: ["linux-image-cloud-amd64", "linux-image-6.1-cloud-amd64"],
      own: /^linux-image-6\.1\.\S*-cloud-amd64$/,
    },
  ],
]);

export const kernelNames: readonly string[] = [...kinds.keys()];
/** What boots where nothing else is asked for, guests as well as emulated hosts. */
export const defaultKernel = "cloud-6.12";
/** Kernels that emulated hosts can run. */
export const hostKernelNames: readonly string[] = [defaultKernel, "cloud-6.1"];

/** The package behind a meta package, e.g. linux-image-6.12.117+deb12-cloud-amd64. */
function packageOf(name: string, { metas, own }: Kind): string {
  for (const attempt of [0, 1]) {
    for (const meta of metas) {
      const depends = output(["apt-cache", "depends", "--important", meta]).text;
      const found = [...depends.matchAll(/Depends: (\S+)/g)].map((match) => match[1] ?? "");
      const kernel = found.find((each) => own.test(each));
      if (kernel !== undefined) return kernel;
    }
    if (attempt === 0) updateLists();
  }
  throw new LabMissing(`apt knows no kernel ${name} (${metas.join(", ")})`);
}

export type Kernel = {
  readonly folder: string;
  /** As uname -r says it. */
  readonly release: string;
  readonly vmlinuz: string;
};

/** @throws LabMissing when the package cannot be had, RangeError for a name that is none. */
export function debianKernel(name: string, say: (line: string) => void): Kernel {
  const kind = kinds.get(name);
  if (kind === undefined) throw new RangeError(`no kernel ${name}`);
  const cached = existsSync(cache) ? readdirSync(cache) : [];
  const own = cached.find((each) => kind.own.test(each)) ?? packageOf(name, kind);
  // A guest needs the image alone; the modules of a generic kernel would be half a gigabyte.
  const folder = unpacked(own, say, hostKernelNames.includes(name) ? "" : "boot");
  const release = own.replace("linux-image-", "");
  return { folder, release, vmlinuz: join(folder, "boot", `vmlinuz-${release}`) };
}

type Other = { readonly package: string; readonly file: RegExp };

/** Kernels of Debian's that are not Linux. */
const others: ReadonlyMap<string, Other> = new Map([
  ["memtest86+", { package: "memtest86+", file: /^(memtest86\+|mt86\+)x64(\.bin)?$/ }],
  ["xen", { package: "xen-hypervisor-4.17-amd64", file: /^xen-[\d.]+-amd64\.gz$/ }],
]);

/** @throws LabMissing when the package cannot be had or holds no such file. */
function otherKernel(name: string, other: Other, say: (line: string) => void): string {
  const folder = join(unpacked(other.package, say, "boot"), "boot");
  const file = readdirSync(folder).find((each) => other.file.test(each));
  if (file === undefined) throw new LabMissing(`${other.package} does not hold ${name}'s kernel`);
  return join(folder, file);
}

/** The kernel proper out of a bzImage, as ELF file beside it. */
function vmlinux({ folder, vmlinuz }: Kernel): string {
  const path = join(folder, "vmlinux");
  if (existsSync(path)) return path;
  const { payload } = readBzImage(new Uint8Array(readFileSync(vmlinuz)), vmlinuz);
  if (payload === undefined) throw new LabMissing(`${vmlinuz} cannot be unpacked`);
  writeFileSync(path, payload);
  return path;
}

const unpackedSuffix = "-vmlinux";

/** Whether a guest's kernel is the one that the emulated hosts run. */
export function isHostsKernel(name = defaultKernel, hosts = defaultKernel): boolean {
  return name === hosts || name === hosts + unpackedSuffix;
}

/**
 * The image of a guest's kernel: one of Debian's by its name, with "-vmlinux" unpacked, or a file.
 * @throws LabMissing when its package cannot be had.
 */
export function kernelImage(name: string, say: (line: string) => void): string {
  const other = others.get(name);
  if (other !== undefined) return otherKernel(name, other, say);
  if (kinds.has(name)) return debianKernel(name, say).vmlinuz;
  const packed = name.slice(0, -unpackedSuffix.length);
  const isUnpacked = name.endsWith(unpackedSuffix) && kinds.has(packed);
  return isUnpacked ? vmlinux(debianKernel(packed, say)) : name;
}

/** Why a file is no kernel that could boot; undefined when it may be one. */
export function kernelFault(path: string): string | undefined {
  try {
    checkKernel({ name: path, bytes: new Uint8Array(readFileSync(path)) });
    return undefined;
  } catch (error) {
    if (error instanceof MachineError) return error.message;
    return `${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`;
  }
}
