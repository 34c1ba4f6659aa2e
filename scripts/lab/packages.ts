/** @module What Debian's packages give to the lab, as paths. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { installed, LabMissing, unpacked } from "./apt.ts";
import { debianKernel, defaultKernel } from "./kernels.ts";

export { installed, LabMissing } from "./apt.ts";

/** The kernel of the emulated hosts. */
export type HostKernel = {
  readonly vmlinuz: string;
  /** Folder of the kernel's modules, .../kernel. */
  readonly modules: string;
  readonly release: string;
};

export type Packages = HostKernel & {
  readonly qemu: string;
  /** Of util-linux: a program that ends with the one that started it. */
  readonly setpriv: string;
  readonly busybox: string;
  /** The traffic controller of iproute2, with netem. */
  readonly tc: string;
};

/** Merged-/usr releases of Debian (13 and later) ship modules and busybox below usr. */
function under(folder: string, path: string): string | undefined {
  return [join(folder, path), join(folder, "usr", path)].find((place) => existsSync(place));
}

/**
 * @param name One of hostKernelNames.
 * @throws LabMissing when its package cannot be had.
 */
export function hostKernel(name: string, say: (line: string) => void): HostKernel {
  const { folder, release, vmlinuz } = debianKernel(name, say);
  const modules = under(folder, join("lib/modules", release, "kernel"));
  if (modules !== undefined) return { vmlinuz, modules, release };
  throw new LabMissing(`${folder} holds no modules; remove it, and it is unpacked once more`);
}

/** @throws LabMissing when a package cannot be had. */
export function packages(say: (line: string) => void): Packages {
  const qemu = installed("qemu-system-x86_64", ["qemu-system-x86", "seabios"], say);
  const setpriv = installed("setpriv", ["util-linux"], say);
  const tc = installed("tc", ["iproute2"], say);
  const kernel = hostKernel(defaultKernel, say);
  const busybox = under(unpacked("busybox-static", say), "bin/busybox");
  if (busybox === undefined) throw new LabMissing("busybox-static does not hold bin/busybox");
  return { ...kernel, qemu, setpriv, busybox, tc };
}
