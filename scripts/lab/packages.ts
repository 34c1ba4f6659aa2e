/** @module What Debian's packages give to the lab, as paths. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { installed, LabMissing, unpacked } from "./apt.ts";
import { debianKernel, defaultKernel } from "./kernels.ts";

export { installed, LabMissing } from "./apt.ts";

export type Packages = {
  readonly qemu: string;
  /** Of util-linux: a program that ends with the one that started it. */
  readonly setpriv: string;
  /** Of the emulated hosts; a vCPU can be kicked out of a fault (Linux 6.2 and later). */
  readonly vmlinuz: string;
  /** Folder of the kernel's modules, .../kernel. */
  readonly modules: string;
  readonly busybox: string;
  /** The traffic controller of iproute2, with netem. */
  readonly tc: string;
  readonly release: string;
};

/** Merged-/usr releases of Debian (13 and later) ship modules and busybox below usr. */
function under(folder: string, path: string): string | undefined {
  return [join(folder, path), join(folder, "usr", path)].find((place) => existsSync(place));
}

/** @throws LabMissing when a package cannot be had. */
export function packages(say: (line: string) => void): Packages {
  const qemu = installed("qemu-system-x86_64", ["qemu-system-x86", "seabios"], say);
  const setpriv = installed("setpriv", ["util-linux"], say);
  const tc = installed("tc", ["iproute2"], say);
  const { folder, release, vmlinuz } = debianKernel(defaultKernel, say);
  const modules = under(folder, join("lib/modules", release, "kernel"));
  const busybox = under(unpacked("busybox-static", say), "bin/busybox");
  if (modules === undefined || busybox === undefined) {
    throw new LabMissing(`${folder} or busybox-static does not hold the files it used to`);
  }
  return { qemu, setpriv, vmlinuz, modules, busybox, tc, release };
}
